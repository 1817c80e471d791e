"""The script in a notebook: pasted, run and imported in a real kernel, and interrupted there."""

import asyncio
import os
import re
import shutil
from types import SimpleNamespace

import nbformat
import pytest
from helpers import copy_project, run_python, stderr_lines
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

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
print('eager', tape.gradient(square, v).numpy().item(), v.numpy().item())
'''
ABOUT = '''
import numpy
print([(type(a) is numpy.ndarray, a.dtype.name, a.shape) for a in
       (learned.W, learned.b, learned.b_prime, learned.costs)])
print(*(f'{i} {cost!s}' for i, cost in enumerate(learned.costs)), sep='\\n')
'''


class Client(NotebookClient):
    """A client that reacts once, when the text that has arrived from a cell matches a pattern."""

    def process_message(self, msg, cell, cell_index):
        if msg['msg_type'] == 'stream' and self.pattern:
            self.text += msg['content']['text']
            if re.search(self.pattern, self.text, re.MULTILINE):
                self.pattern = None
                self.reaction = self.react()
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope='module')
def project(flags, tmp_path_factory):
    """A copy of the project where the tiny set stands for MNIST, with a smaller network."""
    folder = copy_project(tmp_path_factory.mktemp('project'))
    shutil.copytree(flags[1], folder / 'MNIST_data', dirs_exist_ok=True)
    script = folder / 'dae_mnist.py'
    source = script.read_text()
    for line, shorter in ('n_epochs = 100', 'n_epochs = 3'), ('n_hidden = 500', 'n_hidden = 20'):
        assert source.count(f'\n{line}') == 1
        source = source.replace(f'\n{line}', f'\n{shorter}')
    script.write_text(source)
    return folder


@pytest.fixture(scope='module')
def run(project, tmp_path_factory):
    """A function that runs a cell: it returns stdout, stderr, errors' names, count of pictures.

    Where a pattern is given, the client interrupts the kernel when it sees it, or else reacts.
    """
    folder = tmp_path_factory.mktemp('kernel')
    manager = AsyncKernelManager(connection_file=str(folder / 'connection.json'),
                                 kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = Client(nbformat.v4.new_notebook(), manager, timeout=100, allow_errors=True)

    def interrupt():
        return asyncio.ensure_future(manager.interrupt_kernel())

    def run(source, pattern=None, react=interrupt):
        client.text, client.pattern, client.react = '', pattern, react
        cell = nbformat.v4.new_code_cell(source)
        client.nb.cells.append(cell)
        client.execute_cell(cell, len(client.nb.cells) - 1)
        nbformat.validate(client.nb)
        text = {name: ''.join(output.text for output in cell.outputs if output.get('name') == name)
                for name in ('stdout', 'stderr')}
        errors = [output.ename for output in cell.outputs if output.output_type == 'error']
        pictures = [output for output in cell.outputs if 'image/png' in output.get('data', {})]
        return SimpleNamespace(out=text['stdout'], said=stderr_lines(text['stderr']), errors=errors,
                               pictures=len(pictures))

    with client.setup_kernel(cwd=str(project), env={**os.environ, 'IPYTHONDIR': str(folder)}):
        yield run


def epochs(result, count, first=0):
    """Return the printed lines, having checked that they are `count` epochs and nothing else."""
    assert not result.errors and len(result.said) == 2 and result.pictures == 2, result
    assert 'logs' in result.said[0] and f'{first + count} epochs' in result.said[1]
    lines = result.out.splitlines()
    assert EPOCH.findall(result.out) == lines and len(lines) == count
    assert [line.split()[0] for line in lines] == [str(i) for i in range(first, first + count)]
    return lines


def test_pasted_twice_between_eager_cells_and_a_constant_changed(run, project):
    source = (project / 'dae_mnist.py').read_text()
    assert run('import sys; print(sys.argv[1])').out == '-f\n'  # the kernel's own
    assert run(EAGER).out == 'eager 2.0 1.0\n'
    for value in 2, 3:
        lines = epochs(run(source), 3)
        shapes, *costs = run(ABOUT).out.splitlines()
        assert shapes == str([(True, 'float32', shape) for shape in
                              ((784, 20), (20,), (784,), (3,))])
        assert costs == lines
        assert run(EAGER).out == f'eager {2 * value}.0 {value}.0\n'
    run(source)
    run('n_hidden, n_epochs = 9, 1')
    epochs(run('learned = main()'), 1)
    assert '(784, 9)' in run(ABOUT).out


def test_epochs_appear_as_they_come(run, project):
    """The second epoch starts only once the first one's line, flushed, is seen in the notebook."""
    source = (project / 'dae_mnist.py').read_text()
    run(source.partition("if __name__ == '__main__':")[0] + """
import io
train_on = train
class Held(io.StringIO):  # a kernel sends what was not flushed a moment later: this one does not
    def flush(self, stdout=sys.stdout):
        print(self.getvalue(), end='', file=stdout, flush=True)
        self.seek(self.truncate(0))
def train(*args):
    for i, cost in train_on(*args):
        yield i, cost
        limit = time.monotonic() + 20
        while not os.path.exists('seen'):
            assert time.monotonic() < limit, 'the line of the first epoch did not arrive'
""")
    epochs(run("with contextlib.redirect_stdout(Held()): learned = main(['--n_epochs', '2'])",
               r'^0 \d+\.\d+$', (project / 'seen').touch), 2)


@pytest.mark.parametrize('cell, count, n_hidden', [
    ('%run dae_mnist.py', 3, 20), ('%run dae_mnist.py --n_epochs 2 --seed 7 --n_hidden 9', 2, 9),
    ('from dae_mnist import main; learned = main()', 3, 20)])
def test_run_or_imported(cell, count, n_hidden, run):
    run('%reset -f')
    lines = epochs(run(cell), count)
    shapes, *costs = run(ABOUT).out.splitlines()
    assert costs == lines and f'(784, {n_hidden})' in shapes
    assert epochs(run('learned = main()'), 3)


def test_interrupted(run, project):
    """`learned` has the finished epochs, their pictures are shown, the kernel goes on."""
    run('%reset -f')
    source = (project / 'dae_mnist.py').read_text().replace('n_epochs = 3', 'n_epochs = 1000000')
    result = run(source, r'^1 \d')
    assert not result.errors and 'Traceback' not in result.out + str(result.said), result
    lines = EPOCH.findall(result.out)
    assert len(lines) >= 2 and result.pictures == 2
    assert f'{len(lines)} epochs' in result.said[-1]
    shapes, *costs = run(ABOUT).out.splitlines()
    assert costs == lines and f'({len(lines)},)' in shapes


def test_an_ipython_terminal_keeps_its_own_arguments(project):
    code = "exec(open('dae_mnist.py').read())"
    child = run_python('-m', 'IPython', '--no-banner', '-c', code, cwd=project,
                       IPYTHONDIR=str(project / 'ipython'))
    assert len(EPOCH.findall(child.stdout)) == 3 and child.returncode == 0, child.stderr
