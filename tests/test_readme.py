"""What the README says is so: its commands and snippets run, its numbers and names are right.

Every fenced block runs once, in a copy of the project where the drawn sample stands in for MNIST,
with fewer epochs and steps. Numbers of MNIST are compared with the real MNIST.
"""

import ast
import os
import re
import shlex
import shutil
import socket
import struct
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import dae_mnist
import input_data
from conftest import DATA, NAMES, ROOT

SAMPLE = DATA / 'sample'
README, SCRIPT, LOADER, LISTING = (
    (ROOT / name).read_text('utf-8')
    for name in ('README.md', 'dae_mnist.py', 'input_data.py', 'tests/listing.py'))
BLOCKS = re.findall(r'^```(\w*)\n(.*?)^```$', README, re.S | re.M)
SHELL, PYTHON, OTHER = ([text for kind, text in BLOCKS if kind == wanted]
                        for wanted in ('sh', 'python', ''))
PROSE = re.sub(r'^```.*?^```$', '', README, flags=re.S | re.M)
LINKS = re.findall(r'(!?)\[[^]]*\]\(([^)\s]+)\)', PROSE)
PICTURES = [target for mark, target in LINKS if mark]
SHORTER = {'n_epochs=20': 'n_epochs=1', 'range(1000)': 'range(20)'}  # in the Python of the walk
NUMPY_2 = np.lib.NumpyVersion(np.__version__) >= '2.0.0'
WITHIN = 0.01  # processors may differ in the digits of a cost, by no more than this share

# What the commands of the README run in the walk. Any other program is not found there.
STAND_IN = '''
import glob, os, shutil, sys

program, *args = sys.argv[1:]
match [os.path.basename(program), *args]:
    case ['python3', '-m', 'venv', folder]:
        os.makedirs(folder + '/bin', exist_ok=True)
        for name in 'python', 'pip':
            shutil.copy(program, f'{folder}/bin/{name}')
    case ['pip', 'install', *names]:
        for option, name in zip(names, names[1:]):
            if option == '-r':
                open(name).close()
    case ['python', '-m', 'pytest', '-q', folder]:
        assert glob.glob(folder + '/test_*.py')
    case ['tensorboard', '--logdir', folder]:
        assert glob.glob(folder + '/*/events.out.tfevents.*')
    case ['python', 'dae_mnist.py', *flags]:
        n_epochs = '5' if 'MNIST_data/sample' in flags else '1'
        os.execv(sys.executable, [sys.executable, *args, '--n_epochs', n_epochs])
    case ['python', 'tests/pictures.py', *folders]:
        os.execv(sys.executable, [sys.executable, *args])
    case command:
        sys.exit(f'the walk does not know how to treat {command}')
'''

# Lines of 2016 that the listing in tests/ had to write anew for TensorFlow 2.
ONLY_2016 = ('import tensorflow as tf', 'tf.initialize_all_variables()',
             'tensorflow.examples.tutorials.mnist')

Walk = namedtuple('Walk', 'folder outputs failures')


def in_backticks(text):
    return re.findall(r'`([^`]+)`', text)


def section(title):
    """Return the text under a heading, down to the next."""
    return README.split(f'\n## {title}\n')[1].split('\n## ')[0]


def table(corner):
    """Return the rows of the table that has `corner` at its top left, the first one included."""
    text = README[README.index(f'\n| {corner} |'):].strip().split('\n\n')[0]
    rows = [re.split(r' *\| *', line.strip('| ')) for line in text.splitlines()]
    assert len(rows) > 2 and set(rows.pop(1)) == {'---'}
    assert len({len(row) for row in rows}) == 1
    return rows


def symptoms():
    """Return the messages that the section on trouble explains."""
    return [text for row in table('you see')[1:] for text in in_backticks(row[0])]


def number(text):
    return float(text.replace(',', ''))


def costs_in(text):
    """Return [cost, ...] of lines `epoch cost`, of which there must be nothing else."""
    rows = [line.split() for line in text.splitlines()]
    assert rows and [row[0] for row in rows] == [str(i) for i in range(len(rows))]
    return [float(cost) for _, cost in rows]


def flags_of_parser():
    """Return {flag: its action} of all flags but --help."""
    return {action.option_strings[-1]: action for action in dae_mnist.parse([])[1]._actions
            if action.dest != 'help'}


def png_size(path):
    """Return the width and height of a PNG file, in pixels."""
    content = path.read_bytes()
    assert content[:8] == b'\x89PNG\r\n\x1a\n'
    return struct.unpack('>2I', content[16:24])


def start_walk(folder):
    """Run all commands and then all Python of the README in a copy of the project."""
    for name in 'dae_mnist.py', 'input_data.py', 'requirements.txt', 'MNIST_data/draw_sample.py':
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / 'tests', folder / 'tests')
    for name in 'MNIST_data', 'MNIST_data/sample', 'fashion':
        shutil.copytree(SAMPLE, folder / name, dirs_exist_ok=True)
    programs = folder / 'stand_in'
    programs.mkdir()
    (programs / 'stand_in.py').write_text(STAND_IN)
    for name in 'python', 'python3', 'pip', 'tensorboard':
        command = shlex.join([sys.executable, str(programs / 'stand_in.py')])
        (programs / name).write_text(f'#!/bin/sh\nexec {command} "$0" "$@"\n')
        (programs / name).chmod(0o755)

    env = {**os.environ, 'PATH': str(programs), 'https_proxy': 'http://127.0.0.1:9'}
    python = '\n'.join(PYTHON)
    for long, short in SHORTER.items():
        assert long in python
        python = python.replace(long, short)
    outputs, failures = {}, []
    for text in [*''.join(SHELL).splitlines(), python]:
        command = [sys.executable, '-'] if text == python else text
        child = subprocess.run(command, shell=text != python, input=python * (text == python),
                               cwd=folder, env=env, capture_output=True, text=True)
        outputs['python' if text == python else text] = child.stdout
        if child.returncode:
            failures.append(f'{text}\n{child.stderr}')
    return Walk(folder, outputs, failures)


def run_on_mnist(folder):
    """Return what the README's own run prints on MNIST, cut after as many epochs as it shows."""
    return subprocess.run([sys.executable, ROOT / 'dae_mnist.py', '--seed', '0', '--n_epochs', '5'],
                          cwd=folder, capture_output=True, text=True).stdout


@pytest.fixture(scope='module')
def children(tmp_path_factory):
    """The two slow runs, side by side, as futures: on the real MNIST only if it is there."""
    with ThreadPoolExecutor(2) as pool:
        futures = {'walk': pool.submit(start_walk, tmp_path_factory.mktemp('walk'))}
        if all((DATA / name).is_file() for name in NAMES):
            futures['mnist'] = pool.submit(run_on_mnist, tmp_path_factory.mktemp('mnist'))
        yield futures


@pytest.fixture
def walk(children):
    return children['walk'].result()


@pytest.fixture(scope='module')
def mnist(real_mnist):
    """The real MNIST, as a data set."""
    return input_data.read_data_sets(real_mnist)


def stderr_of(*args, packages=''):
    env = {**os.environ, 'PYTHONPATH': str(packages)}
    return subprocess.run([sys.executable, *args], env=env, capture_output=True, text=True).stderr


@pytest.fixture
def messages(tmp_path, monkeypatch, capsys):
    """All that the script, the loader, Python and NumPy say when things go wrong."""
    said = []

    def refuse(*args, **kwargs):
        raise OSError('there is no network')

    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    monkeypatch.setattr(input_data, '__file__', str(tmp_path / 'input_data.py'))
    shutil.copytree(SAMPLE, tmp_path / 'MNIST_data' / 'sample')
    sample, is_sample = dae_mnist.load_data(None)
    assert is_sample
    said.append(capsys.readouterr().err)

    shutil.copytree(SAMPLE, tmp_path / 'damaged')
    file = tmp_path / 'damaged' / NAMES[0]
    file.write_bytes(file.read_bytes()[:9999])
    with pytest.raises(ValueError) as error:
        dae_mnist.load_data(tmp_path / 'damaged')
    said.append(str(error.value))
    with pytest.raises(FloatingPointError) as error:
        dae_mnist.train(dae_mnist.build_graph(2, learning_rate=1e38), sample, n_epochs=1)
    said.append(str(error.value))
    with pytest.raises(OSError) as error:
        dae_mnist.Log(str(file), None, None)
    said.append(str(error.value))

    said.append(stderr_of('-S', ROOT / 'dae_mnist.py'))  # a Python without packages
    for name in 'numpy', 'tensorflow':  # NumPy alone, then a TensorFlow that is too old
        (tmp_path / 'packages' / name).mkdir(parents=True)
        (tmp_path / 'packages' / name / '__init__.py').touch()
        said.append(stderr_of('-S', ROOT / 'dae_mnist.py', packages=tmp_path / 'packages'))
    # What a module made for NumPy 1 asks for:
    said.append(stderr_of('-c', 'import numpy.core._multiarray_umath as old; old._ARRAY_API'))
    return ' '.join(' '.join(said).split())


# The tests that need no child come first: meanwhile the children run.

def test_only_kinds_of_blocks_that_these_tests_run(children):
    assert {kind for kind, _ in BLOCKS} == {'sh', 'python', ''}
    assert README.count('\n```') == 2 * len(BLOCKS)
    output, drawing = OTHER
    assert len(costs_in(output)) == 5
    assert 'Σ(x − z)²' in drawing


@pytest.mark.parametrize('statement', [
    f'Eighty of the {dae_mnist.n_hidden} features after {dae_mnist.n_epochs} epochs',
    f'It goes on like this for {dae_mnist.n_epochs} epochs',
    f'{dae_mnist.n_visible} pixels {dae_mnist.corruption_level * 100:.0f} % of them '
    f'{dae_mnist.n_hidden} hidden {dae_mnist.n_visible} pixels',
    f'each is kept with probability {1 - dae_mnist.corruption_level:.1f}, else set to 0',
    f'the learning rate, {dae_mnist.learning_rate}, belongs to batches of {dae_mnist.batch_size}.',
    f'4·sqrt(6 / ({dae_mnist.n_visible} + {dae_mnist.n_hidden}))',
    f'the {dae_mnist.n_hidden} columns of W',
    f'with {dae_mnist.corruption_level * 100:.0f} % of their pixels lost',
    f'Train {dae_mnist.n_visible}-{dae_mnist.n_hidden}-10',
    f'images of {dae_mnist.mnist_width} × {dae_mnist.mnist_width} bytes',
])
def test_constants(statement):
    assert statement in ' '.join(README.split())


def test_sizes_of_the_data():
    sample = input_data.read_data_sets(SAMPLE)
    count = sum(part.num_examples for part in sample)
    assert re.findall(r'([\d,]+) digits that a program drew', README) == [f'{count:,}']
    assert sample.test.num_examples == 2_000 and '2,000 test images' in README
    size = re.search(r'downloads MNIST \((\d+) MB\)', README)[1]
    assert abs(int(size) - sum(size for size, _ in input_data.DIGESTS.values()) / 1e6) < 1


def test_equations_stand_in_the_script_letter_for_letter():
    lines = [line.strip() for line in SCRIPT.splitlines()]
    for k, (_, code, _) in enumerate(table('equation')[1:], 1):
        assert f'{code.strip("`")}  # ({k})' in lines
    assert k == 4


def test_porting_table():
    """Both columns quote their programs, with numbers and names put in, and quotes as they like."""
    def occurs(code, program):
        pattern = re.escape(code.replace('"', "'"))
        for name, meaning in ((r'\.\.\.', '.*'), ('shape', r'[\w.]+'),
                              (r'0\.7', '1 - corruption_level')):
            pattern = pattern.replace(name, meaning)
        return re.search(pattern, program)

    for old, new, *_ in table('the listing')[1:]:
        for code in set(in_backticks(old)) - set(ONLY_2016):
            assert occurs(code, LISTING), code
        for code in in_backticks(old if new == 'the same' else new):
            assert occurs(code, SCRIPT), code
    assert dae_mnist.corruption_level == 0.3


def test_table_of_flags():
    flags = flags_of_parser()
    rows = table('flag')[1:]
    assert [flag.strip('`') for flag, _, _ in rows] == list(flags)
    for flag, default, _ in rows:
        action = flags[flag.strip('`')]
        if action.default is not None:
            assert default == str(action.default), flag
        else:  # the help says in words what the script does without the flag
            assert bool(default.strip()) == (flag != '`--seed`')
            assert all(re.search(rf'\b{name}\b', action.help) for name in in_backticks(default))


@pytest.mark.parametrize('text', [README, SCRIPT, LOADER], ids=['README', 'script', 'loader'])
def test_flags_that_are_mentioned_exist(text):
    known = {*flags_of_parser(), '--help', '--logdir'}  # the last is TensorBoard's
    assert set(re.findall(r'--[a-z][\w-]*', text)) <= known


def test_flags_in_running_text_are_accepted():
    texts = in_backticks(PROSE)
    commands = [text.split()[2:] for text in texts if 'dae_mnist.py --' in text]
    calls = [ast.literal_eval(text.split('main(')[1][:-1]) for text in texts if 'main(' in text]
    settings = [text.split() for text in texts if re.match('--.* ', text)]
    assert commands and calls and settings
    for flags in commands + calls + settings:
        if flags != ['--help']:
            dae_mnist.parse(flags)


def test_names_of_the_modules_that_are_mentioned_exist():
    found = re.findall(r'\b(dae_mnist|input_data)\.(?!py\b)(\w+)', README)
    assert found and all(hasattr(sys.modules[module], name) for module, name in found)
    learned = re.findall(r'\blearned\.(\w+)', section('In a notebook'))
    assert learned == list(dae_mnist.Learned._fields)


def test_messages_when_something_goes_wrong(messages):
    for text in symptoms():
        if NUMPY_2 or not text.endswith('NumPy 2'):
            assert re.search(re.escape(text).replace('…', '.+'), messages), text


def test_what_a_python_without_packages_says_is_quoted():
    assert stderr_of('-S', ROOT / 'dae_mnist.py').split('Error: ')[-1].strip() in symptoms()


def test_links_lead_somewhere():
    headings = re.findall(r'^#+ (.*)', PROSE, re.M)
    anchors = {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-') for heading in headings}
    for _, target in LINKS:
        path, _, anchor = target.partition('#')
        if not target.startswith(('http://', 'https://')):
            assert (ROOT / path).exists(), target
            assert not anchor or path or anchor in anchors, target
    assert PROSE.count('](') == len(LINKS)


def test_list_of_files_is_complete():
    """It names what is under version control; without git, what is there."""
    tracked = subprocess.run('git ls-files', shell=True, cwd=ROOT, capture_output=True, text=True)
    names = tracked.stdout.splitlines() or os.listdir(ROOT)
    listed = {target for _, target in LINKS if f']({target})' in section('The files')}
    assert {name for name in listed if '/' not in name} == {
        top for top in (name.split('/')[0] for name in names)
        if not top.startswith('.') and top not in ('README.md', 'logs', '__pycache__')}


def test_versions_agree_with_the_requirements():
    requirements = (ROOT / 'requirements.txt').read_text()
    pattern = r'under (TensorFlow (\d+\.\d+)\S* \(with NumPy \S+\) and \S+ \(with NumPy [\d.]+\))'
    said, oldest = re.search(pattern, README).groups()
    assert said == re.search(pattern, requirements)[1]
    assert f'\ntensorflow>={oldest}\n' in requirements
    assert '\nmatplotlib\n' in (ROOT / 'tests' / 'requirements.txt').read_text()


def test_pictures_are_png_files_that_load_fast():
    assert {ROOT / name for name in PICTURES} == {
        path for path in (ROOT / '.github').rglob('*') if path.suffix in ('.png', '.jpg', '.svg')}
    for name in PICTURES:
        assert png_size(ROOT / name) and (ROOT / name).stat().st_size <= 150_000


def test_tables_of_the_experiments():
    """Means lie in their ranges, and what is said to be better is better in every one."""
    def ranges(corner):
        rows = table(corner)[1:]
        cells = [[re.fullmatch(r'([\d,.]+)(?: %)? \(([\d,.]+) to ([\d,.]+)\)', cell).groups()
                  for cell in row[1:]] for row in rows]
        array = np.array([[[number(text) for text in cell] for cell in row] for row in cells])
        assert (array[..., 1] <= array[..., 0]).all() and (array[..., 0] <= array[..., 2]).all()
        return array[..., 1:]  # [rows, columns, (smallest, largest)]

    costs = ranges('destroyed')
    assert costs[0, 0, 0] > costs[0, 1, 1]  # nothing lost: copying is better
    assert (costs[1:, 0, 1] < costs[1:, 1, 0]).all()
    shares = ranges('labelled images')
    assert (shares[:, 0, 0] > shares[:, 1, 1]).all()

    epoch, cost, _ = table('epoch')  # of seed 0, after as many epochs as in the experiment
    assert costs[1, 0, 0] <= number(cost[epoch.index('19')]) <= costs[1, 0, 1]


def test_arithmetic_of_the_cost(mnist):
    epoch, cost, _ = table('epoch')
    X = mnist.test.images.astype(float)
    first, last = number(cost[1]), number(cost[-1])
    assert int(epoch[-1]) == dae_mnist.n_epochs - 1
    damaged = dae_mnist.corruption_level * np.sum(X ** 2)  # a lost pixel costs its square
    mean_image = np.sum((X - mnist.train.images.mean(axis=0)) ** 2)
    text = ' '.join(README.split())
    for statement in (
            f'trained on {mnist.train.num_examples:,} images',
            f'measured on {len(X):,} test images',
            f'{last:,.0f} is {last / len(X):.1f} an image and {last / X.size:.4f} a pixel',
            f'a root mean square error of {np.sqrt(last / X.size):.3f}, where',
            f'damaged images as they are would cost {round(damaged, -3):,.0f},',
            f'always the mean image {round(mean_image, -3):,.0f}.',
            f'The test cost falls from {round(first, -3):,.0f} to',
            f'slowly to {round(last, -3):,.0f} after {dae_mnist.n_epochs}]'):
        assert statement in text


def test_untrained_start_of_the_classifier(mnist, monkeypatch):
    """Of the second experiment, the number that needs no training of the features."""
    monkeypatch.chdir(ROOT)
    code = '\n'.join(block for block in PYTHON if 'logs/mnist' not in block)
    for long, short in (('n_epochs=20', 'n_epochs=0'), ('in 0.0, 0.3, 0.5:', 'in []:'),
                        ('in 500, 1000, 5000:', 'in []:')):
        assert long in code
        code = code.replace(long, short)
    names = {}
    exec(code, names)
    found = names['accuracy'](names['untrained'], 500)
    expected = next(row[2] for row in table('labelled images') if row[0] == '500')
    assert abs(100 * found - float(expected.split()[0])) < 1


def test_costs_on_mnist(real_mnist, children):
    costs = costs_in(children['mnist'].result())
    assert costs_in(OTHER[0]) == pytest.approx(costs, rel=WITHIN)
    epochs, cost, _ = table('epoch')
    shown = {int(epoch): number(cell) for epoch, cell in zip(epochs[1:], cost[1:])}
    for epoch in 0, 1, 4:
        assert shown[epoch] == pytest.approx(costs[epoch], rel=WITHIN)


def test_every_block_runs(walk):
    assert not walk.failures, '\n'.join(walk.failures)


def test_costs_on_the_sample(walk):
    command, = (line for line in walk.outputs if 'MNIST_data/sample' in line)
    costs = costs_in(walk.outputs[command])
    epochs, _, cost = table('epoch')
    shown = {int(epoch): number(cell) for epoch, cell in zip(epochs[1:], cost[1:])}
    for epoch in 0, 1, 4:
        assert shown[epoch] == pytest.approx(costs[epoch], rel=WITHIN)


def test_what_a_run_prints_and_leaves(walk):
    for command, output in walk.outputs.items():
        if 'dae_mnist.py' in command:
            assert costs_in(output)
    assert any(path.name[:8].isdigit() for path in (walk.folder / 'logs').iterdir())
    folder = walk.folder / 'logs' / 'sample'
    checkpoints = tf.train.get_checkpoint_state(folder).all_model_checkpoint_paths
    assert [path.split('-')[-1] for path in checkpoints] == ['2', '3', '4']  # the newest three


def test_snippets_print_what_stands_beside_them(walk):
    printed = walk.outputs['python']
    for comment in re.findall(r'print\(.*\)  # (.*)', '\n'.join(PYTHON)):
        assert comment + '\n' in printed
    rows = [line.split() for line in printed.splitlines() if len(line.split()) == 3]
    expected = [number(row[0].removesuffix(' %')) / (100 if '%' in row[0] else 1)
                for corner in ('destroyed', 'labelled images') for row in table(corner)[1:]]
    assert [float(row[0]) for row in rows] == expected


def test_files_that_are_mentioned_exist(walk):
    """Here or after the commands of the README, from the top, among the data, or in a run."""
    places = walk.folder, walk.folder / 'MNIST_data', walk.folder / 'logs' / 'mnist'
    names = {text for text in in_backticks(PROSE) if re.fullmatch(r'[\w./…-]+', text)
             and re.search(r'[/…]|^\.|\.(py|txt|md|png|gz|ipynb)$|^(logs|MNIST_data|sample)$', text)}
    assert len(names) > 10 and names >= set(NAMES)
    for name in names:
        assert any(list(place.glob(name.replace('…', '*'))) for place in places), name


def test_pictures_are_those_that_the_command_draws(walk):
    drawn = {f'.github/{path.name}': png_size(path) for path in walk.folder.glob('.github/*')}
    assert drawn == {name: png_size(ROOT / name) for name in PICTURES}
    width, height = drawn['.github/filters.png']
    assert width * height == 80 * 60**2  # the README says eighty, and each is 60 pixels wide
    width, height = drawn['.github/reconstructions.png']
    assert width / height == 10 / 3  # ten digits, three times
