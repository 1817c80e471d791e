"""The script as a process of its own: Ctrl-C, kills, two at once, full disks, other users."""

import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import ROOT, copy_project, environment, learned, stderr_lines

# A program that starts TensorFlow once and then, for each line of JSON, a child that runs a script.
SERVER = '''
import json, os, runpy, secrets, sys
import numpy.random, tensorflow.compat.v1
for line in sys.stdin:
    task = json.loads(line)
    if 'wait' in task:
        print(os.waitstatus_to_exitcode(os.waitpid(task['wait'], 0)[1]), flush=True)
        continue
    if pid := os.fork():
        print(pid, flush=True)
        continue
    os.setsid()  # the next terminal that it opens controls it
    os.chdir(task['folder'])
    for number, name in enumerate(task['streams']):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY), number)
    if task['user']:
        os.setgroups([]), os.setgid(task['user']), os.setuid(task['user'])
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, closefd=False) for number, mode in enumerate('rww'))
    sys.argv = task['argv']
    sys.path[0] = os.path.dirname(sys.argv[0])
    exec(task['before'])
    runpy.run_path(sys.argv[0], run_name='__main__')
    sys.exit()
'''
LINE = r'(?m)^\d+ \d+\.\d+\r?$'  # an epoch and its cost


@pytest.fixture(scope='module')
def server():
    with subprocess.Popen([sys.executable, '-c', SERVER], env=environment(http_proxy=''),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


@pytest.fixture
def start(server, tmp_path):
    """Start the script with flags in a folder; what it prints goes to out and err, or elsewhere."""
    runs = []

    def ask(**task):
        print(json.dumps(task), file=server.stdin, flush=True)
        return int(server.stdout.readline())

    def start_one(*flags, script=ROOT / 'dae_mnist.py', out=None, err=None, before='', user=0):
        def read():
            return ''.join(path.read_text() for path in paths if Path(path).is_file())

        def wait():
            run.status = ask(wait=run.pid) if run.status is None else run.status
            return run.status

        def see(text, times=1):
            limit = time.monotonic() + 60
            while len(re.findall(text, read())) < times:
                assert time.monotonic() < limit, read()
                time.sleep(0.001)
        paths = out or tmp_path / f'out{len(runs)}', err or tmp_path / f'err{len(runs)}'
        stdin = out if '/pts/' in str(out) else '/dev/null'
        pid = ask(folder=str(tmp_path), streams=[stdin, *map(str, paths)], user=user,
                  before=before, argv=[str(script), *map(str, flags)])
        runs.append(run := SimpleNamespace(pid=pid, status=None, read=read, wait=wait, see=see,
                                           lines=lambda: re.findall(LINE, read())))
        return run
    yield start_one
    for run in runs:
        if run.status is None:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()


def test_ctrl_c_on_a_terminal(start, flags, tmp_path):
    keyboard, device = os.openpty()
    terminal = os.ttyname(device)
    # Long steps, as with real data: an interrupt between them can leave a lock of TensorFlow taken.
    run = start(*flags, '--n_hidden', 1000, '--n_epochs', 10**6, '--log_dir', 'run', out=terminal,
                err=terminal)
    text, pressed = '', 0
    while '--logdir=run\r\n' not in text:
        assert select.select([keyboard], [], [], 60)[0], text
        text += os.read(keyboard, 1 << 16).decode()
        trained = len(re.findall(LINE, text.replace('\r\033[K', '\n'))) >= 3
        # Python loses an interrupt that falls into a destructor: then press again.
        if trained and time.monotonic() > pressed + 10:
            os.write(keyboard, b'\x03')
            pressed = time.monotonic()
    assert run.wait() == 130 and 'Traceback' not in text
    n = len(learned(tmp_path / 'run')['costs'])
    assert f'\r\033[K{n} epochs on' in text
    assert re.search(r'\d of 1000000 epochs, \d+ seconds left', text)
    assert (tmp_path / 'run' / 'filters.png').is_file()
    os.close(keyboard), os.close(device)


def test_killed_at_any_moment_it_goes_on_to_the_same_digits(start, flags, tmp_path):
    undisturbed = start(*flags, '--n_epochs', 100, '--log_dir', 'undisturbed')
    assert undisturbed.wait() == 0 and len(undisturbed.lines()) == 100
    seed = random.randrange(10**6)
    print('seed of the kills:', seed)  # pytest shows it when the test fails
    rng, printed = random.Random(seed), []  # the lines of each run
    half = '''if True:
        import itertools, signal, numpy as np
        count, savez = itertools.count(1), np.savez
        def kill_half_way(path, **arrays):
            savez(path, **arrays)
            if next(count) == 3:
                os.truncate(path, os.path.getsize(path) // 2)
                os.kill(os.getpid(), signal.SIGKILL)
        np.savez = kill_half_way'''
    for kill in ['starting', 'writing', *range(4), 'none']:
        run = start(*flags, '--n_epochs', 100, '--log_dir', 'run',
                    before=half if kill == 'writing' else '')
        if kill == 'starting':
            run.see('Training on')
        elif kill not in ('writing', 'none'):
            run.see(LINE, rng.randint(1, 3))
        if kill not in ('writing', 'none'):
            time.sleep(rng.random() / 100)
            os.kill(run.pid, signal.SIGKILL)
        assert run.wait() == (0 if kill == 'none' else -signal.SIGKILL)
        printed.append(run.lines())
        union = sum(printed, [])
        if kill == 'writing':
            assert len(union) == 2 and list((tmp_path / 'run').glob('*.part.npz'))
        assert not union or len(learned(tmp_path / 'run')['costs']) >= len(union)
    assert sum(map(bool, printed)) >= 6
    # In order, each at most once; one that was kept but not yet printed is printed by nobody.
    assert [line for line in undisturbed.lines() if line in union] == union and len(union) >= 94
    kept, expected = learned(tmp_path / 'run'), learned(tmp_path / 'undisturbed')
    for name in expected:
        np.testing.assert_array_equal(kept[name], expected[name])


def test_two_processes_in_one_folder(start, flags, tmp_path):
    """Both write each epoch at the same time, with other seeds: all that is kept is of one."""
    together = """if True:
        import glob, os, time, numpy as np
        savez = np.savez
        def save_beside_the_other(path, **arrays):
            savez(path, **arrays)
            epoch, limit = len(arrays['costs']), time.monotonic() + 20
            open(f'{epoch}.{os.getpid()}', 'w').close()
            while len(glob.glob(f'{epoch}.*')) < 2:
                assert time.monotonic() < limit
        np.savez = save_beside_the_other"""
    runs = [start(*flags, '--n_epochs', 30, '--seed', seed, '--log_dir', 'run', before=together)
            for seed in (3, 4)]
    assert [run.wait() for run in runs] == [0, 0], [run.read() for run in runs]
    kept = learned(tmp_path / 'run')
    seed = int('--seed 4' in kept['flags'])
    assert runs[seed].lines() == [f'{i} {cost!s}' for i, cost in enumerate(kept['costs'])]
    assert len(kept['costs']) == 30 and kept['W'].shape == (784, 9)
    assert {path.name for path in (tmp_path / 'run').iterdir() if 'tfevents' not in path.name} == {
        'filters.png', 'learned.npz', 'reconstructions.png'}


def test_head_and_full_disks(start, flags, tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    run = start(*flags, '--n_epochs', 10**6, out=tmp_path / 'pipe', err=tmp_path / 'err')
    with open(tmp_path / 'pipe') as pipe:
        assert pipe.readline().startswith('0 ')
    run.wait()
    assert len(stderr_lines((tmp_path / 'err').read_text())) == 1  # Training on ...
    run = start(*flags, out='/dev/full')
    assert run.wait() == 1
    assert stderr_lines(run.read())[1:] == ['dae_mnist.py: [Errno 28] No space left on device']
    run = start(*flags, err='/dev/full')
    assert run.wait() == 0 and len(run.lines()) == 4
    (tmp_path / 'file').write_text('mine')
    run = start(*flags, '--log_dir', 'file')
    assert run.wait() == 1 and (tmp_path / 'file').read_text() == 'mine'
    assert re.fullmatch(r"dae_mnist.py: .*File exists: 'file'", stderr_lines(run.read())[-1])


def test_a_mistake_in_an_edited_graph_keeps_its_traceback(start, flags, tmp_path):
    project = copy_project(tmp_path / 'project')
    code = (project / 'dae_mnist.py').read_text()
    (project / 'dae_mnist.py').write_text(code.replace('W) + b)  # (2)', 'W) + b_prime)  # (2)'))
    run = start(*flags, script=project / 'dae_mnist.py')
    assert run.wait() == 1 and 'Traceback' in run.read() and 'W) + b_prime)' in run.read()


def test_ctrl_c_while_the_data_are_loaded(start, tmp_path):
    run = start(before='import input_data, signal\n'
                'input_data.read_data_sets = lambda *_: signal.raise_signal(signal.SIGINT)')
    assert run.wait() == 130 and not stderr_lines(run.read())
    assert {path.name for path in tmp_path.iterdir()} == {'out0', 'err0'}


@pytest.fixture
def start_without_rights(start):
    """Start an ordinary user's run in a project whose MNIST_data cannot be written; also its path.

    The server that is asked for MNIST sends what passes every check.
    """
    folder = Path(tempfile.mkdtemp())  # unlike pytest's, another user may look into it
    data = copy_project(folder) / 'MNIST_data'
    for path in [folder, *folder.rglob('*')]:
        path.chmod(0o555)
    before = f"""if True:
        import input_data
        input_data.MIRRORS = [{(data / 'sample').as_uri()!r} + '/']
        input_data.SHA256 = dict.fromkeys(input_data.SHA256)"""
    yield data, lambda *flags: start(
        '--n_hidden', 1, '--n_epochs', 1, *flags, script=folder / 'dae_mnist.py', before=before,
        user=0 if os.getuid() else 65534)
    for path in folder, data, data / 'sample':
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_folder_that_cannot_be_written_leads_to_the_sample(start_without_rights):
    data, start = start_without_rights
    with tempfile.TemporaryDirectory() as logs:
        os.chmod(logs, 0o777)
        run = start('--log_dir', logs)
        assert run.wait() == 0 and Path(logs, 'learned.npz').is_file(), run.read()
    assert 'Permission denied' in run.read() and 'Training on the sample.' in run.read()


@pytest.mark.parametrize('name', ['', 'new'])
def test_a_log_dir_that_cannot_be_written_is_named(start_without_rights, name):
    data, start = start_without_rights
    run = start('--data_dir', data / 'sample', '--log_dir', data / name)
    assert run.wait() == 1 and 'Traceback' not in run.read(), run.read()
    *_, last = stderr_lines(run.read())
    assert last.startswith('dae_mnist.py: ') and str(data / name) in last
