"""What a run leaves: the weights and two pictures; and what a stopped or killed one leaves."""

import os
import shutil
import signal
import subprocess
import sys
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
def test_filters_are_columns_of_w_on_one_scale(n_hidden, drawn, places):
    W = np.random.RandomState(0).normal(0, 5, (784, n_hidden))  # some are beyond black and white
    weights = {'W': W, 'b': np.zeros(n_hidden), 'W_prime': -W.T, 'b_prime': np.zeros(784)}
    dae_mnist.write_pictures(Path(), weights, np.zeros([1, 784]), np.zeros([1, 784]))
    filters = tiles('filters.png', 10)
    assert len(filters) == places and not filters[drawn:].any()
    assert abs(filters[:drawn] - 255 * np.clip(0.5 + W.T[:100] / 2, 0, 1)).max() < 0.51


@pytest.mark.parametrize('count, level', [(40, 0.3), (40, 0.6), (4, 0.), (1, 0.3)])
def test_reconstructions_are_clean_damaged_restored(tmp_path, count, level):
    arrays = random_set(test=count)
    result = main(write_set(tmp_path / 'data', arrays), '--corruption_level', str(level))
    shown = min(count, 10)
    clean, damaged, restored = tiles('run/reconstructions.png', shown).reshape(3, shown, 784)
    np.testing.assert_array_equal(clean, arrays[TEST_IMAGES][:10].reshape(shown, 784))
    lost = damaged != clean
    assert not damaged[lost].any() and abs(lost.mean() - level) < 0.05
    assert abs(restored - 255 * dae_mnist.restore(result, damaged / 255)).max() < 0.51


def test_the_yardstick_is_of_the_damage_that_the_pictures_show(small_set, capsys):
    for run, level in ('a', 0.3), ('b', 0.3), ('c', 0.):
        main(small_set, '--corruption_level', str(level), '--log_dir', run)
        told = capsys.readouterr().err.splitlines()
        images = dae_mnist.load_images(small_set)[1]
        mask = dae_mnist.binomial_mask(np.random.RandomState(0), images.shape, level)
        damaged = tiles(f'{run}/reconstructions.png', 10)[10:20]
        assert (damaged == np.rint(255 * images * mask)[:10]).all()
        error = np.square(images * ~mask).sum(dtype=float)
        expected = [f'The results go to {run}.', 'Left as they are, the damaged test images have '
                    f'a squared error of {error:.0f}.']
        assert told == expected[:2 if level > 0 else 1]


def test_tile_takes_square_images_of_any_size():
    pixels = tf.image.decode_png(dae_mnist.tile(np.ones([3, 196]), 2)).numpy()
    assert pixels.shape == (60, 60, 1) and set(pixels.ravel()) == {0, 255}


def stop_at_line(number, small_set):
    """Run main, with a KeyboardInterrupt at so many lines of the script; return how many it had.

    No line counts after the pictures are begun.
    """
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_filename != dae_mnist.__file__:
            return None
        if frame.f_code.co_name == 'write_pictures':
            sys.settrace(None)
        elif event == 'line':
            count += 1
            if count == number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try:
        main(small_set)
    finally:
        sys.settrace(None)
    return count


def test_a_stop_at_any_line_keeps_the_last_whole_epoch(small_set, weights, capsys):
    total = stop_at_line(-1, small_set)
    seen = set()
    for number in range(total // 3, total + 1, 5):
        shutil.rmtree('run', ignore_errors=True)
        capsys.readouterr()
        with pytest.raises((SystemExit, KeyboardInterrupt)) as stop:  # never the end of all tests
            stop_at_line(number, small_set)
        out, err = capsys.readouterr()
        printed = len(out.splitlines())
        seen.add(printed)
        if stop.type is KeyboardInterrupt:
            assert printed == 0 and not [*Path('run').glob('*')]
        else:
            assert stop.value.code == 130 and sorted(os.listdir('run')) == RESULTS
            assert err.endswith('dae_mnist.py: stopped. The last whole epoch is kept in run.\n')
            # One more than printed, if the stop came between keeping and printing.
            assert any(np.array_equal(learned('run')['W'], epoch['W'])
                       for epoch in weights[max(printed - 1, 0):printed + 1])
    assert seen >= {0, 1, 2}


@pytest.mark.parametrize('number', [1, 3])
def test_a_full_disk_keeps_the_last_whole_epoch(number, small_set, weights, monkeypatch, capsys):
    calls = [mock.DEFAULT] * (number - 1) + [OSError(28, 'No space left on device')]
    monkeypatch.setattr(os, 'replace', mock.Mock(wraps=os.replace, side_effect=calls))
    with pytest.raises((SystemExit, OSError)) as stop:
        main(small_set)
    out, err = capsys.readouterr()
    assert out.count('\n') == number - 1
    if number == 1:
        assert stop.type is OSError and not os.listdir('run')
    else:
        assert stop.value.code == 1 and sorted(os.listdir('run')) == RESULTS
        assert err.splitlines()[-1] == ('dae_mnist.py: [Errno 28] No space left on device. '
                                        'The last whole epoch is kept in run.')
        np.testing.assert_equal(learned('run'), weights[1])


def test_a_closed_pipe_ends_the_run_with_its_pictures(small_set):
    flags = f'--data_dir {small_set} --n_hidden 9 --n_epochs 1000000 --log_dir run'.split()
    process = python(ROOT / 'dae_mnist.py', *flags)
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None  # or finish would read it
    run = finish(process)
    assert run.status != 0 and sorted(os.listdir('run')) == RESULTS
    assert 'Broken pipe. The last whole epoch is kept in run.' in run.err


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
