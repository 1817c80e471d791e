"""A run that is stopped, at any moment and by any means, goes on to the same digits."""

import contextlib
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import dae_mnist
from conftest import ROOT
from test_run_folder import FLAGS, LIVE, call, logged, screen, weights
from test_script import STARTUP, write_mnist

FLAGS = [str(flag) for flag in FLAGS]

# A program that imports the script once and runs it for each line on stdin, `out err flags...`.
FORKS = '''
import os, sys
import dae_mnist
for line in sys.stdin:
    out, err, *flags = line.split()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        for number, name in (1, out), (2, err):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        dae_mnist.main(flags)
        sys.exit()
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
'''


class Child:
    """The script as a process of its own, run in `folder`, and what it writes.

    terminal: a shell's redirection to "$0", a terminal that controls it and has a keyboard.
    """

    def __init__(self, command, folder, terminal=''):
        python, *arguments = command
        assert python == sys.executable
        self.ends = dict(stdout=os.pipe(), stderr=os.openpty() if terminal else os.pipe())
        self.text = dict.fromkeys(self.ends, '')
        for reader, _ in self.ends.values():
            os.set_blocking(reader, False)
        self.keyboard, device = self.ends['stderr']
        name = os.ttyname(device) if terminal else ''
        self.process = subprocess.Popen(
            ['sh', '-c', f'exec "$@" {terminal}', name, sys.executable, *arguments], cwd=folder,
            start_new_session=True, stdin=subprocess.DEVNULL,
            **{stream: writer for stream, (_, writer) in self.ends.items()})

    def wait_for(self, pattern=None):
        """Read until the pattern shows up, or else to the end."""
        limit, ended = time.monotonic() + 100, False
        while not ended and not (pattern and re.search(pattern, ''.join(self.text.values()))):
            assert time.monotonic() < limit, self.text
            time.sleep(0.005)
            ended = self.process.poll() is not None
            for stream, (reader, _) in self.ends.items():
                with contextlib.suppress(BlockingIOError):
                    while True:
                        self.text[stream] += os.read(reader, 1 << 16).decode()

    def end(self):
        """Wait for the end; return the exit status, what it wrote, and the lines of both streams.

        The lines are what a terminal shows, and without those of TensorFlow.
        """
        self.wait_for()
        for end in sum(self.ends.values(), ()):
            os.close(end)
        lines = [line for text in self.text.values() for line in screen(text)
                 if line and not STARTUP.match(line)]
        return SimpleNamespace(status=self.process.returncode, **self.text, lines=lines)


def stop(folder, flags, terminal, ready, signum):
    """Run the script until the pattern `ready` shows up, stop it, and do what its last line says.

    Returns both runs, as Child.end does.
    """
    child = Child([sys.executable, str(ROOT / 'dae_mnist.py'), *FLAGS, *flags], folder, terminal)
    child.wait_for(ready)
    if terminal and signum == signal.SIGINT:
        os.write(child.keyboard, b'\x03')  # Ctrl-C
    else:
        child.process.send_signal(signum)
    first = child.end()
    command = shlex.split(first.lines[-1].partition('To go on: ')[2])
    return first, Child(command, folder, terminal).end()


@pytest.fixture(autouse=True, scope='module')
def heard():
    """Children inherit it where SIGINT is ignored, as in a shell's background: hear it."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
    """Three runs, stopped and continued, as futures; the first two start at the same moment."""
    epoch_1 = r'(?<!\d)1 \d+(\.\d+)?\r?\n'
    folder, other = tmp_path_factory.mktemp('both'), tmp_path_factory.mktemp('other')
    both, stderr = '<"$0" >"$0" 2>&1', '<"$0" 2>"$0"'
    with ThreadPoolExecutor(3) as pool:
        yield SimpleNamespace(
            folder=folder,
            ctrl_c=pool.submit(stop, folder, ['--n_epochs', '10'], both, epoch_1, signal.SIGINT),
            sigterm=pool.submit(stop, folder, ['--n_epochs', '10'], '', epoch_1, signal.SIGTERM),
            early=pool.submit(stop, other, ['--n_epochs', '2', '--batch_size', '8', '--log_dir',
                                            "it's/my run"], stderr, LIVE, signal.SIGINT))


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    """The lines that 10 epochs print when nobody stops them."""
    folder = tmp_path_factory.mktemp('alone')
    return call(*FLAGS, '--n_epochs', 10, '--log_dir', folder)[1].splitlines()


def costs(run):
    return [line for line in run.lines if re.fullmatch(r'\d+ \d+(\.\d+)?', line)]


@pytest.mark.parametrize('name, status', [('ctrl_c', 130), ('sigterm', 143)])
def test_a_stopped_run_says_how_to_go_on(name, status, stopped, alone):
    first, second = getattr(stopped, name).result()
    assert first.status == status and second.status == 0
    assert 'Traceback' not in str(first) and 'Exception' not in str(first)
    assert len(first.lines) == len(costs(first)) + 1
    safe = int(re.search(r'epoch (\d+) is safe', first.lines[-1])[1])
    assert costs(first)[:safe + 1] == alone[:safe + 1]
    assert len(costs(first)) in (safe + 1, safe + 2)  # printed, then stopped while it was saved
    assert costs(second) == alone[safe + 1:]
    assert len(second.lines) == len(costs(second)) + 1
    if name == 'sigterm':  # no terminal: nothing that moves
        for text in first.stdout, first.stderr, second.stdout, second.stderr:
            assert not LIVE.search(text) and '\r' not in text and '\x1b' not in text
        assert second.stdout.splitlines() == costs(second)


def test_runs_started_at_the_same_moment_have_folders_of_their_own(stopped, alone):
    stopped.ctrl_c.result(), stopped.sigterm.result()
    folders = list((stopped.folder / 'logs').iterdir())
    assert len(folders) == 2 and os.listdir(stopped.folder) == ['logs']
    for folder in folders:
        assert {f'{i} {cost!s}' for i, cost in logged(folder, 'cost').items()} == set(alone)


def test_stopped_in_the_first_epoch(stopped, tmp_path):
    first, second = stopped.early.result()
    assert first.status == 130 and second.status == 0
    line, = first.lines
    assert 'no epoch' in line and '--log_dir' in line and not first.stdout
    flags = '--n_epochs', 2, '--batch_size', 8, '--log_dir', tmp_path
    assert second.stdout == call(*FLAGS, *flags)[1]


def test_progress_on_a_terminal_is_gone_in_the_end(stopped):
    """stderr is a terminal, stdout is not."""
    _, second = stopped.early.result()
    live = [(int(i), int(done)) for i, done, *_ in LIVE.findall(second.stderr)]
    assert live == sorted(live) and {i for i, _ in live} == {0, 1}
    assert len({done for _, done in live}) > 3
    assert len(costs(second)) == 2 and len(second.lines) == 3 and "it's/my run" in second.lines[-1]
    assert re.fullmatch(r'(\d \d+(\.\d+)?\n){2}', second.stdout)


def test_handler_of_sigterm_is_put_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    call(*FLAGS, '--n_epochs', 1, '--log_dir', tmp_path)
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_interrupt_while_the_graph_is_built_is_not_lost(tmp_path, monkeypatch):
    """TensorFlow drops what a handler raises inside its calls, so nothing may be raised there."""
    build, built = dae_mnist.build_graph, []

    def build_interrupted(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        built.append(build(*args, **kwargs))
        return built[0]

    monkeypatch.setattr(dae_mnist, 'build_graph', build_interrupted)
    status, out, err = call(*FLAGS, '--n_epochs', 2, '--log_dir', tmp_path)
    assert built and status == 143 and out == ''
    line, = err.splitlines()
    assert 'no epoch' in line and 'To go on: ' in line


def test_training_after_an_interrupted_run(tmp_path, monkeypatch):
    """The signal that stopped one run does not stop the next."""
    build = dae_mnist.build_graph

    def build_interrupted(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return build(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(dae_mnist, 'build_graph', build_interrupted)
        assert call(*FLAGS, '--n_epochs', 2, '--log_dir', tmp_path)[0] == 143
    images, labels = np.zeros((300, 28, 28, 1), np.uint8), np.zeros(300, np.uint8)
    data = dae_mnist.input_data.DataSet(images, labels)
    mnist = dae_mnist.input_data.Datasets(data, data, data)
    assert len(dae_mnist.train(build(n_hidden=3), mnist, n_epochs=1).costs) == 1


def test_killed_at_random_moments(tmp_path):
    """Killed again and again, mostly while it saves: an epoch has two steps only."""
    seed = random.randrange(10 ** 6)
    print('seed', seed)
    rng = random.Random(seed)
    data = write_mnist(tmp_path / 'data', 5256, 40)
    flags = f'--data_dir {data} --n_hidden 9 --seed 5 --n_epochs 150 --log_dir'.split()
    out, err, runs = tmp_path / 'out', tmp_path / 'err', []
    forks = subprocess.Popen([sys.executable, '-c', FORKS], cwd=ROOT, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(delay=None):
        forks.stdin.write(' '.join(map(str, [out, err, *flags, tmp_path / 'log'])) + '\n')
        forks.stdin.flush()
        pid = int(forks.stdout.readline())
        if delay:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
        assert int(forks.stdout.readline()) == (-signal.SIGKILL if delay else 0), err.read_text()
        runs.append(out.read_text().splitlines())

    with forks:
        for _ in range(12):
            run(rng.uniform(0.1, 0.4))
            if any(line.startswith('50 ') for line in runs[-1]):
                break  # so that even a fast machine cannot finish before the next kill
        run()
        forks.stdin.close()

    learned, expected, _ = call(*flags, tmp_path / 'whole')
    starts = [int(lines[0].split()[0]) for lines in runs if lines]
    assert starts == sorted(starts) and runs[-1][-1] == expected.splitlines()[-1]
    assert {line for lines in runs for line in lines} == set(expected.splitlines())
    for one, other in zip(weights(tmp_path / 'log'), learned):
        np.testing.assert_array_equal(one, other)
    assert logged(tmp_path / 'log', 'cost') == dict(enumerate(learned.costs))
    assert not list((tmp_path / 'log').glob('*.part'))
