"""What a run leaves in its folder: the kept file and two pictures."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import TEST_IMAGES, random_set, write_set

import dae_mnist

pytestmark = pytest.mark.usefixtures('empty_folder')


def main(data_dir, *flags):
    return dae_mnist.main(['--data_dir', str(data_dir), '--n_hidden', '9', '--n_epochs', '2',
                           '--seed', '3', '--log_dir', 'run', *flags])


def tiles(name, columns):
    """Decode a picture of the run; return its images [N, 28, 28], having checked their frames."""
    with tf.Graph().as_default(), tf.Session() as sess:
        pixels = sess.run(tf.image.decode_png(Path('run', name).read_bytes()))
    assert pixels.dtype == np.uint8 and pixels.shape[1:] == (58 * columns, 1)
    framed = pixels.reshape(-1, 58, columns, 58).swapaxes(1, 2).reshape(-1, 58, 58)
    small = framed[:, 1:-1:2, 1:-1:2]
    np.testing.assert_array_equal(
        framed, np.pad(small.repeat(2, axis=1).repeat(2, axis=2), [(0, 0), (1, 1), (1, 1)]))
    return small


def test_a_run_never_writes_over_another(small_set):
    main(small_set)
    assert sorted(os.listdir('run')) == ['filters.png', 'learned.npz', 'reconstructions.png']
    before = {path: path.read_bytes() for path in Path('run').iterdir()}
    with pytest.raises(FileExistsError, match='run'):
        main(small_set, '--seed', '4')
    assert before == {path: path.read_bytes() for path in Path('run').iterdir()}
    Path('empty').mkdir()
    with pytest.raises(FileExistsError, match='empty'):  # another run may just have made it
        main(small_set, '--log_dir', 'empty')


def test_a_picture_that_cannot_be_written_does_not_get_its_name(small_set, monkeypatch):
    monkeypatch.setattr(Path, 'write_bytes', lambda path, content: path.touch() or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(small_set)
    assert Path('run', 'learned.npz').exists() and not list(Path('run').glob('*s.png'))


def test_filters_are_columns_of_w_on_one_scale(small_set):
    W = main(small_set)['W'].astype(float)
    filters = tiles('filters.png', 10)
    assert len(filters) == 10 and not filters[9].any()
    expected = 255 * np.clip(0.5 + W.T / 2, 0, 1)
    assert abs(filters[:9].reshape(9, 784) - expected).max() < 0.51


def test_at_most_100_filters(small_set):
    main(small_set, '--n_hidden', '130')
    assert len(tiles('filters.png', 10)) == 100


@pytest.mark.parametrize('count, level', [(40, 0.3), (40, 0.6), (4, 0.), (1, 0.3)])
def test_reconstructions_are_clean_damaged_restored(tmp_path, count, level):
    arrays = random_set(test=count)
    result = main(write_set(tmp_path / 'data', arrays), '--corruption_level', str(level))
    shown = min(count, 10)
    clean, damaged, restored = tiles('reconstructions.png', shown).reshape(3, shown, 784)
    np.testing.assert_array_equal(clean, arrays[TEST_IMAGES][:10].reshape(shown, 784))
    lost = damaged != clean
    assert not damaged[lost].any() and abs(lost.mean() - level) < 0.05
    Z = dae_mnist.restore(result, damaged / 255)
    assert abs(restored - 255 * Z).max() < 0.51
    dae_mnist.write_pictures(Path('run'), result, clean / 255, level)  # the same damage every time
    np.testing.assert_array_equal(tiles('reconstructions.png', shown)[shown:2 * shown],
                                  damaged.reshape(-1, 28, 28))


def test_a_stop_in_the_first_epoch_leaves_neither_weights_nor_pictures(small_set, monkeypatch):
    monkeypatch.setattr(dae_mnist, 'binomial_mask', lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(SystemExit) as stop:
        main(small_set)
    assert stop.value.code == 130 and not os.listdir('run')
