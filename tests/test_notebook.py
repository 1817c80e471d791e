"""The script in a real kernel: pasted, edited, run and imported there, and interrupted."""

import re
import shutil
from types import SimpleNamespace

import pytest
from helpers import ROOT, STARTUP, copy_project, environment
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

@pytest.fixture(scope='module')
def source():
    """The script, with a smaller network and fewer epochs."""
    text = (ROOT / 'dae_mnist.py').read_text('utf-8')
    text = text.replace('\nn_epochs = 100 ', '\nn_epochs = 3 ')
    return text.replace('\nn_hidden = 500 ', '\nn_hidden = 20 ')


@pytest.fixture(scope='module')
def kernel(small_set, tmp_path_factory):
    """A kernel in a copy of the project, where the small set stands for MNIST."""
    folder = tmp_path_factory.mktemp('kernel')
    project = copy_project(folder / 'project')
    shutil.copytree(small_set, project / 'MNIST_data', dirs_exist_ok=True)
    manager = KernelManager(connection_file=str(folder / 'connection.json'),
                            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    manager.start_kernel(cwd=str(project), env=environment(IPYTHONDIR=str(folder)))
    client = manager.blocking_client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield SimpleNamespace(client=client, interrupt=manager.interrupt_kernel)
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def cell(kernel):
    """A function that runs a cell; it returns out, err, the error's text and how many pictures.

    The kernel is interrupted once the text that the cell has printed matches `stop`.
    """
    def cell(code, stop=None):
        result = SimpleNamespace(out='', err='', error='', pictures=0, stop=stop)

        def take(message):
            content = message['content']
            if message['msg_type'] == 'error':
                result.error = f'{content["ename"]}: {content["evalue"]}'
            if message['msg_type'] == 'display_data':
                result.pictures += 'image/png' in content['data']
            if content.get('name') == 'stdout':
                result.out += content['text']
            if content.get('name') == 'stderr':
                result.err += content['text']
            if result.stop and re.search(result.stop, result.out, re.M):
                result.stop = None
                kernel.interrupt()
        kernel.client.execute_interactive(code, timeout=60, output_hook=take)
        result.err = '\n'.join(line for line in result.err.splitlines() if not STARTUP.match(line))
        return result
    return cell


def assert_trained(result, cell, epochs, pictures):
    """Assert that a cell printed these epochs and showed the pictures, and left `learned`."""
    assert not result.error and result.pictures == pictures, result
    assert re.fullmatch(r'The results go to \S+\.', result.err.splitlines()[0])
    costs = cell("for i, cost in enumerate(learned['costs']):\n    print(i, cost)")
    assert result.out == costs.out and len(result.out.splitlines()) == epochs


@pytest.mark.parametrize('host', ['', "__file__ = 'notebook.ipynb'"])
def test_pasted(cell, source, host):
    assert cell(f'%reset -f\n{host}\nimport sys; print(sys.argv[1])').out == '-f\n'  # the kernel's
    assert_trained(cell(source), cell, epochs=3, pictures=2)
    assert cell("print({name: a.shape for name, a in learned.items()})").out == (
        "{'W': (784, 20), 'b': (20,), 'b_prime': (784,), 'costs': (3,)}\n")
    assert cell('print(tf.executing_eagerly())').out == 'True\n'


def test_a_constant_that_is_edited_later_trains_as_the_same_number_given_to_train(cell, source):
    cell('%reset -f')
    cell(source)
    result = cell('''
images, seen = load_images(), set()
for name, value in dict(n_epochs=2, batch_size=100, learning_rate=0.01, corruption_level=0.4,
                        n_hidden=7).items():
    kept = globals()[name]
    globals()[name] = value
    costs = main(['--seed', '5'])['costs']
    globals()[name] = kept
    expected = train(*images, seed=5, **{name: value})['costs']
    assert costs.tolist() == expected.tolist(), name
    seen.add(costs.tobytes())
assert len(seen) == 5
seed = 5  # a name of the reader's own, no constant
assert main()['costs'][0] != main()['costs'][0]
print('all')
''')
    assert result.out.endswith('all\n'), result


def test_run_with_flags_and_imported(cell):
    cell('%reset -f')
    flags = '--n_epochs 2 --n_hidden 9 --seed 1'
    result = cell(f'%run dae_mnist.py {flags}')
    assert_trained(result, cell, epochs=2, pictures=0)
    again = cell(f'from dae_mnist import main\nlearned = main({flags.split()})')
    assert_trained(again, cell, epochs=2, pictures=0)
    assert again.out == result.out


def test_an_error_of_the_disk_is_shown_and_streams_and_descriptors_stay(cell, source):
    descriptors = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in range(3)])"
    before = cell(f'%reset -f\n{descriptors}')
    pasted = source.replace('main([]', "main(['--log_dir', '/dev/null/run']")
    for code in '%run dae_mnist.py --log_dir /dev/null/run', pasted:
        result = cell(code)
        assert 'dae_mnist.py: ' in result.error and "'/dev/null/run'" in result.error
        assert cell(descriptors).out == before.out != ''


@pytest.mark.parametrize('way', ['pasted', 'run'])
def test_the_stop_button(cell, source, way):
    """`learned` has the whole epochs, their pictures are shown, and the kernel goes on."""
    cell('%reset -f')
    endless = source.replace('n_epochs = 3 ', 'n_epochs = 1000000 ')
    run = '%run dae_mnist.py --n_epochs 1000000 --n_hidden 9'
    result = cell(endless if way == 'pasted' else run, stop=r'^1 \d')
    count = int(re.search(r'Stopped after (\d+) epochs', result.err)[1])
    assert not result.error and result.pictures == (2 if way == 'pasted' else 0)
    assert count - len(result.out.splitlines()) in (0, 1) and count >= 2
    folder = re.search(r'go to (\S+)\.', result.err)[1]
    assert cell("print(len(learned['costs']))").out == f'{count}\n'
    pictures = cell(f"import glob; print(len(glob.glob('{folder}/*.png')))")
    assert pictures.out == '2\n'
