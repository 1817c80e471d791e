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
        flags = '--n_hidden', 9, '--n_epochs', 1, *flags
        if data_dir is not None:
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


def printed(epochs):
    """Return what the script prints of the epochs of a training, and the last weights."""
    epochs = list(epochs)
    return ''.join(f'{i} {cost!s}\n' for i, cost, _ in epochs), epochs[-1][2]


def test_each_flag_trains_as_the_same_number_given_to_train_epochs(main, small_set):
    base = {'n_epochs': 1, 'batch_size': 128, 'learning_rate': 0.01, 'corruption_level': 0.4,
            'n_hidden': 7, 'seed': 5}
    mnist = input_data.read_data_sets(small_set)
    seen = set()
    for changed in [{}, *({name: 2 * value} for name, value in base.items())]:
        settings = {**base, **changed}
        run = main(*[f'--{name}={value}' for name, value in settings.items()])
        out, weights = printed(
            dae_mnist.train_epochs(mnist.train.images, mnist.test.images, **settings))
        assert run.out == out
        for name, array in weights.items():
            np.testing.assert_array_equal(run.learned[name], array)
        seen.add(out)
    assert len(seen) == 7


@pytest.mark.parametrize('flag, good, bad', [
    ('n_epochs', [1], [0, -1, 1.5]), ('batch_size', [1, 300], [0, -1]),
    ('learning_rate', [1e-9], [0, -0.1, 'nan']), ('corruption_level', [0, 0.99], [1, -0.1]),
    ('n_hidden', [1], [0, 'nine']), ('seed', [0, 2**32 - 1], [-1, 2**32, '1e3'])])
def test_a_value_out_of_range_is_refused_in_one_line(main, flag, good, bad):
    for value in bad:
        run = main(f'--{flag}={value}')
        assert (run.status, run.out, run.err.count('\n')) == (2, '', 1), run.err
        assert run.err.startswith('dae_mnist.py: error: ')
        others = {'--n_epochs', '--batch_size', '--n_hidden', '--learning_rate'} - {f'--{flag}'}
        assert f'--{flag}' in run.err and not any(other in run.err for other in others)
    assert not list(Path().iterdir())
    for value in good:
        assert main(f'--{flag}={value}').status == 0


def test_flags_are_not_abbreviated_and_help_names_them_with_their_defaults(main, monkeypatch):
    for flags in ['--n_epoch', 3], ['--fast'], ['-f', 'kernel.json']:
        run = main(*flags)
        assert (run.status, run.err.count('\n')) == (2, 1) and flags[0] in run.err
    monkeypatch.setenv('COLUMNS', '200')
    monkeypatch.setattr(dae_mnist, 'n_hidden', 7)
    text = main('--help').out
    for name in 'n_epochs', 'batch_size', 'learning_rate', 'corruption_level', 'n_hidden':
        assert re.search(rf'--{name} [^(]*\({getattr(dae_mnist, name)}\)', text)
    for name in 'seed', 'data_dir', 'log_dir':
        assert re.search(rf'--{name} [A-Z_]+ +\w', text)
    assert 'python dae_mnist.py [--flag value]' in text and 'autoencoder' in text


def test_stdout_has_the_costs_and_stderr_where_the_results_go(main, small_set):
    runs = [main('--n_epochs', 3, '--seed', seed) for seed in (1, 2)]
    mnist = input_data.read_data_sets(small_set)
    for seed, run, folder in zip((1, 2), runs, sorted(Path('logs').iterdir()), strict=True):
        assert run.err == f'The results go to {folder}.\n'
        out, weights = printed(dae_mnist.train_epochs(
            mnist.train.images, mnist.test.images, n_epochs=3, n_hidden=9, seed=seed))
        assert run.out == out
        for name, array in learned(folder).items():
            np.testing.assert_array_equal(array, weights[name])
            np.testing.assert_array_equal(array, run.learned[name])


def refused(run, *words):
    """Assert that a run ended with one line and status 1, and made nothing."""
    last = run.err.splitlines()[-1]
    assert run.status == 1 and not run.out and not list(Path().iterdir())
    assert all(str(word) in run.err for word in words), run.err
    return last


def test_without_mnist_it_trains_on_the_sample_and_says_so(main, no_mnist):
    shutil.copytree(SAMPLE, no_mnist / 'sample')
    runs = [main('--n_hidden', 1, '--seed', 0, data_dir=None) for _ in range(2)]
    assert runs[0].out == runs[1].out != '' and 'sample is used instead' in runs[0].err
    shutil.rmtree('logs')
    refused(main(data_dir=no_mnist), TRAIN_IMAGES)  # named, it is not replaced
    labels = no_mnist / 'sample' / TEST_LABELS
    labels.write_bytes(labels.read_bytes()[:-9])
    assert str(labels) in refused(main(data_dir=None), 'dae_mnist.py: ')


def test_neither_mnist_nor_sample(main, no_mnist):
    no_mnist.mkdir(parents=True)
    refused(main(data_dir=None), no_mnist, TRAIN_IMAGES)
    assert not (no_mnist / 'sample').exists()


def test_data_that_do_not_fit_are_told_in_one_line(main, no_mnist, tmp_path):
    shutil.copytree(SAMPLE, no_mnist / 'sample')  # must not be taken
    larger = write_set(tmp_path / 'larger', random_set(rows=32, columns=32))
    assert '784' in refused(main(data_dir=larger), 'dae_mnist.py: ', larger, 'n_visible')
    few = write_set(tmp_path / 'few', random_set(train=4999))
    refused(main(data_dir=few), 'dae_mnist.py: ', '5000')
    none_left = write_set(tmp_path / 'none left', random_set(train=5000))
    refused(main(data_dir=none_left), 'dae_mnist.py: --batch_size', ' 5,000 ')
    refused(main('--batch_size', 301), 'dae_mnist.py: --batch_size', '300')
    damaged = write_set(no_mnist, random_set())
    (damaged / TEST_IMAGES).write_bytes((damaged / TEST_IMAGES).read_bytes()[:-9])
    for data_dir in damaged, None:
        refused(main(data_dir=data_dir), 'dae_mnist.py: ', damaged / TEST_IMAGES)
    with pytest.raises(ValueError, match=TEST_IMAGES):
        dae_mnist.load_images(damaged)


def test_a_named_folder_must_exist_and_no_name_is_the_current_one(main, no_mnist):
    shutil.copytree(SAMPLE, no_mnist / 'sample')  # must not be taken
    refused(main(data_dir='misspelt'), '--data_dir', 'misspelt')
    refused(main(data_dir=''), str(Path.cwd()))


def test_a_folder_of_results_that_exists_is_told_before_anything_is_read(main):
    Path('results').mkdir()
    run = main('--log_dir', 'results', data_dir='misspelt')
    assert run.status == 1 and re.fullmatch('dae_mnist.py: results exists .*--log_dir', run.err)


def test_a_tilde_is_the_home_in_both_folders(main, small_set, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    shutil.copytree(small_set, tmp_path / 'digits')
    run = main('--log_dir', '~/run', data_dir='~/digits')
    assert run.status == 0 and (tmp_path / 'run' / 'learned.npz').is_file()


def test_a_mistake_in_an_edited_model_keeps_its_traceback(main, monkeypatch):
    def model(tilde_X, **weights):
        raise ValueError('shapes')
    monkeypatch.setattr(dae_mnist, 'model', model)
    with pytest.raises(ValueError, match='shapes'):
        main()
    assert not list(Path().iterdir())  # so that the next try may use the same names


@pytest.mark.parametrize('good', [0, 2])
def test_a_cost_that_is_not_finite_ends_the_run_and_the_last_good_weights_stay(
        main, good, monkeypatch):
    original = dae_mnist.train_epochs

    def diverging(*images, **settings):
        for i, cost, weights in original(*images, **settings):
            yield (i, cost, weights) if i < good else (i, cost * np.float32('nan'), weights)
    expected = main('--n_epochs', max(good, 1), '--seed', 3)
    shutil.rmtree('logs')
    monkeypatch.setattr(dae_mnist, 'train_epochs', diverging)
    run = main('--n_epochs', 9, '--seed', 3, '--log_dir', 'run')
    assert (run.status, run.out.count('\n')) == (1, good)
    assert re.fullmatch(rf'Epoch {good} costs nan: .*--learning_rate\.', run.err.splitlines()[-1])
    assert Path('run').exists() == (good > 0)
    if good:
        np.testing.assert_array_equal(learned('run')['W'], expected.learned['W'])
        assert len(list(Path('run').glob('*.png'))) == 2


def test_a_rate_that_is_too_large_by_far(main):
    run = main('--learning_rate', 1e38, '--n_epochs', 3)
    assert run.status == 1 and 'lower --learning_rate' in run.err
