"""The script's flags, the data that it takes, what it prints and what it returns."""

import io
import re
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers import (
    ROOT, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, call_main, copy_project, environment, learned,
    random_set, stderr_lines, write_set)

import dae_mnist
import input_data

LIMITS = {'n_hidden': ('1', '1000000', '0', '1000001', '9.5', 'nine', ''),
          'n_epochs': ('1', '1000000000', '0', '-1', 'ten', '1e3', '1000000001'),
          'batch_size': ('1', '1000000000', '0', '-128', 'all', '1000000001'),
          'learning_rate': ('1e-30', '1e38', '0', '-0.1', 'nan', 'inf', '1.1e38', '9e-31'),
          'corruption_level': ('0', '0.999', '1', '0.9991', '-0.1', 'nan', 'half'),
          'seed': ('0', '4294967295', '-1', '4294967296', '1.5', 'None')}


@pytest.fixture(autouse=True)
def no_mnist(current_folder, tmp_path, monkeypatch):
    """Each test has a current folder of its own, and a project without MNIST."""
    monkeypatch.setattr(input_data, '__file__', str(tmp_path / 'project' / 'input_data.py'))


def refused(status, last_line, *flags):
    """Assert that a run ends so, with one line of its own, having printed and written nothing."""
    run = call_main(*flags)
    lines = [line for line in run.err.splitlines() if not line.startswith('Downloading ')]
    assert (run.status, run.out, len(lines)) == (status, '', 1), run.err
    assert re.fullmatch(last_line, lines[0]), lines[0]
    assert not list(Path().iterdir())


@pytest.mark.parametrize('name', LIMITS)
def test_each_flag_takes_its_limits_and_nothing_beyond(name, tmp_path):
    low, high, *wrong = LIMITS[name]
    for value in low, high:
        number = getattr(dae_mnist.parse([f'--{name}', value]), name)
        integer = name not in ('learning_rate', 'corruption_level')
        assert number == float(value) and isinstance(number, int if integer else float)
    for value in wrong:  # before any data are read: the folder does not exist
        refused(2, rf'dae_mnist.py: error: argument --{name}: .*{re.escape(value)}.*',
                f'--{name}={value}', '--data_dir', tmp_path / 'none')


def test_flags_are_spelt_in_full_and_default_to_what_the_lesson_says(monkeypatch, tmp_path):
    for flags in ['--n_epoch', '3'], ['--fast'], ['-f', 'kernel.json']:
        refused(2, rf'dae_mnist.py: error: .*{flags[0]}.*', *flags, '--data_dir', tmp_path / 'none')
    assert vars(dae_mnist.parse([])) == dict(
        n_epochs=100, batch_size=128, learning_rate=0.02, corruption_level=0.3, n_hidden=500,
        seed=None, data_dir=None, log_dir=None)
    monkeypatch.setattr(dae_mnist, 'n_hidden', 7)  # a reader's edit in a notebook
    assert dae_mnist.parse([]).n_hidden == 7


def test_help_names_every_flag_and_its_default(monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    run = call_main('--help')
    assert run.status == 0 and not run.err and {'--data_dir', '--log_dir'} <= set(run.out.split())
    for name in LIMITS:
        assert re.search(rf'--{name} [^(]*\({getattr(dae_mnist, name, None)}\)', run.out)


def test_stdout_has_costs_and_stderr_the_folder_twice_and_the_data(flags):
    run = call_main(*flags)
    (folder,) = Path('logs').iterdir()
    images = [np.float32(random_set()[name]) * np.float32(1 / 255)
              for name in (TRAIN_IMAGES, TEST_IMAGES)]
    data = hex(zlib.crc32(images[1], zlib.crc32(images[0][5000:])))
    assert run.status == 0 and run.err.splitlines() == [
        f'Training on {data}. What is learned goes to {folder}.',
        f'4 epochs on {data} are safe. To go on, give the same flags, or more --n_epochs, and '
        f'--log_dir {folder}. Their curve: tensorboard --logdir={folder}']
    assert run.out.splitlines() == [f'{i} {cost!s}' for i, cost in enumerate(run.learned.costs)]
    for name in 'W', 'b', 'b_prime', 'costs':
        np.testing.assert_array_equal(getattr(run.learned, name), learned(folder)[name])
        assert learned(folder)[name].dtype == np.float32
    assert run.learned.W.shape == (784, 9) and len(run.learned.costs) == 4


def test_a_terminal_shows_progress_and_nothing_of_it_stays(flags):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    run = call_main(*flags, stdout=terminal, stderr=terminal)
    for i in range(4):
        assert re.search(rf'\n\r\033\[K{i + 1} of 4 epochs, \d+ seconds left', run.out)
    assert '\033[K4 of 4 epochs, 0 seconds' in run.out
    screen = re.sub(r'[^\n]*\r\033\[K', '', run.out)  # to the line's start, and erase it
    first, *costs, last = screen.splitlines()
    assert first.startswith('Training on ') and last.startswith('4 epochs ') and screen[-1] == '\n'
    assert costs == [f'{i} {cost!s}' for i, cost in enumerate(run.learned.costs)]


def test_main_works_in_a_thread(flags):
    with ThreadPoolExecutor() as pool:
        assert len(pool.submit(dae_mnist.main, map(str, flags)).result(60).costs) == 4


def test_a_cost_that_is_not_finite_ends_the_run(flags):
    run = call_main(*flags, '--learning_rate', '1e38', '--log_dir', 'run')
    assert run.status == 1 and not run.out
    assert re.fullmatch(r'dae_mnist.py: epoch 0 costs (nan|inf): lower the --learning_rate',
                        run.err.splitlines()[-1])
    assert not list(Path('run').glob('learned*')) and not list(Path('run').glob('*.png'))


def test_data_that_do_not_fit_end_the_run(flags, tmp_path):
    copy_project(tmp_path / 'project')  # has the sample, which must not be taken
    refused(2, 'dae_mnist.py: --batch_size is above 256, .*', *flags, '--batch_size', 257)
    refused(1, rf'dae_mnist.py: .*{TRAIN_IMAGES} could not be downloaded.*',
            '--data_dir', tmp_path / 'none')
    small = write_set(tmp_path / 'small', random_set(rows=14, columns=14))
    refused(1, f'dae_mnist.py: the images in {small} are not 28 x 28 pixels', '--data_dir', small)
    damaged = write_set(tmp_path / 'project' / 'MNIST_data', random_set())
    (damaged / TEST_LABELS).write_bytes((damaged / TEST_LABELS).read_bytes()[:-9])
    for flags in ['--data_dir', damaged], []:
        refused(1, rf'dae_mnist.py: {damaged / TEST_LABELS} is damaged: .*', *flags)


@pytest.mark.parametrize('empty', [False, True])
def test_without_mnist_it_trains_on_the_sample(tmp_path, empty):
    copy_project(tmp_path / 'project')
    flags = ['--data_dir', '', '--log_dir', ''] if empty else []
    run = call_main('--n_hidden', 1, '--n_epochs', 1, *flags)
    lines = run.err.splitlines()
    assert run.status == 0 and 'could not be downloaded' in lines[-4]
    assert lines[-3] == 'This run trains on the sample instead, digits that a program drew.'
    assert lines[-2].startswith('Training on the sample. What is learned goes to logs/')
    assert lines[-1].startswith('1 epochs on the sample are safe.') and len(run.out.split()) == 2


def test_mnist_is_known_by_what_it_holds(real_mnist):
    names = [dae_mnist.load_data(folder)[2] for folder in (real_mnist, real_mnist / 'sample')]
    assert names == ['MNIST', 'the sample']


def test_a_tilde_is_the_home_in_both_folders(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    write_set(tmp_path / 'digits', random_set())
    run = call_main('--data_dir', '~/digits', '--log_dir', '~/run', '--n_hidden', 9,
                    '--n_epochs', 1)
    assert run.status == 0 and (tmp_path / 'run' / 'learned.npz').is_file()
    assert not list(Path().iterdir())


def test_closed_streams_and_a_folder_that_ascii_cannot_write(flags):
    closed = {'Zürich 数字': '>&-', 'err': '2>&-'}  # by folder
    command = [sys.executable, ROOT / 'dae_mnist.py', *flags, '--log_dir']
    runs = [subprocess.Popen(
        ['sh', '-c', f'exec "$@" {streams}', 'sh', *map(str, command), folder], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(LC_ALL='C'))
        for folder, streams in closed.items()]
    (out, err), (costs, no_err) = (run.communicate(timeout=100) for run in runs)
    assert [run.returncode for run in runs] == [0, 0] and out == no_err == ''
    first, last = stderr_lines(err)
    assert 'learned goes to Zürich 数字.' in first and "--logdir='Zürich 数字'" in last
    expected = call_main(*flags)
    assert costs == expected.out
    for folder in closed:
        np.testing.assert_array_equal(learned(folder)['W'], expected.learned.W)
        assert sorted(path.name for path in Path(folder).iterdir() if 'tfevents' not in path.name
                      ) == ['filters.png', 'learned.npz', 'reconstructions.png']
