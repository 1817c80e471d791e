"""What the README says is so: its snippets run, its numbers, names, flags and links are right."""

import ast
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import NAMES, ROOT, SAMPLE, call_main, random_set, run_python, write_set

import dae_mnist
import input_data

README = (ROOT / 'README.md').read_text('utf-8')
SCRIPT = (ROOT / 'dae_mnist.py').read_text('utf-8')
LISTING = (ROOT / 'tests' / 'listing.py').read_text('utf-8')
BLOCKS = re.findall(r'^```(\w*)\n(.*?)^```$', README, re.S | re.M)
SHELL, PYTHON, OTHER = ([text for kind, text in BLOCKS if kind == wanted]
                        for wanted in ('sh', 'python', ''))
PROSE = re.sub(r'^```.*?^```$', '', README, flags=re.S | re.M)
LINKS = re.findall(r'(!?)\[[^]]*\]\(([^)\s]+)\)', PROSE)
ONLY_2016 = ('import tensorflow as tf', 'tf.initialize_all_variables()',
             'tensorflow.examples.tutorials.mnist')  # what the listing in tests/ had to write anew
DEFAULTS = {f'--{name}': value for name, value in vars(dae_mnist.parse([])).items()}
WITHIN = 0.01  # processors may differ in the digits of a cost, by no more than this share


def in_backticks(text):
    return re.findall(r'`([^`]+)`', text)


def table(corner):
    """Return the rows of the table that has `corner` at its top left, the first one included."""
    text = README[README.index(f'\n| {corner} |'):].strip().split('\n\n')[0]
    rows = [re.split(r' *\| *', line.strip('| ')) for line in text.splitlines()]
    assert len(rows) > 2 and set(rows.pop(1)) == {'---'}
    assert len({len(row) for row in rows}) == 1
    return rows


def number(text):
    return float(text.replace(',', ''))


def printed_costs(text):
    """Return [cost, ...] of lines `epoch cost`, of which there must be nothing else."""
    rows = [line.split() for line in text.splitlines()]
    assert rows and [row[0] for row in rows] == [str(i) for i in range(len(rows))]
    return [float(cost) for _, cost in rows]


def test_it_is_short_and_its_blocks_are_of_the_kinds_that_are_tested():
    assert len(README) <= 23_000
    assert {kind for kind, _ in BLOCKS} == {'sh', 'python', ''} and len(OTHER) == 2
    assert README.count('\n```') == 2 * len(BLOCKS)


def test_statements_about_the_constants():
    n_visible, n_hidden = dae_mnist.n_visible, dae_mnist.n_hidden
    steps, left = divmod(55_000, dae_mnist.batch_size)
    drawn = sum(part.num_examples for part in input_data.read_data_sets(SAMPLE))
    text = ' '.join(README.split())
    for statement in (
            f'{n_visible * n_hidden + n_hidden + n_visible:,} numbers',
            f'{steps} steps, with {left} images left over', f'{drawn:,} digits',
            'takes the other 55,000 in the order of the file',
            f'goes on for {dae_mnist.n_epochs} epochs',
            f'kept with probability {1 - dae_mnist.corruption_level}',
            f'rate, {dae_mnist.learning_rate}, is tuned for batches of {dae_mnist.batch_size}.',
            f'4·sqrt(6 / ({n_visible} + {n_hidden}))'):
        assert statement in text, statement


def test_equations_stand_in_the_script_letter_for_letter():
    lines = [line.strip() for line in SCRIPT.splitlines()]
    rows = table('equation')[1:]
    assert len(rows) == 4
    for k, (_, code, _) in enumerate(rows, 1):
        assert f'{code.strip("`")}  # ({k})' in lines


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
        for code in in_backticks(new):
            assert occurs(code, SCRIPT), code


def test_table_of_flags():
    rows = table('flag')[1:]
    assert [flag.strip('`') for flag, _, _ in rows] == list(DEFAULTS)
    for flag, default, _ in rows:
        value = DEFAULTS[flag.strip('`')]
        assert default == str(value) if value is not None else not default.isdigit()


def test_flags_calls_and_names_that_are_mentioned_exist():
    mentioned = set(re.findall(r'--[a-z][\w-]*', README))
    benchmark = re.findall(r"'(--\w+)'", (ROOT / 'tests' / 'benchmark.py').read_text())
    assert mentioned <= {*DEFAULTS, *benchmark, '--logdir'}  # the last is TensorBoard's
    texts = [*in_backticks(PROSE), *''.join(SHELL).splitlines()]
    commands = [text.split('.py ')[1].split() for text in texts if 'dae_mnist.py --' in text]
    calls = [ast.literal_eval(text.split('main(')[1][:-1]) for text in texts if "main(['" in text]
    assert commands and calls
    for flags in commands + calls:
        dae_mnist.parse(flags)
    found = re.findall(r'\b(dae_mnist|input_data)\.(?!py\b)(\w+)', README)
    assert found and all(hasattr(sys.modules[module], name) for module, name in found)


def test_links_lead_somewhere_and_to_every_file_at_the_top():
    assert PROSE.count('](') == len(LINKS)
    for _, target in LINKS:
        assert target.startswith(('http://', 'https://')) or (ROOT / target).exists(), target
    tracked = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True).stdout
    tops = {name.split('/')[0] for name in tracked.splitlines() if not name.startswith('.')}
    assert tops - {'README.md'} <= {target for _, target in LINKS}


def test_pictures_are_all_used_and_load_fast():
    used = {ROOT / target for mark, target in LINKS if mark}
    assert used == set((ROOT / '.github').glob('*.png'))
    for path in used:
        content = path.read_bytes()
        assert content[:8] == b'\x89PNG\r\n\x1a\n' and len(content) <= 150_000
        width, height = struct.unpack('>2I', content[16:24])
        assert 400 < width < 2000 and 150 < height < 1000


def test_versions_agree_with_the_requirements():
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    oldest = next(line for line in lines if line.startswith('tensorflow')).split('>=')[1]
    versions = re.findall(r'(\d\.\d+)\.\d+ \(with NumPy', README)
    assert versions[0] == oldest and [line for line in lines if line == 'numpy']


def test_means_lie_in_their_ranges_and_are_as_the_text_says():
    cells = re.findall(r'([\d.]+) \(([\d.]+) to ([\d.]+)\)', README)
    assert len(cells) > 25
    assert all(float(low) <= float(mean) <= float(high) for mean, low, high in cells)
    mending = [[float(cell.split()[0]) for cell in row[1:]] for row in table('destroyed')[1:]]
    assert np.argmin(np.array(mending)[:, :3], axis=1).tolist() == [0, 1, 2]
    labels = [[float(cell.split()[0]) for cell in row[1:]] for row in table('labelled images')[1:]]
    assert all(row == sorted(row) for row in labels[1:]) and labels[0][1] < labels[0][0]
    damage = [[float(cell) for cell in row[1:]] for row in table('damage')[1:]]
    assert all(row[2] > row[1] > row[0] for row in damage[:-2])
    assert all(row == sorted(row, reverse=True) for row in damage[-2:])


def test_snippets_with_a_run_of_ones_own(current_folder):
    run = call_main('--n_epochs', 1, '--data_dir', SAMPLE, '--log_dir', 'logs/mnist')
    shutil.copytree(SAMPLE, 'MNIST_data')
    snippets = run_python('-c', '\n'.join(PYTHON), PYTHONPATH=str(ROOT))
    assert snippets.returncode == 0, snippets.stderr
    shapes, *epochs, costs = snippets.stdout.splitlines()
    assert shapes == re.search(r'print\(.*\)  # (.*)', PYTHON[0])[1]
    first, second = printed_costs('\n'.join(epochs))
    damaged, restored = map(float, costs.split())
    assert second < first < printed_costs(run.out)[0] and restored < 0.8 * damaged
    assert restored == pytest.approx(second / 2000, rel=0.05)  # another mask
    names = in_backticks(PROSE.split('beside a file for')[1].split('Ctrl-C stops')[0])
    for name in {name for name in names if name.endswith(('.png', '.npz'))}:
        assert Path('logs/mnist', name).is_file()
    _, _, sample = table('epoch')
    assert printed_costs(run.out)[0] == pytest.approx(number(sample[1]), rel=0.1)  # no seed


def test_costs_on_mnist(printed_on_mnist):
    costs = printed_costs(printed_on_mnist[0])
    assert printed_costs(OTHER[0])[:2] == pytest.approx(costs, rel=WITHIN)
    _, mnist, _ = table('epoch')
    assert [number(cell) for cell in mnist[1:3]] == pytest.approx(costs, rel=WITHIN)


def test_arithmetic_of_the_cost(real_mnist):
    mnist = input_data.read_data_sets(real_mnist)
    X = mnist.test.images.astype(float)
    last = number(table('epoch')[1][-1])
    damaged = dae_mnist.corruption_level * np.sum(X ** 2) / len(X)  # a lost pixel costs its square
    mean_image = np.sum((X - mnist.train.images.mean(axis=0)) ** 2) / len(X)
    text = ' '.join(README.split())
    for statement in (f'{last:,.0f} is {last / len(X):.2f} per image and {last / X.size:.4f} per',
                      f'root mean square error of {np.sqrt(last / X.size):.3f}, where',
                      f'always the mean image {mean_image:.2f}.'):
        assert statement in text
    said = float(re.search(r'damaged images would cost ([\d.]+) per image', text)[1])
    assert said == pytest.approx(damaged, rel=0.001)  # on average over masks


@pytest.mark.parametrize('symptom', [in_backticks(row[0])[0] for row in table('you see')[1:]])
def test_messages_when_something_goes_wrong(symptom, tmp_path, monkeypatch):
    """Each message of the table is provoked."""
    small = write_set(tmp_path / 'small', random_set())
    flags = '--data_dir', small, '--n_hidden', 3, '--n_epochs', 1, '--log_dir', tmp_path / 'log'
    if 'downloaded' in symptom:
        said = call_main('--data_dir', tmp_path / 'empty').err
    elif 'damaged' in symptom:
        (small / NAMES[0]).write_bytes(b'junk')
        said = call_main(*flags).err
    elif 'costs' in symptom:
        said = call_main(*flags, '--learning_rate', '1e38').err
    elif 'does not fit' in symptom:
        call_main(*flags)
        said = call_main(*flags, '--n_hidden', 4).err
    elif 'No module' in symptom:
        said = run_python('-S', ROOT / 'dae_mnist.py').stderr
    else:  # what a module made for NumPy 1 asks for
        old = 'import numpy.core._multiarray_umath as old; old._ARRAY_API'
        said = run_python('-c', old).stderr
        symptom = symptom if np.__version__ >= '2' else ''
    assert re.search(re.escape(symptom).replace('…', '.*'), ' '.join(said.split())), said
