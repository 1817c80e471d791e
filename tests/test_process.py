"""The script as a process: how it is stopped, killed, out of disk, and how it ends each time."""

import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, finish, learned, python

import dae_mnist
import input_data

SCRIPT = ROOT / 'dae_mnist.py'
SEED = 3
# Runs the script after a change that makes a fault happen at the right moment.
RUN = '''
import os, runpy, sys
sys.argv[0] = {script!r}
sys.path[0] = os.path.dirname(sys.argv[0])
{change}
runpy.run_path(sys.argv[0], run_name='__main__')
'''


@pytest.fixture
def start(small_set, empty_folder):
    """A function that starts the script, perhaps changed; after a minute it is killed."""
    processes, timers = [], []

    def start(*flags, change=None, n_epochs=10**6):
        program = ['-c', RUN.format(change=change, script=str(SCRIPT))] if change else [SCRIPT]
        processes.append(python(*program, '--data_dir', small_set, '--n_hidden', 9, '--log_dir',
                                'run', '--seed', SEED, '--n_epochs', n_epochs, *flags))
        timers.append(threading.Timer(60, processes[-1].kill))
        timers[-1].start()
        return processes[-1]
    yield start
    for process, timer in zip(processes, timers):
        timer.cancel()
        process.kill()
        process.communicate(timeout=30)


def kept_epochs(small_set, at_most):
    """Return how many epochs the weights of the run have been trained."""
    mnist = input_data.read_data_sets(small_set)
    W = learned('run')['W']
    epochs = dae_mnist.train_epochs(mnist.train.images, mnist.test.images, n_epochs=at_most,
                                    n_hidden=9, seed=SEED)
    return next(i + 1 for i, _, weights in epochs if np.array_equal(weights['W'], W))


def test_ctrl_c_in_a_step(start, small_set):
    process = start()
    lines = [process.stdout.readline() for _ in range(2)]
    assert [line.split()[0] for line in lines] == ['0', '1']
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.status == 130 and 'Traceback' not in run.err
    told = int(re.search(r'kept: (\d+)', run.err.splitlines()[-1])[1])
    # One epoch more, if the signal came after the weights were moved into place.
    assert told >= 2 and kept_epochs(small_set, told + 1) in (told, told + 1)
    assert sorted(os.listdir('run')) == ['filters.png', 'learned.npz', 'reconstructions.png']


def test_ctrl_c_before_the_first_epoch(start):
    process = start(change='''
import input_data
def waiting(folder):
    print('reading', flush=True)
    sys.stdin.read()
input_data.read_data_sets = waiting
''')
    assert process.stdout.readline() == 'reading\n'
    process.send_signal(signal.SIGINT)
    run = finish(process)
    # Python's own end; a shell sees 130.
    assert run.status in (130, -signal.SIGINT) and 'KeyboardInterrupt' in run.err
    assert not os.listdir()


def test_a_kill_loses_at_most_the_epoch_that_it_was_in(start, small_set):
    process = start()
    for _ in range(25):
        line = process.stdout.readline()
    process.kill()
    lines = [line, *finish(process).out.splitlines(True)]
    printed = int(next(line for line in reversed(lines) if line.endswith('\n')).split()[0]) + 1
    assert kept_epochs(small_set, printed + 1) in (printed, printed + 1)


def test_each_line_comes_as_soon_as_its_epoch_ends(start):
    """A pipe gets the first line while the second epoch waits."""
    process = start(n_epochs=2, change='''
replace, moves = os.replace, []
def waiting(*paths):
    replace(*paths)
    moves.append(paths)
    if len(moves) == 2:
        assert sys.stdin.readline() == 'seen\\n'
os.replace = waiting
''')
    assert process.stdout.readline().startswith('0 ')
    run = finish(process, 'seen\n')
    assert run.status == 0 and run.out.startswith('1 ')


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing_half_written(start):
    run = finish(start(change='''
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
'''))
    assert run.status == 1 and run.err.splitlines()[-1].startswith('dae_mnist.py: ')
    assert not Path('run', 'learned.npz').exists()


def test_the_python_prompt_goes_on_after_a_folder_that_cannot_be_made(small_set):
    process = python('-i', SCRIPT, '--data_dir', small_set, '--log_dir', '/dev/null/run',
                     '--n_epochs', 1, '--n_hidden', 9)
    run = finish(process, 'import sys\nprint("alive", file=sys.stderr)\nprint(learned)\n')
    assert run.out == 'None\n' and 'alive' in run.err
    assert re.search("dae_mnist.py: .*'/dev/null/run'", run.err)


def test_the_flags_are_the_scripts_also_renamed_and_read_from_a_pipe(small_set, empty_folder):
    Path('renamed.py').write_text(SCRIPT.read_text('utf-8'), 'utf-8')
    run = finish(python('-c', '''
import runpy, sys
flags = sys.argv[1:]
sys.argv = ['renamed.py', *flags, '--log_dir', 'renamed']
runpy.run_path('renamed.py', run_name='__main__')
sys.argv = ['-', *flags, '--log_dir', 'read']
exec(open('renamed.py', encoding='utf-8').read(), {'__name__': '__main__'})
''', '--data_dir', small_set, '--n_hidden', 9, '--n_epochs', 1, PYTHONPATH=str(ROOT)))
    assert run.status == 0, run.err
    assert os.path.exists('renamed/learned.npz') and os.path.exists('read/learned.npz')
