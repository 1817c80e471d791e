"""The script's flags, the data that it takes, what it says where, and what it refuses."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (
    SAMPLE, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, learned, random_set, write_set)

import dae_mnist
import input_data


@pytest.fixture
def main(empty_folder, small_set, capsys):
    """A function that runs dae_mnist.main on the small set: status, out, err and learned."""
    def main(*flags, data_dir=small_set):
        if data_dir:
            flags = *flags, '--data_dir', data_dir
        run = SimpleNamespace(status=0, learned=None, said='')
        try:
            run.learned = dae_mnist.main([str(flag) for flag in flags])
        except (SystemExit, OSError) as stop:
            run.status = getattr(stop, 'code', str(stop))
            if isinstance(run.status, str):  # the last lines of the script print it
                run.status, run.said = 1, run.status
        run.out, run.err = capsys.readouterr()
        run.err += run.said
        return run
    return main


@pytest.fixture
def no_mnist(tmp_path, monkeypatch):
    """A project without MNIST beside its loader; the test may add the sample."""
    monkeypatch.setattr(input_data, '__file__', str(tmp_path / 'project' / 'input_data.py'))
    return tmp_path / 'project' / 'MNIST_data'


def test_each_flag_trains_as_the_same_number_given_to_train(main, small_set):
    base = {'n_epochs': 1, 'batch_size': 128, 'learning_rate': 0.01, 'corruption_level': 0.4,
            'n_hidden': 7, 'seed': 5}
    mnist = input_data.read_data_sets(small_set)
    seen = set()
    for changed in [{}, *({name: 2 * value} for name, value in base.items())]:
        settings = {**base, **changed}
        flags = [part for name, value in settings.items() for part in (f'--{name}', value)]
        costs = main(*flags).learned['costs']
        expected = dae_mnist.train(mnist.train.images, mnist.test.images, **settings)['costs']
        np.testing.assert_array_equal(costs, expected)
        seen.add(costs.tobytes())
    assert len(seen) == 7


@pytest.mark.parametrize('flag, good, bad', [
    ('n_epochs', [1], [0, -1, 1.5]), ('batch_size', [1, 300], [0, 301]),
    ('learning_rate', [1e-9], [0, -0.1, 'nan', 'inf']), ('corruption_level', [0, 0.99], [1, -0.1]),
    ('n_hidden', [1], [0, 'nine']), ('seed', [0, 2**32 - 1], [-1, 2**32, '1e3'])])
def test_a_value_out_of_range_is_refused_in_one_line(main, flag, good, bad):
    for value in bad:
        run = main(f'--{flag}={value}')
        assert (run.status, run.out, run.err.count('\n')) == (2, '', 1), run.err
        assert run.err.startswith('dae_mnist.py: error: ') and f'--{flag}' in run.err
    assert not list(Path().iterdir())
    for value in good:
        assert main('--n_hidden', 2, '--n_epochs', 1, f'--{flag}={value}').status == 0


def test_flags_are_not_abbreviated_and_help_names_them_with_their_defaults(main, monkeypatch):
    for flags in ['--n_epoch', 3], ['--fast'], ['-f', 'kernel.json']:
        run = main(*flags)
        assert (run.status, run.err.count('\n')) == (2, 1) and flags[0] in run.err
    monkeypatch.setenv('COLUMNS', '200')
    monkeypatch.setattr(dae_mnist, 'n_hidden', 7)
    text = main('--help').out
    for name in 'n_epochs', 'batch_size', 'learning_rate', 'corruption_level', 'n_hidden':
        assert re.search(rf'--{name} [^(]*\({getattr(dae_mnist, name)}\)', text)
    assert '--seed' in text and '--data_dir' in text and '--log_dir' in text


def test_stdout_has_the_costs_and_stderr_where_the_results_go(main):
    runs = [main('--n_hidden', 9, '--n_epochs', 3) for _ in range(2)]
    folders = sorted(Path('logs').iterdir())
    for run, folder in zip(runs, folders, strict=True):
        assert run.err == f'The results go to {folder}.\n'
        assert run.out == ''.join(f'{i} {cost!s}\n' for i, cost in enumerate(run.learned['costs']))
        for name, array in learned(folder).items():
            np.testing.assert_array_equal(array, run.learned[name])


def refused(run, *words):
    """Assert that a run ended with one line and status 1, and made nothing."""
    last = run.err.splitlines()[-1]
    assert run.status == 1 and not run.out and not list(Path().iterdir())
    assert all(str(word) in last for word in words), last


def test_without_mnist_it_trains_on_the_sample_and_says_so(main, no_mnist):
    shutil.copytree(SAMPLE, no_mnist / 'sample')
    runs = [main('--n_hidden', 1, '--n_epochs', 1, '--seed', 0, data_dir=None) for _ in range(2)]
    assert runs[0].out == runs[1].out != '' and 'sample is used instead' in runs[0].err
    shutil.rmtree('logs')
    refused(main(data_dir=no_mnist), TRAIN_IMAGES)  # named, it is not replaced
    labels = no_mnist / 'sample' / TEST_LABELS
    labels.write_bytes(labels.read_bytes()[:-9])
    refused(main(data_dir=None), 'dae_mnist.py: ', labels)


def test_neither_mnist_nor_sample(main, no_mnist):
    no_mnist.mkdir(parents=True)
    refused(main(data_dir=None), no_mnist, TRAIN_IMAGES)
    assert not (no_mnist / 'sample').exists()


def test_data_that_do_not_fit_are_told_in_one_line(main, no_mnist, tmp_path):
    shutil.copytree(SAMPLE, no_mnist / 'sample')  # must not be taken
    larger = write_set(tmp_path / 'larger', random_set(rows=32, columns=32))
    refused(main(data_dir=larger), 'dae_mnist.py: ', larger, '28 x 28')
    few = write_set(tmp_path / 'few', random_set(train=4999))
    refused(main(data_dir=few), 'dae_mnist.py: ', '5000')
    none_left = main(data_dir=write_set(tmp_path / 'none left', random_set(train=5000)))
    assert none_left.status == 2 and '5,000' in none_left.err and not list(Path().iterdir())
    damaged = write_set(no_mnist, random_set())
    (damaged / TEST_IMAGES).write_bytes((damaged / TEST_IMAGES).read_bytes()[:-9])
    for data_dir in damaged, None:
        refused(main(data_dir=data_dir), 'dae_mnist.py: ', damaged / TEST_IMAGES)


def test_a_tilde_is_the_home_in_both_folders(main, small_set, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    shutil.copytree(small_set, tmp_path / 'digits')
    run = main('--n_hidden', 1, '--n_epochs', 1, '--log_dir', '~/run', data_dir='~/digits')
    assert run.status == 0 and (tmp_path / 'run' / 'learned.npz').is_file()
