"""The script in a real kernel: pasted, run, imported and stopped there."""

import math
import re
import shutil
import time
from types import SimpleNamespace

import pytest
from helpers import ROOT, copy_project, environment, finish, python
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager


@pytest.fixture(scope='module')
def kernel(small_set, tmp_path_factory):
    """A kernel in a copy of the project, where the small set stands for MNIST."""
    project = copy_project(tmp_path_factory.mktemp('kernel') / 'project')
    shutil.copytree(small_set, project / 'MNIST_data', dirs_exist_ok=True)
    manager = KernelManager(connection_file=str(project / 'connection.json'),
                            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    manager.start_kernel(cwd=str(project), env=environment(IPYTHONDIR=str(project)))
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=120)
    yield SimpleNamespace(client=client, interrupt=manager.interrupt_kernel, project=project)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def cell(kernel):
    """A function that runs a cell, and interrupts it after the second epoch, from a time on."""
    def cell(code, stop_at=math.inf):
        result = SimpleNamespace(stdout='', stderr='', error='', pictures=0, stop_at=stop_at)

        def take(message):
            content = message['content']
            if message['msg_type'] == 'error':
                result.error = f'{content["ename"]}: {content["evalue"]}'
            if message['msg_type'] == 'display_data':
                result.pictures += 'image/png' in content['data']
            if message['msg_type'] == 'stream':
                vars(result)[content['name']] += content['text']
            if '\n1 ' in result.stdout and time.monotonic() > result.stop_at:
                kernel.interrupt()
                result.stop_at = time.monotonic() + 40  # TensorFlow drops one in 200: press again
        kernel.client.execute_interactive(code, timeout=120, output_hook=take)
        return result
    cell('%reset -f')
    return cell


def pasted(n_epochs=3):
    """Return the script's text with so many epochs."""
    text = (ROOT / 'dae_mnist.py').read_text('utf-8')
    text, count = re.subn(r'^n_epochs = \d+', f'n_epochs = {n_epochs}', text, flags=re.M)
    assert count == 1
    return text


def assert_trained(cell, result, epochs):
    """Assert that a cell printed these epochs, showed both pictures, and left what it kept."""
    assert not result.error and result.pictures == 2, result
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(map(str, range(epochs)))
    assert cell('''
import glob, numpy
kept = numpy.load(max(glob.glob('logs/*')) + '/learned.npz')
print(all((learned[name] == kept[name]).all() for name in kept))''').stdout == 'True\n'


@pytest.mark.parametrize('host', ['', "__file__ = 'notebook.ipynb'", "__file__ = 'dae_mnist.py'"])
def test_pasted(cell, host):
    assert cell(f'{host}\nimport sys; print(sys.argv[1])').stdout == '-f\n'  # the kernel's own flag
    assert_trained(cell, cell(pasted()), epochs=3)
    assert cell("print(learned['W'].shape, tf.executing_eagerly())").stdout == '(784, 500) True\n'
    if host == '':
        assert_trained(cell, cell('learned = main()'), epochs=3)  # without the kernel's flags, too


def test_flags_by_run_by_import_and_by_a_terminals_ipython(cell, kernel):
    flags = '--n_epochs 2 --n_hidden 9 --seed 1'
    shutil.copy(ROOT / 'dae_mnist.py', kernel.project / 'renamed.py')
    for code in (f'%run dae_mnist.py {flags}', f'%run -i renamed.py {flags}',
                 f'from dae_mnist import main\nlearned = main({flags.split()})'):
        result = cell(code)
        assert_trained(cell, result, epochs=2)
    ipython = finish(python('-m', 'IPython', 'dae_mnist.py', '--', *flags.split(),
                            cwd=kernel.project, IPYTHONDIR=str(kernel.project)))
    assert ipython.out == result.stdout


@pytest.mark.parametrize('way', ['pasted', 'run'])
def test_the_stop_button(cell, way):
    """`learned` has the last whole epoch, its pictures are shown, and the kernel goes on."""
    run = '%run dae_mnist.py --n_epochs 1000000'
    result = cell(pasted(n_epochs=10**6) if way == 'pasted' else run, stop_at=0)
    assert_trained(cell, result, epochs=len(result.stdout.splitlines()))
    assert result.stderr.splitlines()[-1].startswith('dae_mnist.py: stopped. The last whole epoch')
