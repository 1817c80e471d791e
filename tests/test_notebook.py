"""The script in a real kernel: pasted, edited, run and imported there, and interrupted."""

import re
import shutil
from types import SimpleNamespace

import pytest
from helpers import ROOT, STARTUP, copy_project, environment, finish, python
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

def edited(text, **constants):
    """Return the script with other values of its constants."""
    for name, value in constants.items():
        text, count = re.subn(rf'^{name} = \d+\b', f'{name} = {value}', text, flags=re.M)
        assert count == 1, name
    return text


@pytest.fixture(scope='module')
def source():
    """The script, with a smaller network and fewer epochs."""
    return edited((ROOT / 'dae_mnist.py').read_text('utf-8'), n_epochs=3, n_hidden=20)


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


def assert_trained(result, cell, epochs):
    """Assert that a cell printed these epochs, showed both pictures, and left `learned`."""
    assert not result.error and result.pictures == 2, result
    folder = re.fullmatch(r'The results go to (\S+)\.', result.err.splitlines()[0])[1]
    assert [line.split()[0] for line in result.out.splitlines()] == list(map(str, range(epochs)))
    assert is_kept(cell, folder)


def is_kept(cell, folder):
    """Whether `learned` is what a folder holds, with its two pictures."""
    return cell(f"""
import glob
import numpy
kept = numpy.load('{folder}/learned.npz')
print(len(glob.glob('{folder}/*.png')), list(kept) == list(learned),
      all((kept[name] == learned[name]).all() for name in kept))""").out == '2 True True\n'


@pytest.mark.parametrize('host', ['', "__file__ = 'notebook.ipynb'", "__file__ = 'dae_mnist.py'"])
def test_pasted(cell, source, host):
    assert cell(f'%reset -f\n{host}\nimport sys; print(sys.argv[1])').out == '-f\n'  # the kernel's
    assert_trained(cell(source), cell, epochs=3)
    assert cell("print({name: a.shape for name, a in learned.items()})").out == (
        "{'W': (784, 20), 'b': (20,), 'W_prime': (20, 784), 'b_prime': (784,)}\n")
    assert cell('print(tf.executing_eagerly())').out == 'True\n'


def test_a_constant_that_is_edited_later_trains_as_the_same_number_given_to_train_epochs(
        cell, source):
    cell('%reset -f')
    cell(source)
    result = cell('''
images, seen = load_images(), set()
for name, value in dict(n_epochs=2, batch_size=100, learning_rate=0.01, corruption_level=0.4,
                        n_hidden=7).items():
    kept = globals()[name]
    globals()[name] = value
    W = main(['--seed', '5'])['W']
    globals()[name] = kept
    *_, (_, _, expected) = train_epochs(*images, seed=5, **{name: value})
    assert (W == expected['W']).all(), name
    seen.add(W.tobytes())
assert len(seen) == 5
seed = 5  # a name of the reader's own, no constant
assert (main()['W'] != main()['W']).any()
print('all')
''')
    assert result.out.endswith('all\n'), result


def test_run_with_flags_and_imported(cell):
    cell('%reset -f')
    flags = '--n_epochs 2 --n_hidden 9 --seed 1'
    runs = [cell(code) for code in (
        f'%run dae_mnist.py {flags}', f'%run -i dae_mnist.py {flags}',
        f'from dae_mnist import main\nlearned = main({flags.split()})')]
    for run in runs:
        assert run.out == runs[0].out
        assert_trained(run, cell, epochs=2)


def test_a_terminals_ipython_passes_the_flags_on(tmp_path, small_set):
    project = copy_project(tmp_path / 'project')
    process = python('-m', 'IPython', 'dae_mnist.py', '--', '--n_epochs', 1, '--n_hidden', 9,
                     '--data_dir', small_set, '--log_dir', 'run', cwd=project,
                     IPYTHONDIR=str(tmp_path))
    run = finish(process)
    assert re.fullmatch(r'0 [\d.]+\n', run.out) and (project / 'run' / 'learned.npz').exists()


def test_an_error_of_the_disk_is_shown_and_streams_and_descriptors_stay(cell, source):
    descriptors = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in range(3)])"
    before = cell(f'%reset -f\n{descriptors}')
    flags = ['--log_dir', '/dev/null/run', '--n_epochs', '1', '--n_hidden', '9']
    pasted = source.replace('main([] if hosted else sys.argv[1:])', f'main({flags})')
    assert pasted != source
    for code in '%run dae_mnist.py ' + ' '.join(flags), pasted:
        result = cell(code)
        assert 'dae_mnist.py: ' in result.error and "'/dev/null/run'" in result.error
        assert cell(descriptors).out == before.out != ''


@pytest.mark.parametrize('way', ['pasted', 'run'])
def test_the_stop_button(cell, source, way):
    """`learned` has the last whole epoch, its pictures are shown, and the kernel goes on."""
    cell('%reset -f')
    endless = edited(source, n_epochs=1000000)
    run = '%run dae_mnist.py --n_epochs 1000000 --n_hidden 9'
    result = cell(endless if way == 'pasted' else run, stop=r'^1 \d')
    count = int(re.search(r'kept: (\d+)', result.err)[1])
    assert not result.error and result.pictures == 2
    assert count - len(result.out.splitlines()) in (0, 1) and count >= 2
    folder = re.search(r'go to (\S+)\.', result.err)[1]
    assert is_kept(cell, folder)


def test_a_stop_before_the_first_epoch_leaves_no_weights_of_an_earlier_run(cell, source):
    cell("%reset -f\nlearned = 'of an earlier run'")
    waiting = source.replace('def load_images(', 'def load_images(*_):\n    print("waiting")\n'
                             '    import time; time.sleep(50)\n\n\ndef unused(')
    assert waiting != source
    result = cell(waiting, stop='waiting')
    assert result.error.startswith('KeyboardInterrupt')
    assert cell('print(learned)').out == 'None\n'


def test_a_stop_leaves_the_last_epoch_and_ends_a_loop_over_rates(cell, source):
    cell('%reset -f')
    cell('import dae_mnist\nimages = dae_mnist.load_images()')
    result = cell('''
for rate in 0.01, 0.02:
    for i, cost, learned in dae_mnist.train_epochs(*images, n_epochs=10**6, n_hidden=9,
                                                   learning_rate=rate):
        print(i, cost)
''', stop=r'^1 \d')
    assert result.error.startswith('KeyboardInterrupt')
    last = len(result.out.splitlines()) - 1
    assert cell("print(rate, i, learned['W'].shape)").out == f'0.01 {last} (784, 9)\n'
    assert cell('import tensorflow as tf; print(tf.executing_eagerly())').out == 'True\n'
