"""What a run leaves: the weights and two pictures; and what a stopped or killed one leaves."""

import os
import signal
import subprocess
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, TEST_IMAGES, finish, learned, python, random_set, write_set

import dae_mnist

RESULTS = ['filters.png', 'learned.npz', 'reconstructions.png']
pytestmark = pytest.mark.usefixtures('empty_folder')


def main(data_dir, *flags):
    return dae_mnist.main(['--data_dir', str(data_dir), '--n_hidden', '9', '--n_epochs', '3',
                           '--seed', '3', '--log_dir', 'run', *flags])


@pytest.fixture(scope='module')
def weights(small_set):
    """What `main` has learned after each of its three epochs."""
    images = dae_mnist.load_images(small_set)
    epochs = dae_mnist.train_epochs(*images, n_hidden=9, n_epochs=3, seed=3)
    return [weights for _, _, weights in epochs]


def tiles(path, columns):
    """Return the images [N, 784] in a picture, having checked their frames and their size."""
    pixels = tf.image.decode_png(Path(path).read_bytes()).numpy()
    assert pixels.dtype == np.uint8 and pixels.shape[1:] == (58 * columns, 1)
    framed = pixels.reshape(-1, 58, columns, 58).swapaxes(1, 2).reshape(-1, 58, 58)
    small = framed[:, 1:-1:2, 1:-1:2]
    np.testing.assert_array_equal(
        framed, np.pad(small.repeat(2, axis=1).repeat(2, axis=2), [(0, 0), (1, 1), (1, 1)]))
    return small.reshape(-1, 784)


@pytest.mark.parametrize('n_hidden, drawn, places', [(9, 9, 10), (130, 100, 100)])
def test_filters_are_columns_of_w_and_the_damaged_are_restored(n_hidden, drawn, places):
    W = np.random.RandomState(0).normal(0, 5, (784, n_hidden))  # some are beyond black and white
    weights = {'W': W, 'b': np.zeros(n_hidden), 'W_prime': -W.T, 'b_prime': np.zeros(784)}
    images, damaged = np.random.RandomState(1).random_sample((2, 3, 784))
    dae_mnist.write_pictures(Path(), weights, images, damaged)
    filters = tiles('filters.png', 10)
    assert len(filters) == places and not filters[drawn:].any()
    assert abs(filters[:drawn] - 255 * np.clip(0.5 + W.T[:100] / 2, 0, 1)).max() < 0.51
    restored = tiles('reconstructions.png', 3)[6:]
    assert abs(restored - 255 * dae_mnist.restore(weights, damaged)).max() < 0.51


@pytest.mark.parametrize('count, level', [(40, 0.3), (40, 0.6), (4, 0.), (1, 0.3)])
def test_the_reconstructions_and_the_cost_of_their_damage(tmp_path, capsys, count, level):
    arrays = random_set(test=count)
    result = main(write_set(tmp_path / 'data', arrays), '--corruption_level', str(level))
    clean = np.float32(arrays[TEST_IMAGES].reshape(count, 784) / 255)
    mask = dae_mnist.binomial_mask(np.random.RandomState(0), clean.shape, level)
    damaged = clean * mask
    told = [f'The results go to {Path("run")}.']
    if level > 0:
        told.append('Left as they are, the damaged test images have a squared error of '
                    f'{np.square(clean - damaged).sum():.0f}.')
    assert capsys.readouterr().err.splitlines() == told
    rows = np.concatenate([clean[:10], damaged[:10], dae_mnist.restore(result, damaged[:10])])
    drawn = tiles('run/reconstructions.png', min(count, 10))
    assert abs(drawn - 255 * rows).max() < 0.51


def test_tile_takes_square_images_of_any_size_and_clips_them():
    images = np.repeat([[3.3], [-2.5], [1.]], 196, axis=1)
    pixels = tf.image.decode_png(dae_mnist.tile(images, 2)).numpy()
    assert pixels.shape == (60, 60, 1) and set(pixels.ravel()) == {0, 255}


@pytest.mark.parametrize('stop, status, reason', [
    (KeyboardInterrupt(), 130, 'stopped'),
    (OSError(28, 'No space left on device'), 1, '[Errno 28] No space left on device')],
    ids=['Ctrl-C', 'full disk'])
@pytest.mark.parametrize('module, function, call, kept', [
    (dae_mnist, 'binomial_mask', 3, 0),  # called for the pictures, then for each of two batches
    (os, 'replace', 1, 0), (os, 'replace', 3, 2),
    (dae_mnist, 'print', 3, 1), (dae_mnist, 'print', 5, 3)])  # twice before the first epoch
def test_a_stop_keeps_the_last_whole_epoch(
        module, function, call, kept, stop, status, reason, small_set, weights, monkeypatch,
        capsys):
    effects = [mock.DEFAULT] * (call - 1) + [stop] + [mock.DEFAULT] * 9
    stopping = mock.Mock(wraps=getattr(module, function, print), side_effect=effects)
    monkeypatch.setattr(module, function, stopping, raising=False)
    with pytest.raises((SystemExit, type(stop))) as ended:
        main(small_set)
    if kept == 0:
        assert ended.value is stop and not list(Path().glob('run/*'))
    else:
        assert ended.value.code == status and sorted(os.listdir('run')) == RESULTS
        assert capsys.readouterr().err.splitlines()[-1] == (
            f'dae_mnist.py: {reason}. The last whole epoch is kept in run.')
        np.testing.assert_equal(learned('run'), weights[kept - 1])


def test_the_pictures_come_before_the_message(small_set, monkeypatch):
    """With `2>&1 | tee`, Ctrl-C ends also what the message is written to."""
    effects = [mock.DEFAULT] * 2 + [KeyboardInterrupt(), BrokenPipeError()]
    stopping = mock.Mock(wraps=print, side_effect=effects)
    monkeypatch.setattr(dae_mnist, 'print', stopping, raising=False)
    with pytest.raises(BrokenPipeError):
        main(small_set)
    assert sorted(os.listdir('run')) == RESULTS


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_signal_loses_at_most_the_epoch_that_it_came_in(number, status, small_set):
    # 500 units spend the time in steps: between two, TensorFlow has crashed once in 110 stops.
    flags = f'--data_dir {small_set} --seed 3 --n_epochs 1000000 --log_dir run'.split()
    process = python(ROOT / 'dae_mnist.py', *flags)
    try:
        first_lines = process.stdout.readline() + process.stdout.readline()
        time.sleep(0.5)  # for many epochs, whose lines would be lost if they were not flushed
        process.send_signal(number)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:  # TensorFlow drops one Ctrl-C in 200: press again
            process.send_signal(number)
    finally:
        run = finish(process, timeout=120)
    printed = (first_lines + run.out).count('\n')
    assert run.status == status and printed > 1 and 'Traceback' not in run.err, run.err
    epochs = dae_mnist.train_epochs(*dae_mnist.load_images(small_set), seed=3, n_epochs=printed + 1)
    kept = learned('run')['W']  # one epoch more if the signal came between keeping and printing
    assert any(np.array_equal(weights['W'], kept) for i, _, weights in epochs if i + 1 >= printed)
    assert number == signal.SIGKILL or sorted(os.listdir('run')) == RESULTS
