"""The script as its user sees it: flags, stdout and stderr, exit status, and the data it takes."""

import gzip
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import dae_mnist
import input_data
from dae_mnist import build_graph, main, parse, train

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / 'MNIST_data' / 'sample'
STARTUP = re.compile(r'WARNING: All log messages|[IWE]\d{4} ')  # TensorFlow's own lines
FLAGS = {'n_epochs': 100, 'batch_size': 128, 'learning_rate': 0.02, 'corruption_level': 0.3,
         'n_hidden': 500, 'seed': None, 'data_dir': None, 'log_dir': None}

# A program that has used TensorFlow, NumPy and random before it imports the script and runs it
# twice, and that stops if any of them notices.
HOST = '''
import pickle, random, sys
import numpy as np
import tensorflow as tf

def draw():
    return tf.random.uniform([3]).numpy().tolist()

def state():
    return pickle.dumps([
        random.getstate(), np.random.get_state(), tf.executing_eagerly(),
        tf.compat.v1.logging.get_verbosity(),
        len(tf.compat.v1.get_default_graph().get_operations())])

random.seed(1), np.random.seed(1), tf.random.set_seed(1)
expected, before = [draw() for _ in range(4)], state()
tf.random.set_seed(1)
assert draw() == expected[0]
import dae_mnist
assert state() == before and draw() == expected[1]
for k in 2, 3:
    dae_mnist.main(sys.argv[1:])
    assert state() == before and draw() == expected[k]
'''


def write_mnist(folder, n_train, n_test):
    """Write a data set of random pixels into a new folder, in MNIST's four files."""
    rng = np.random.RandomState(0)
    folder.mkdir()
    for name, n in ('train', n_train), ('t10k', n_test):
        for kind, header, size in (('images-idx3', [2051, n, 28, 28], n * 784),
                                   ('labels-idx1', [2049, n], n)):
            pixels = rng.randint(0, 10, size).astype(np.uint8).tobytes()
            with gzip.open(folder / f'{name}-{kind}-ubyte.gz', 'wb', 1) as file:
                file.write(struct.pack(f'>{len(header)}I', *header) + pixels)
    return folder


def copy_project(folder):
    """Copy the script, the loader and the sample into a new folder, without MNIST."""
    shutil.copytree(SAMPLE, folder / 'MNIST_data' / 'sample')
    for name in 'dae_mnist.py', 'input_data.py':
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """A folder with 256 training and 40 test images."""
    return write_mnist(tmp_path_factory.mktemp('tiny') / 'data', 5256, 40)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Each test has a current folder of its own, since a run leaves files there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_child(folder, command):
    """Run a shell command where no network can be reached; return it with stderr cut in lines."""
    env = {name: value for name, value in os.environ.items()
           if name.lower() != 'no_proxy' and name != 'TF_CPP_MIN_LOG_LEVEL'}
    env['https_proxy'] = 'http://127.0.0.1:9'
    begin = time.monotonic()
    child = subprocess.run(command, shell=True, cwd=folder, env=env, text=True, timeout=100,
                           capture_output=True)
    child.seconds = time.monotonic() - begin
    child.said = [line for line in child.stderr.splitlines() if not STARTUP.match(line)]
    child.folder = folder
    return child


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A copy of the project where MNIST is not."""
    return copy_project(tmp_path_factory.mktemp('project'))


@pytest.fixture(scope='module')
def children(project, tiny, tmp_path_factory):
    """All child processes of this file, two at a time, as futures by name."""
    damaged = copy_project(tmp_path_factory.mktemp('damaged'))
    for path in SAMPLE.iterdir():
        content = path.read_bytes()
        (damaged / 'MNIST_data' / path.name).write_bytes(
            content[:9999] if path.name.startswith('train-images') else content)
    changed = copy_project(tmp_path_factory.mktemp('changed'))
    code = (ROOT / 'dae_mnist.py').read_text()
    (changed / 'dae_mnist.py').write_text(code.replace('W) + b)  # (2)', 'W) + b_prime)  # (2)'))
    (project / 'host.py').write_text(HOST)
    (project / 'empty').mkdir()

    def start(program, flags, rest=''):
        command = shlex.join([sys.executable, str(program), *flags]) + rest
        return pool.submit(run_child, tmp_path_factory.mktemp('elsewhere'), command)

    script = project / 'dae_mnist.py'
    with ThreadPoolExecutor(2) as pool:
        yield {
            'fallback': start(script, ['--n_epochs', '2'], ' > costs.txt'),
            'head': start(script, ['--n_epochs', '50', '--data_dir', str(tiny)], ' | head -1'),
            'empty': start(script, ['--data_dir', str(project / 'empty')]),
            'damaged': start(damaged / 'dae_mnist.py', []),
            'changed': start(changed / 'dae_mnist.py', ['--data_dir', str(tiny)]),
            'bad flag': start(script, ['--corruption_level', '1']),
            'host': start(project / 'host.py', few_flags(tiny)),
        }


def few_flags(data, *flags):
    """Return the flags of a short run that can be repeated."""
    return ['--n_epochs', '2', '--n_hidden', '9', '--seed', '5', '--data_dir', str(data), *flags]


def refused(capsys, argv):
    """Run the script in this process, where it must exit; return status, stdout and stderr."""
    with pytest.raises(SystemExit) as stop:
        main(argv)
    return stop.value.code, *capsys.readouterr()


@pytest.mark.parametrize('flag, text', [
    *(('--corruption_level', text) for text in ('-0.1', '1', '1.5', 'nan', 'inf', 'half', '')),
    *((flag, text) for flag in ('--batch_size', '--n_epochs', '--n_hidden')
      for text in ('0', '-1', '1.5', 'nan', 'ten', '')),
    *(('--learning_rate', text) for text in ('0', '-1', 'nan', 'inf', '-inf', '1e999', 'fast')),
    *(('--seed', text) for text in ('-1', '1.5', 'luck', '4294967296')),
    ('--momentum', '0.9'), ('--epochs', '3'), ('--n_ep', '3')])
def test_a_bad_flag_gets_one_line_before_any_data_is_read(
        monkeypatch, capsys, scratch, flag, text):
    monkeypatch.setattr(input_data, 'read_data_sets', lambda *args, **kwargs: pytest.fail('read'))
    status, out, err = refused(capsys, [flag, text])
    assert (status, out) == (2, '')
    assert re.fullmatch(rf'.*{flag}\b.*\n', err)
    assert not list(scratch.iterdir())


def test_a_bad_flag_in_a_shell(children):
    child = children['bad flag'].result()
    assert (child.returncode, child.stdout) == (2, '')
    assert len(child.said) == 1 and '--corruption_level' in child.said[0]


@pytest.mark.parametrize('flag, text', [
    ('--corruption_level', '0'), ('--corruption_level', '0.999'), ('--n_epochs', '1'),
    ('--batch_size', '1'), ('--n_hidden', '1'), ('--learning_rate', '1e-9'), ('--seed', '0'),
    ('--seed', '4294967295')])
def test_the_last_good_values(monkeypatch, flag, text):
    class Reading(Exception):
        pass

    def read(*args, **kwargs):
        raise Reading

    monkeypatch.setattr(input_data, 'read_data_sets', read)
    with pytest.raises(Reading):
        main([flag, text])


def test_more_images_a_step_than_there_are(capsys, tiny):
    status, out, err = refused(capsys, ['--data_dir', str(tiny), '--batch_size', '257'])
    assert (status, out) == (2, '')
    assert re.fullmatch(r'.*--batch_size.*\b256\b.*\n', err)


def test_as_many_images_a_step_as_there_are(capsys, tiny):
    main(few_flags(tiny, '--batch_size', '256'))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_flags_are_those_of_the_design_with_the_constants_as_defaults():
    assert vars(parse([])[0]) == FLAGS
    for name, value in FLAGS.items():
        assert getattr(dae_mnist, name, None) == value


def test_help_lists_each_flag_with_its_default(capsys):
    status, out, err = refused(capsys, ['--help'])
    assert (status, err) == (0, '')
    entries = {entry.split()[0]: entry for entry in ' '.join(out.split()).split(' --')[1:]}
    assert set(entries) == {*FLAGS, 'help'}
    for name, value in FLAGS.items():
        words = entries[name].split(maxsplit=2)[2]  # after the flag and its value: what it is for
        assert value is None or re.fullmatch(rf'\w.+ \(.*\b{value}\)', words)


def test_each_flag_reaches_the_run(capsys, tiny):
    main(['--n_epochs', '3', '--batch_size', '50', '--learning_rate', '0.1', '--seed', '5',
          '--corruption_level', '0.6', '--n_hidden', '7', '--data_dir', str(tiny)])
    printed = capsys.readouterr().out
    train(build_graph(7, 0.1, 5), input_data.read_data_sets(tiny), 3, 50, 0.6, 5)
    assert printed == capsys.readouterr().out


def test_a_seed_repeats_a_run_in_one_process_and_in_another(capsys, children, tiny):
    outputs = []
    for _ in range(2):
        main(few_flags(tiny))
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert children['host'].result().stdout == 2 * outputs[0]


def test_without_a_seed_two_runs_differ(capsys, tiny):
    outputs = set()
    for _ in range(2):
        main(['--n_epochs', '1', '--n_hidden', '9', '--data_dir', str(tiny)])
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 2


def test_generators_and_tensorflow_do_not_notice_the_script(children):
    """Not when it is imported, and not when it runs: see HOST."""
    child = children['host'].result()
    assert child.returncode == 0, child.stderr


def test_learned_is_returned(capsys, tiny):
    learned = main(few_flags(tiny))
    assert [a.shape for a in learned] == [(784, 9), (9,), (784,), (2,)]
    costs = [line.split(' ')[1] for line in capsys.readouterr().out.splitlines()]
    assert [str(cost) for cost in learned.costs] == costs


def test_a_cost_that_is_not_finite(capsys, tiny):
    status, out, err = refused(capsys, few_flags(tiny, '--learning_rate', '1e38'))
    assert (status, out) == (1, '')
    assert re.fullmatch(r'.*epoch 0\b.*--learning_rate.*\n', err)


def test_without_mnist_and_network_the_sample_serves(children, project):
    """From another folder; the data is named at the start and at the end."""
    child = children['fallback'].result()
    assert child.returncode == 0
    assert child.seconds < 60
    first, last = '\n'.join(child.said[:2]), child.said[-1]
    for part in ('MNIST could not be had', 'train-images-idx3-ubyte.gz', 'refused', 'four files',
                 str(project / 'MNIST_data'), 'sample', 'do not compare'):
        assert part in first
    for part in 'sample', 'not MNIST', 'do not compare':
        assert part in last
    assert not any('compare' in line for line in child.said[2:-1])


def test_stdout_is_a_file_to_plot(children):
    path = children['fallback'].result().folder / 'costs.txt'
    assert all(re.fullmatch(r'\d+ \d+(\.\d+)?', line) for line in path.read_text().splitlines())
    epochs, costs = np.loadtxt(path).T
    assert epochs.tolist() == [0, 1]
    assert 28_000 < costs[0] < 36_000 and costs[1] < 0.85 * costs[0]  # 2,000 drawn digits


def test_a_reader_who_has_seen_enough(children):
    child = children['head'].result()
    assert re.fullmatch(r'0 \S+\n', child.stdout)
    assert not re.search('Traceback|Exception', child.stderr)
    assert len(child.said) <= 1


def test_a_named_folder_without_mnist_is_an_error(children, project):
    child = children['empty'].result()
    assert (child.returncode, child.stdout) == (1, '')
    assert child.seconds < 60
    line, = child.said
    assert str(project / 'empty') in line and 'refused' in line


def test_damaged_mnist_is_an_error(children):
    child = children['damaged'].result()
    assert (child.returncode, child.stdout) == (1, '')
    line, = child.said
    assert os.path.join('MNIST_data', 'train-images-idx3-ubyte.gz') in line


def test_whoever_changes_the_graph_is_shown_the_line(children):
    child = children['changed'].result()
    assert (child.returncode, child.stdout) == (1, '')
    assert 'Y = tf.nn.sigmoid(tf.matmul(tilde_X, W) + b_prime)  # (2)' in child.stderr
    assert 'Dimensions must be equal' in child.said[-1]
