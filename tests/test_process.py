"""The script as a process: how it is stopped, killed, out of disk, and how it ends each time."""

import re
import signal
import threading
from pathlib import Path

import pytest
from helpers import ROOT, finish, learned, python

SCRIPT = ROOT / 'dae_mnist.py'
PICTURES = ['filters.png', 'reconstructions.png']
# Runs the script after a change that makes a fault happen at the right moment.
RUN = f'''
import runpy, sys
import numpy as np
sys.argv[0] = {str(SCRIPT)!r}
sys.path[0] = {str(ROOT)!r}
%s
runpy.run_path(sys.argv[0], run_name='__main__')
'''


@pytest.fixture
def start(small_set, empty_folder):
    """A function that starts the script, or code that runs it; after a minute they are killed."""
    processes, timers = [], []

    def start(*flags, code=None, n_epochs=10**6):
        program = ['-c', RUN % code] if code else [SCRIPT]
        processes.append(python(*program, '--data_dir', small_set, '--n_hidden', 9, '--log_dir',
                                'run', '--n_epochs', n_epochs, *flags))
        timers.append(threading.Timer(60, processes[-1].kill))
        timers[-1].start()
        return processes[-1]
    yield start
    for process, timer in zip(processes, timers):
        timer.cancel()
        process.kill()
        process.communicate(timeout=30)


def kept_epochs():
    path = Path('run', 'learned.npz')
    return len(learned('run')['costs']) if path.exists() else 0


@pytest.mark.parametrize('moment', ['first line', 'in a step', 'in a save'])
def test_ctrl_c(start, moment):
    save = '''
def interrupted(path, savez=np.savez, **arrays):
    savez(path, **arrays)
    if len(arrays['costs']) == 3:
        import signal
        signal.raise_signal(signal.SIGINT)
np.savez = interrupted
''' if moment == 'in a save' else None
    process = start(code=save)
    if moment == 'first line':
        assert any('The results go to run.' in line for line in process.stderr)
    else:
        lines = [process.stdout.readline() for _ in range(2)]
        assert [line.split()[0] for line in lines] == ['0', '1']
    if moment != 'in a save':
        process.send_signal(signal.SIGINT)
    run = finish(process)
    if moment == 'first line':  # before the first step Python itself ends, as a shell sees with 130
        assert run.status in (130, -signal.SIGINT)
    else:
        assert run.status == 130 and 'Traceback' not in run.err
        stopped = int(re.search(r'Stopped after (\d+) epochs', run.err)[1])
        assert stopped >= 2 and kept_epochs() in (stopped, stopped - 1)
    made = [name for name in PICTURES if Path('run', name).exists()]
    assert made == (PICTURES if kept_epochs() else [])


def test_a_kill_loses_at_most_the_epoch_that_it_was_in(start):
    process = start()
    for _ in range(25):
        line = process.stdout.readline()
    process.kill()
    lines = [line, *finish(process).out.splitlines(True)]
    printed = int(next(line for line in reversed(lines) if line.endswith('\n')).split()[0]) + 1
    assert kept_epochs() in (printed, printed + 1)
    assert learned('run')['W'].shape == (784, 9)


def test_each_line_comes_as_soon_as_its_epoch_ends(start):
    """A pipe gets the first line while the second epoch waits."""
    process = start(n_epochs=2, code='''
def waiting(path, savez=np.savez, **arrays):
    savez(path, **arrays)
    if len(arrays['costs']) == 2:
        assert sys.stdin.readline() == 'seen\\n'
np.savez = waiting
''')
    assert process.stdout.readline().startswith('0 ')
    run = finish(process, 'seen\n')
    assert run.status == 0 and run.out.startswith('1 ')


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_written(start):
    run = finish(start(code='''
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
'''))
    assert run.status == 1 and run.err.splitlines()[-1].startswith('dae_mnist.py: ')
    assert not Path('run', 'learned.npz').exists()


def test_a_folder_that_cannot_be_made_is_told_in_one_line(start):
    run = finish(start('--log_dir', '/dev/null/run'))
    assert (run.status, run.out) == (1, '')
    assert re.fullmatch("dae_mnist.py: .*'/dev/null/run'.*", run.err)


def test_the_python_prompt_goes_on_after_an_error(small_set):
    process = python('-i', SCRIPT, '--data_dir', small_set, '--log_dir', '/dev/null/run')
    run = finish(process, 'import sys\nprint("alive", file=sys.stderr)\nprint("alive")\n')
    assert run.out == 'alive\n' and 'alive' in run.err and 'dae_mnist.py: ' in run.err
