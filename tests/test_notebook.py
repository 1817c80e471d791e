"""The script in a notebook: pasted, run and imported in a real kernel, and interrupted there."""

import asyncio
import json
import os
import re
import shutil
import sys
import time
from types import SimpleNamespace

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

from test_script import STARTUP, copy_project

EPOCH = re.compile(r'^\d+ \d+(?:\.\d+)?$', re.MULTILINE)
EAGER = '''
import tensorflow as tf
assert tf.executing_eagerly()
try:
    v.assign_add([1.])
except NameError:
    v = tf.Variable([1.])
with tf.GradientTape() as tape:
    square = tf.function(lambda x: x * x)(v)
layer = tf.keras.layers.Dense(1, kernel_initializer='ones')
print('eager', layer(tape.gradient(square, v)[None]).numpy().item(), v.numpy().item())
'''
ABOUT = '''
import numpy
print([(type(a) is numpy.ndarray, a.dtype.name, a.shape) for a in
       (learned.W, learned.b, learned.b_prime, learned.costs)])
print(*(f'{i} {cost!s}' for i, cost in enumerate(learned.costs)), sep='\\n')
'''


class Client(NotebookClient):
    """A client that notes when each text arrives, and interrupts the kernel at a pattern."""

    def process_message(self, msg, cell, cell_index):
        content = msg['content']
        if msg['msg_type'] == 'stream':
            cell.metadata.setdefault('arrived', []).append([time.monotonic(), content['text']])
            if self.stop_at and re.search(self.stop_at, content['text'], re.MULTILINE):
                self.stop_at = None
                self.stopping = asyncio.ensure_future(self.km.interrupt_kernel())
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A copy of the project where the sample stands for MNIST, with a smaller network."""
    folder = copy_project(tmp_path_factory.mktemp('project'))
    for path in (folder / 'MNIST_data' / 'sample').iterdir():
        shutil.copy(path, folder / 'MNIST_data')
    script = folder / 'dae_mnist.py'
    source = script.read_text()
    for line, shorter in ('n_epochs = 100', 'n_epochs = 3'), ('n_hidden = 500', 'n_hidden = 20'):
        assert source.count(f'\n{line}') == 1
        source = source.replace(f'\n{line}', f'\n{shorter}')
    script.write_text(source)
    return folder


@pytest.fixture(scope='module')
def run(project, tmp_path_factory):
    """A function that runs a cell: it returns stdout, stderr, the name of an error, and times."""
    folder = tmp_path_factory.mktemp('kernel')
    (folder / 'python3').mkdir()
    (folder / 'python3' / 'kernel.json').write_text(json.dumps({
        'argv': [sys.executable, '-m', 'ipykernel_launcher', '-f', '{connection_file}'],
        'display_name': 'Python', 'language': 'python'}))
    specs = KernelSpecManager(kernel_dirs=[str(folder)], ensure_native_kernel=False)
    manager = AsyncKernelManager(kernel_spec_manager=specs, kernel_name='python3',
                                 connection_file=str(folder / 'connection.json'))
    client = Client(nbformat.v4.new_notebook(), manager, timeout=100, allow_errors=True)

    def run(source, stop_at=None):
        client.stop_at = stop_at
        cell = nbformat.v4.new_code_cell(source)
        client.nb.cells.append(cell)
        client.execute_cell(cell, len(client.nb.cells) - 1)
        nbformat.validate(client.nb)
        text = {name: ''.join(output.text for output in cell.outputs if output.get('name') == name)
                for name in ('stdout', 'stderr')}
        errors = [output.ename for output in cell.outputs if output.output_type == 'error']
        said = [line for line in text['stderr'].splitlines() if line and not STARTUP.match(line)]
        return SimpleNamespace(out=text['stdout'], said=said, errors=errors,
                               arrived=cell.metadata.get('arrived', []))

    with client.setup_kernel(cwd=str(project), env={**os.environ, 'IPYTHONDIR': str(folder)}):
        yield run


def epochs(result, count, first=0):
    """Return the printed lines, having checked that they are `count` epochs and nothing else."""
    assert not result.errors and len(result.said) == 1, result
    assert 'tensorboard --logdir logs' in result.said[0]
    lines = result.out.splitlines()
    assert EPOCH.findall(result.out) == lines and len(lines) == count
    assert [line.split()[0] for line in lines] == [str(i) for i in range(first, first + count)]
    return lines


def test_pasted_twice_between_eager_cells(run, project):
    source = (project / 'dae_mnist.py').read_text()
    assert run('import sys; print(sys.argv[1])').out == '-f\n'  # the kernel's own
    assert run(EAGER).out == 'eager 2.0 1.0\n'
    for value in 2, 3:
        pasted = run(source)
        lines = epochs(pasted, 3)
        shapes, *costs = run(ABOUT).out.splitlines()
        assert shapes == str([(True, 'float32', shape) for shape in
                              ((784, 20), (20,), (784,), (3,))])
        assert costs == lines
        assert run(EAGER).out == f'eager {2 * value}.0 {value}.0\n'


def test_epochs_appear_as_they_come(run, project):
    run((project / 'dae_mnist.py').read_text().replace('    learned = main()', '    pass'))
    begin = time.monotonic()
    result = run("learned = main(['--n_epochs', '12'])")
    end = time.monotonic()
    epochs(result, 12)
    times = [when for when, text in result.arrived if EPOCH.search(text)]
    assert len(times) >= 6  # a kernel gathers what is printed within moments
    gaps = [b - a for a, b in zip([begin, *times], [*times, end])]
    assert max(gaps[1:-1]) < (end - begin) / 2 and times[-1] - times[0] > (end - begin) / 3


@pytest.mark.parametrize('flags, count', [('', 3), ("--n_epochs 2 --seed 7 --n_hidden 9", 2)])
def test_magic_run(flags, count, run):
    run('%reset -f')
    lines = epochs(run(f'%run dae_mnist.py {flags}'), count)
    shapes, *costs = run(ABOUT).out.splitlines()
    assert costs == lines and f'(784, {9 if flags else 20})' in shapes
    assert epochs(run('learned = main()'), 3)


def test_imported(run):
    run('%reset -f')
    run('import dae_mnist')
    epochs(run('learned = dae_mnist.main()'), 3)
    epochs(run('learned = dae_mnist.main([])'), 3)
    lines = epochs(run("learned = dae_mnist.main(['--n_epochs', '1', '--seed', '7'])"), 1)
    assert run(ABOUT).out.splitlines()[1:] == lines


@pytest.fixture(scope='module')
def alone(run):
    """What 30 epochs print when nobody stops them: long enough for an interrupt to arrive."""
    return epochs(run('%run dae_mnist.py --n_epochs 30 --seed 7'), 30)


@pytest.mark.parametrize('before, cell', [
    ('', '%run dae_mnist.py --n_epochs 30 --seed 7'),
    ('import dae_mnist', "dae_mnist.main(['--n_epochs', '30', '--seed', '7'])")])
def test_interrupted(before, cell, run, alone):
    """The last line names the cell to go on with; the kernel has lost nothing."""
    run('%reset -f')
    run(f'{before}\nkept = 7')
    first = run(cell, stop_at=r'^1 \d')
    assert first.errors in ([], ['SystemExit']), first
    text = '\n'.join([first.out, *first.said])
    assert 'Traceback (' not in text and 'KeyboardInterrupt' not in text
    lines = EPOCH.findall(first.out)
    assert lines == alone[:len(lines)] and 2 <= len(lines) < 30
    said, = [line for line in first.said if 'To go on: ' in line]
    safe = int(re.search(r'epoch (\d+) is safe', said)[1])
    assert len(lines) - safe in (1, 2) and run('print(kept)').out == '7\n'
    second = run('learned = ' + said.partition('To go on: ')[2])
    assert epochs(second, 30 - safe - 1, safe + 1) == alone[safe + 1:]
    assert run(ABOUT).out.splitlines()[1:] == alone
