"""What a run leaves in its folder: the weights and two pictures, also where it is stopped."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import TEST_IMAGES, learned, random_set, write_set

import dae_mnist
from dae_mnist import binomial_mask

pytestmark = pytest.mark.usefixtures('empty_folder')
ALL = ['filters.png', 'learned.npz', 'reconstructions.png']


def main(data_dir, *flags):
    return dae_mnist.main(['--data_dir', str(data_dir), '--n_hidden', '9', '--n_epochs', '2',
                           '--seed', '3', '--log_dir', 'run', *flags])


def decode(png, columns):
    """Return the images [N, 28, 28] in a PNG, having checked their frames."""
    with tf.Graph().as_default(), tf.Session() as sess:
        pixels = sess.run(tf.image.decode_png(png))
    assert pixels.dtype == np.uint8 and pixels.shape[1:] == (58 * columns, 1)
    framed = pixels.reshape(-1, 58, columns, 58).swapaxes(1, 2).reshape(-1, 58, 58)
    small = framed[:, 1:-1:2, 1:-1:2]
    np.testing.assert_array_equal(
        framed, np.pad(small.repeat(2, axis=1).repeat(2, axis=2), [(0, 0), (1, 1), (1, 1)]))
    return small


def tiles(name, columns):
    return decode(Path('run', name).read_bytes(), columns)


def test_a_run_never_writes_over_another(small_set, monkeypatch):
    main(small_set)
    assert sorted(os.listdir('run')) == ALL
    before = {path: path.read_bytes() for path in Path('run').iterdir()}
    with pytest.raises(SystemExit, match='run exists already'):
        main(small_set, '--seed', '4')
    monkeypatch.setattr(Path, 'exists', lambda path: False)  # as if it had been made just now
    with pytest.raises(FileExistsError, match='run'):
        main(small_set, '--seed', '4')
    assert before == {path: path.read_bytes() for path in Path('run').iterdir()}


def test_filters_are_columns_of_w_on_one_scale(small_set):
    W = main(small_set)['W'].astype(float)
    filters = tiles('filters.png', 10)
    assert len(filters) == 10 and not filters[9].any()
    expected = 255 * np.clip(0.5 + W.T / 2, 0, 1)
    assert abs(filters[:9].reshape(9, 784) - expected).max() < 0.51


def test_100_filters_of_more_and_what_is_beyond_black_and_white(small_set):
    result = main(small_set, '--n_hidden', '130')
    result['W'] = 9 * result['W']  # as after a longer training
    dae_mnist.write_pictures(Path('run'), result, np.zeros([1, 784]), 0.3)
    filters = tiles('filters.png', 10).reshape(-1, 784)
    expected = 255 * np.clip(0.5 + result['W'].T[:100].astype(float) / 2, 0, 1)
    assert len(filters) == 100 and abs(filters - expected).max() < 0.51
    assert (filters == 0).any() and (filters == 255).any()


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


def test_tile_takes_square_images_of_any_size_and_no_others():
    with tf.Graph().as_default(), tf.Session() as sess:
        pixels = sess.run(tf.image.decode_png(dae_mnist.tile(np.full([3, 196], 2.), 2)))
    assert pixels.shape == (60, 60, 1) and set(pixels.ravel()) == {0, 255}
    for width in 195, 500:
        with pytest.raises(ValueError, match='reshape'):
            dae_mnist.tile(np.zeros([121, width]), 2)


def stop_at(monkeypatch, draw):
    """Let the mask of this number, from 1, be interrupted."""
    masks = []

    def interrupt(*args):
        masks.append(args)
        if len(masks) == draw:
            raise KeyboardInterrupt
        return binomial_mask(*args)
    monkeypatch.setattr(dae_mnist, 'binomial_mask', interrupt)


@pytest.mark.parametrize('draw', range(1, 10))
def test_a_stop_keeps_the_last_whole_epoch(small_set, draw, monkeypatch, capsys):
    """An epoch draws three masks: for two steps, and for the test images."""
    whole = (draw - 1) // 3
    if whole > 0:
        expected = main(small_set, '--n_epochs', str(whole))
        shutil.rmtree('run')
    capsys.readouterr()
    stop_at(monkeypatch, draw)
    with pytest.raises(SystemExit if whole > 0 else KeyboardInterrupt) as stop:
        main(small_set, '--n_epochs', '9')
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == whole
    if whole == 0:
        assert not os.path.exists('run')
        return
    assert stop.value.code == 130 and str(whole) in err.splitlines()[-1]
    assert sorted(os.listdir('run')) == ALL
    for name, array in learned('run').items():
        np.testing.assert_array_equal(array, expected[name])


def test_at_a_prompt_a_stop_returns_what_was_learned(small_set, monkeypatch):
    monkeypatch.setattr(sys, 'ps1', '>>> ', raising=False)
    stop_at(monkeypatch, 8)
    result = main(small_set, '--n_epochs', '9')
    assert result.keys() == learned('run').keys() and sorted(os.listdir('run')) == ALL
    for name, array in learned('run').items():
        np.testing.assert_array_equal(result[name], array)


@pytest.mark.parametrize('moment', ['before', 'after'])
def test_a_stop_while_weights_are_moved_tells_of_no_epoch_that_is_not_kept(
        small_set, moment, monkeypatch, capsys):
    replace, moves = os.replace, []

    def interrupt(*paths):
        moves.append(paths)
        if moment == 'after' or len(moves) < 3:
            replace(*paths)
        if len(moves) == 3:
            raise KeyboardInterrupt
    monkeypatch.setattr(os, 'replace', interrupt)
    with pytest.raises(SystemExit):
        main(small_set, '--n_epochs', '9')
    monkeypatch.setattr(os, 'replace', replace)
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and 'kept: 2.' in err
    kept = learned('run')
    shutil.rmtree('run')
    expected = main(small_set, '--n_epochs', '2' if moment == 'before' else '3')
    np.testing.assert_array_equal(kept['W'], expected['W'])


def test_an_epoch_is_kept_before_it_is_printed(small_set, monkeypatch):
    class Reader:
        """A stdout that looks into the folder when a line is written."""
        seen = []

        def write(self, text):
            if text.strip():
                self.seen.append((text.split()[0], learned('run')['b'].tobytes()))

        def flush(self):
            pass
    monkeypatch.setattr(sys, 'stdout', Reader())
    main(small_set, '--n_epochs', '3')
    assert len({weights for _, weights in Reader.seen}) == 3
