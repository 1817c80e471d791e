"""The script's flags, the data that it takes, what it says where, and what it refuses."""

import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import (NAMES, ROOT, SAMPLE, TEST_IMAGES, TRAIN_IMAGES, learned, random_set,
                     write_set)

import dae_mnist
import input_data


@pytest.fixture
def main(empty_folder, small_set, monkeypatch, capsys):
    """A function that runs dae_mnist.main on the small set: status, out, err and learned."""
    monkeypatch.setattr(dae_mnist, 'n_epochs', 1)
    monkeypatch.setattr(dae_mnist, 'n_hidden', 9)

    def main(*flags, data_dir=small_set):
        if data_dir is not None:
            flags = *flags, '--data_dir', data_dir
        status = learned = None
        try:
            learned = dae_mnist.main([str(flag) for flag in flags])
        except (SystemExit, OSError) as stop:  # as the last lines do
            status = getattr(stop, 'code', f'dae_mnist.py: {stop}')
        out, err = capsys.readouterr()
        err = re.sub('Downloading .*\n|Left as they are.*\n', '', err)
        if isinstance(status, str):  # Python prints it and ends with 1
            status, err = 1, f'{err}{status}\n'
        return SimpleNamespace(status=status or 0, learned=learned, out=out, err=err)
    return main


@pytest.fixture
def no_mnist(tmp_path, monkeypatch):
    """The folder where MNIST would be, with the sample alone."""
    monkeypatch.setattr(input_data, '__file__', str(tmp_path / 'input_data.py'))
    shutil.copytree(SAMPLE, tmp_path / 'MNIST_data' / 'sample')
    return tmp_path / 'MNIST_data'


def assert_refused(run, *words):
    """Assert that a run told these words, in one line, and made nothing."""
    assert (run.status, run.out, run.err.count('\n')) == (1, '', 1), run.err
    assert run.err.startswith('dae_mnist.py: ') and all(str(word) in run.err for word in words)
    assert not list(Path().iterdir())


def test_flags_and_edited_constants_train_as_train_epochs_does(main, small_set, monkeypatch):
    assert dae_mnist.parse_flags([])['seed'] is None
    base = {'n_epochs': 1, 'batch_size': 128, 'learning_rate': 0.01, 'corruption_level': 0.4,
            'n_hidden': 7, 'seed': 5}
    for settings in [base, *({**base, name: 2 * value} for name, value in base.items())]:
        epochs = list(dae_mnist.train_epochs(*dae_mnist.load_images(small_set), **settings))
        by_flags = main(*[f'--{name}={value}' for name, value in settings.items()])
        for name in base.keys() - {'seed'}:
            monkeypatch.setattr(dae_mnist, name, settings[name])
        by_constants = main(f'--seed={settings["seed"]}')
        for run, folder in zip([by_flags, by_constants], sorted(Path('logs').iterdir())[-2:]):
            assert run.out == ''.join(f'{i} {cost!s}\n' for i, cost, _ in epochs)
            assert run.err == f'The results go to {folder}.\n'
            for weights in run.learned, learned(folder):
                np.testing.assert_equal(weights, epochs[-1][2])


@pytest.mark.parametrize('flag, good, bad, no_number', [
    ('n_epochs', [1], [0, -1], [1.5]), ('batch_size', [1, 300], [0, -1, 301], []),
    ('learning_rate', [1e-9], [0, -0.1, 'nan'], []), ('n_hidden', [1], [0], ['nine']),
    ('corruption_level', [0, 0.99], [1, -0.1], []), ('seed', [0, 2**32 - 1], [-1, 2**32], ['1e3']),
    ('n_epoch', [], [], [3])])  # no abbreviations
def test_a_value_that_cannot_be_is_refused_in_one_line(main, flag, good, bad, no_number):
    for value in bad:
        words = 'Seed' if flag == 'seed' else f'{flag} is {value}'
        assert_refused(main(f'--{flag}={value}'), words)
    for value in no_number:
        run = main(f'--{flag}={value}')
        assert (run.status, run.out, run.err.count('\n')) == (2, '', 1), run.err
        assert re.match(rf'dae_mnist\.py: error: .*--{flag}\b', run.err)
    assert not list(Path().iterdir())
    for value in good:
        assert main(f'--{flag}={value}').status == 0


def test_without_mnist_it_trains_on_the_sample_and_says_so(main, no_mnist):
    run = main(data_dir=None)
    assert re.match('0 [1-9]', run.out) and 'sample is used instead' in run.err
    assert TRAIN_IMAGES in run.err and [path.name for path in no_mnist.iterdir()] == ['sample']


def test_what_is_no_data_is_refused_and_the_sample_hides_nothing(main, no_mnist, tmp_path):
    for data_dir, named in (no_mnist, no_mnist), ('misspelt', 'misspelt'), ('', Path.cwd()):
        assert_refused(main(data_dir=data_dir), named, *NAMES)
    assert [path.name for path in no_mnist.iterdir()] == ['sample']  # a named folder is not filled
    larger = write_set(tmp_path / 'larger', random_set(rows=32, columns=32))
    assert_refused(main(data_dir=larger), larger, 'n_visible', '784')
    damaged = write_set(no_mnist, {TEST_IMAGES: random_set()[TEST_IMAGES]}) / TEST_IMAGES
    assert_refused(main(data_dir=None), no_mnist, TRAIN_IMAGES)  # the others are not there
    write_set(no_mnist, random_set())
    damaged.write_bytes(damaged.read_bytes()[:-9])
    for data_dir in no_mnist, None:
        assert_refused(main(data_dir=data_dir), damaged)


def test_a_folder_of_results_is_new_and_a_tilde_is_the_home(main, small_set, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    shutil.copytree(small_set, tmp_path / 'digits')
    assert main('--log_dir', '~/run', data_dir='~/digits').status == 0
    assert_refused(main('--log_dir', '~/run', data_dir='misspelt'), tmp_path / 'run', '--log_dir')
    monkeypatch.setattr(Path, 'exists', lambda path: False)  # when another run has just made it
    assert ' exists' in main('--log_dir', '~/run').err


def test_a_mistake_in_an_edited_model_keeps_its_traceback(main, monkeypatch):
    def model(tilde_X, **weights):
        raise ValueError('shapes')
    monkeypatch.setattr(dae_mnist, 'model', model)
    with pytest.raises(ValueError, match='shapes'):
        main()
    assert not list(Path().iterdir())  # so that the next try may use the same names


def test_a_cost_that_is_not_finite_ends_the_run_and_the_last_good_weights_stay(main, monkeypatch):
    original = dae_mnist.train_epochs

    def diverging(*images, n_epochs, **settings):
        yield from original(*images, n_epochs=2, **settings)
        raise FloatingPointError('epoch 2 costs nan')
    expected = main('--n_epochs', 2, '--seed', 3, '--log_dir', 'expected').learned
    monkeypatch.setattr(dae_mnist, 'train_epochs', diverging)
    run = main('--n_epochs', 9, '--seed', 3, '--log_dir', 'run')
    assert (run.status, run.out.count('\n')) == (1, 2) and len(list(Path('run').glob('*.png'))) == 2
    assert run.err.splitlines()[1:] == [
        'dae_mnist.py: epoch 2 costs nan. The last whole epoch is kept in run.']
    np.testing.assert_equal(learned('run'), expected)


@pytest.mark.parametrize('name, file', [('renamed.py', {'__file__': 'renamed.py'}), ('-', {})])
def test_a_renamed_copy_and_a_piped_script(name, file, small_set, empty_folder, monkeypatch):
    """They take their flags; what ends them before an epoch was kept is told in one line."""
    text = (ROOT / 'dae_mnist.py').read_text('utf-8')
    names = {'__name__': '__main__', **file}
    flags = f'--data_dir {small_set} --n_hidden 9 --n_epochs 1'.split()
    monkeypatch.setattr(sys, 'argv', [name, *flags, '--log_dir=run'])
    exec(text, names)
    np.testing.assert_equal(names['learned'], learned('run'))
    for flag, words in (('--log_dir=/dev/null/run', '/dev/null/run'),
                        ('--learning_rate=1e38', 'epoch 0 costs nan: lower the learning_rate')):
        sys.argv = [name, *flags, flag]
        with pytest.raises(SystemExit, match=f'^dae_mnist.py: .*{words}'):
            exec(text, names)
        assert names['learned'] is None and not Path('logs').exists()
