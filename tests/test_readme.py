"""What the READMEs and the docstring say: blocks run, numbers are the report's, names exist."""

import ast
import re
import sys
from math import ceil
from unittest import mock

import experiments
import numpy as np
import pytest
from helpers import DATA, NAMES, ROOT, SAMPLE, copy_project, finish, python, tables, unpack

import dae_mnist
import input_data

PATHS = {'tutorial': ROOT / 'README.md', 'report': ROOT / 'tests' / 'README.md',
         'data': ROOT / 'MNIST_data' / 'README.md'}
TEXTS = {name: path.read_text('utf-8') for name, path in PATHS.items()}
TUTORIAL, REPORT = TEXTS['tutorial'], TEXTS['report']
REPORTED = dict(tables(REPORT))
SCRIPT = (ROOT / 'dae_mnist.py').read_text('utf-8')
PRINTED = dict(re.findall(r'^(\d+) (\d+\.\d+)$', REPORT.split('As printed on MNIST')[1], re.M))


def blocks(kind, text=TUTORIAL):
    found = re.findall(r'^```(\w*)\n(.*?)^```$', text, re.S | re.M)
    return [block for name, block in found if name == kind]


def mean(corner, row, column):
    """Return the mean in a cell of the report."""
    return float(REPORTED[corner][row][column].split(' ')[0])


# What a reader should see after each Python block of the tutorial, by the words above the block.
SHOWN = {'Today you would write it in Keras': '''
damaged = (np.random.RandomState(0).random_sample(teX.shape) < 0.7) * teX
assert error(net.predict(damaged / 0.7, verbose=0), teX) < 0.8 * error(damaged, teX)
assert 0 < net.history.history['loss'][-1] < 0.1
''', 'Compare': '''
assert abs(float(shown()) / FIRST - 1) < 0.02  # the run's own cost, of another mask
''', 'Restore a damaged PNG': '''
lost = teX[:10] * (np.arange(784) % 3 > 0)
assert (damaged == lost).all() and error(restored, teX[:10]) < error(lost, teX[:10])
assert (restored == np.where(lost > 0, lost, restore(learned, lost))).all()
assert open('logs/first/restored.png', 'rb').read() == tile(np.concatenate([lost, restored]), 10)
open('digit.png', 'wb').write(tensorflow.io.encode_png(
    np.uint8(255 * teX[0].reshape(28, 28, 1))).numpy())
assert abs(read_png('digit.png') - teX[:1]).max() < 0.01
os.remove('digit.png')
''', 'See what the code is worth': '''
by_pixels, by_codes = re.findall(r'(?:pixels|codes) (0\\.\\d+)', shown())
assert 0.6 < float(by_pixels) < 1 and 0.6 < float(by_codes) < 1 and by_pixels != by_codes
''', 'Train on arrays of your own': '''
assert own['W'].shape == (784, 100) and (np.load('logs/first/own.npz')['W'] == own['W']).all()
epochs, costs = zip(*(line.split() for line in shown().splitlines()))
assert epochs == ('0', '1', '2', '3', '4') and abs(float(costs[4]) - cost / 200) < 0.01
assert error(restore(own, teX[:10]), teX[:10]) < 10 * 60 and 10 < cost / 200 < 60
'''}


SHORTER = {'epochs=20': 'epochs=4, verbose=0', 'epochs=100': 'epochs=9', 'logs/ex1': 'logs/first',
           "'MNIST_data'": "'MNIST_data/sample'"}


def test_the_blocks_show_what_they_say_after_the_one_command(tmp_path):
    """On the sample, with one epoch in place of many."""
    folder = copy_project(tmp_path / 'clone')
    (flags,) = re.findall(r'dae_mnist\.py (.*)\n', blocks('sh')[0])
    assert f'dae_mnist.py {flags}\n' in blocks('powershell')[0]
    first = finish(python('dae_mnist.py', *flags.split(), '--n_epochs', 1, cwd=folder))
    told = [line for line in blocks('')[0].splitlines() if not re.match(r'\d', line)]
    assert len(told) == 2 and [re.sub(r'\d+', 'N', line) for line in told] == [
        re.sub(r'\d+', 'N', line) for line in first.err.splitlines()[-2:]]
    cost = float(first.out.split()[1]) / 2000
    assert cost == pytest.approx(mean('epoch', 'the sample', '0'), rel=0.02)
    top = {path.name for path in folder.iterdir()}
    code = f'''
import io, os, re, sys
FIRST = {cost}
told = sys.stdout = io.StringIO()
def shown():
    text = told.getvalue()
    told.truncate(0)
    told.seek(0)
    return text
def error(Z, X):
    return np.square(Z - X).sum()
'''
    parts = re.split(r'^```python\n', TUTORIAL, flags=re.M)
    for title, above, part in zip(SHOWN, parts[:-1], parts[1:], strict=True):
        leads = re.findall(r'(?:^\*\*|<summary>)([^*<]+)', above, re.M)
        assert leads[-1].startswith(title)
        block = part.split('```')[0]
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        code += 'import numpy as np\n' + block + SHOWN[title]
    run = finish(python('-c', code, cwd=folder))
    assert run.status == 0, run.err
    assert {path.name for path in folder.iterdir()} <= {*top, '__pycache__'}  # nothing to remove


def test_the_block_of_the_docstring_runs(monkeypatch):
    """With one epoch; and the equations above it are those of the network."""
    lines = [line[4:] for line in dae_mnist.__doc__.splitlines() if line.startswith('    ')]
    start = lines.index('import numpy as np')
    images = np.random.RandomState(0).random_sample((137, 784)).astype(np.float32)
    monkeypatch.setattr(dae_mnist, 'load_images', lambda: (images[:128], images[128:]))
    names = {}
    code = '\n'.join(lines[start:]).replace('(trX, teX)', '(trX, teX, n_epochs=1)')
    exec(code, names)
    names |= {**names['learned'], 'sum': np.sum, 'X': names['teX'],
              'sigmoid': lambda x: 1 / (1 + np.exp(-x)), 'mask': names['damaged'] / names['teX']}
    for line in lines[:start]:
        if ' = ' in line:
            exec(re.split(r'  +', line)[0].replace('^', '**'), names)
    np.testing.assert_allclose(names['tilde_X'], names['damaged'], rtol=1e-6)
    np.testing.assert_allclose(names['Z'], names['restored'], atol=1e-5)
    Y = names['sigmoid'](0.7 * names['teX'] @ names['W'] + names['b'])
    np.testing.assert_allclose(names['code'], Y, atol=1e-5)
    assert names['cost'] == pytest.approx(np.square(names['teX'] - names['Z']).sum())


def test_the_block_of_the_data_readme_writes_what_the_loader_reads(empty_folder):
    names = {}
    exec(blocks('python', TEXTS['data'])[0], names)
    for shape, read in ([6, 3, 3], input_data.extract_images), ([6], input_data.extract_labels):
        array = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
        names['write_idx']('file.gz', array)
        assert (read('file.gz').reshape(shape) == array).all()


@pytest.mark.parametrize('name', PATHS)
def test_flags_files_names_and_arguments_exist(name):
    text = TEXTS[name]
    defaults = dae_mnist.parse_flags([])
    assert set(re.findall(r'--([a-z]\w+)', text)) <= {*defaults, 'rounds'}  # the benchmark's
    for flags in re.findall(r'(?:main\(|(?:dae_mnist|ex\d)\.py )((?:\[.*?\]|--).*?)(?:[)`\n]|$)',
                            text):
        dae_mnist.parse_flags(ast.literal_eval(flags) if flags[0] == '[' else flags.split())
    for path in re.findall(r'(?:python|-r) ([\w/]+\.\w+)|pytest -q (\S+)', text.replace('\\', '/')):
        assert re.fullmatch(r'ex\d\.py', path[0]) or (ROOT / ''.join(path)).exists(), path
    with mock.patch('input_data.read_data_sets', autospec=True):  # refuses unknown arguments
        for code in re.findall(r'python -c "(.*?)"', text):
            exec(code)
    for module, function in re.findall(r'\b(dae_mnist|input_data)\.(?!py\b)(\w+)', text):
        assert hasattr(sys.modules[module], function)
    for target in re.findall(r'\]\((?!http)([^)\s]+)\)', text):
        assert (PATHS[name].parent / target).exists(), target
    for path in re.findall(r'`(\w+\.py)`', text):
        assert path == '06_autoencoder.py' or list(ROOT.glob(f'**/{path}')), path
    headings = re.findall(r'(?:^## |<summary>|^\*\*)([^*<\n]*)', '\n'.join(TEXTS.values()), re.M)
    for title in re.findall(r'see "([A-Z][^"]+)"', ' '.join(text.split())):
        assert any(heading.startswith(title.rstrip('.')) for heading in headings), title


def test_the_sample_is_what_its_program_draws(empty_folder):
    run = finish(python(DATA / 'draw_sample.py', empty_folder / 'new'))
    assert (run.status, run.out, run.err) == (0, '', '')
    assert all(unpack(f'new/{name}') == unpack(SAMPLE / name) for name in NAMES)


def test_lines_of_the_script_are_quoted_letter_for_letter():
    (block,) = [block for block in blocks('') if block.startswith('tilde_X')]
    assert block.count('\n') == 4 and all(f'    {line}' in SCRIPT for line in block.splitlines())


def test_the_table_of_flags(capsys):
    (rows,) = [rows for corner, rows in tables(TUTORIAL) if corner == 'flag']
    with pytest.raises(SystemExit):
        dae_mnist.parse_flags(['--help'])
    out, defaults = ' '.join(capsys.readouterr().out.split()), dae_mnist.parse_flags([])
    assert list(rows) == [f'`--{name}`' for name in defaults]
    for name in defaults:
        default, meaning = rows[f'`--{name}`'].values()
        assert re.search(rf'--{name} {name.upper()} {meaning}', out)
        if hasattr(dae_mnist, name):
            assert default == str(defaults[name]) and f'{meaning} ({default})' in out
        elif default:
            assert f'{meaning} (default: {default})' in out


def test_tables_of_the_tutorial_are_those_of_the_report_rounded():
    """And where a line below tells how far single numbers lie apart, that is so."""
    found = 0
    for (corner, rows), below in zip(tables(TUTORIAL), re.split(r'(?:^\|.*\n)+', TUTORIAL,
                                                                flags=re.M)[1:]):
        if corner not in REPORTED:
            continue
        ranges = []
        for row, columns in rows.items():
            for column, cell in columns.items():
                reported = REPORTED[corner][row][column]
                assert cell in (reported, f'{mean(corner, row, column):.1f}'), (row, column)
                numbers = [float(number) for number in re.findall(r'\d+\.\d+', reported)]
                ranges += [abs(number - numbers[0]) for number in numbers]
                found += 1
        told = re.match(r'\n?.*within (\d\.\d)', below)
        if told:
            assert float(told[1]) == pytest.approx(ceil(10 * max(ranges) - 0.01) / 10)
    assert found > 70


def test_means_and_ratios_of_the_report():
    for corner, rows in REPORTED.items():
        for columns in rows.values():
            for cell in columns.values():
                numbers = re.fullmatch(r'([\d.]+) \(([\d.]+) to ([\d.]+)\)', cell)
                if numbers:
                    middle, low, high = map(float, numbers.groups())
                    assert low <= middle <= high, (corner, cell)
        ratios = [column for column in next(iter(rows.values())) if column.startswith('/ ')]
        for column in ratios:  # medians of ratios: near the ratio of medians
            for row, columns in rows.items():
                seconds = [float(rows[name]['seconds (smallest to largest)'].split(' ')[0])
                           for name in (row, column[2:])]
                assert float(columns[column]) == pytest.approx(seconds[0] / seconds[1], rel=0.2)


COST, FROZEN, DAMAGE = 'restored by', 'the classifier sees', 'damage'
NO, SOME, HALF = ('a network, no noise', 'a network, 30 % noise', 'a network, 50 % noise')
RIGHT, MACHINE = 'right, in %', 'a support vector machine, in %'
LOST, SPECKS = '30 % of the pixels lost', '10 % black or white specks'


def cost(row, share=30):
    return mean(COST, row, f'{share}% destroyed')


def lost_points(noise, damage):
    return mean(DAMAGE, 'undamaged', noise) - mean(DAMAGE, damage, noise)


def gain(noise):
    return mean(DAMAGE, 'undamaged', noise) - mean(DAMAGE, 'undamaged', 'random start')


INK = '30 % noise, kept ink put back'
SPLIT, DOT = '30% destroyed, restored by', 'unit 1, the ten pixels of its dot'
KERAS = [mean('seed in Keras', seed, 'cost') for seed in '01']
PIXELS, COPIES, REPAIRS = (mean(FROZEN, row, RIGHT) for row in (
    'the pixels', 'the code, no noise', 'the code, 30 % noise'))
LONG = [mean('trained with', f'{noise} noise, 1,000 units', RIGHT) for noise in ('no', '30 %')]
# Fragments of sentences, with a gap for each number, and what stands in the gaps.
PROSE = {'tutorial': {
    'The damage costs {:.1f}, and the network with noise reduces this to {:.1f}.': [
        cost('damage left as it is'), cost(SOME)],
    'A rule that learns nothing comes close, at {:.1f}:': [cost('the mean of the neighbours')],
    "the kept ink back into the network's images, they cost only {:.1f}.": [cost(INK)],
    'of {} × {} = {} pixels': [28, 28, dae_mnist.n_visible],
    'to describe a digit by {} numbers': [dae_mnist.n_hidden],
    'gets {:.1f} % of new digits right if it sees their pixels, {:.1f} % if': [PIXELS, COPIES],
    'that copies, and {:.1f} % with those': [REPAIRS],
    '{:.1f} per image in the end': [float(PRINTED['99']) / 10000],
    'over the {:,} training images': [55000],
    'your {} epochs would end at {:.2f}': [
        dae_mnist.n_epochs, mean('change', 'rate 0.01, 100 epochs', 'cost')],
    'copies at a cost of only {:.1f}, where an all-black image costs {:.1f}': [
        cost(NO, 0), cost('an all-black image')],
    'hardly better than the pixels ({:.1f} to {:.1f} %)': [COPIES, PIXELS],
    'a code of 50 numbers did worse than the pixels ({:.1f} %)': [
        mean('trained with', 'no noise, 50 units', RIGHT)],
    'a code of 1,000 numbers got {:.1f} % without noise, and {:.1f} % with it': LONG,
    'This best Z costs at most {:.1f}, because': [cost(INK)],
    'our network alone, at {:.1f}, is far': [cost(SOME)],
    'destroyed with probability {}.': [dae_mnist.corruption_level],
    '1 / (1 + exp(-sum))': [],
    'White is a positive weight: ink there turns the unit on. Black is a negative weight: ink': [],
    'Without noise, the grain of most of these units becomes coarser': [],
    'learned from {:,} digits without labels': [55000],
    'Will {:,} weights more restore better?': [784 * 500],
    'and {:,} weights are saved': [784 * 500],
    'batch of {} images': [dae_mnist.batch_size],
    'Two runs got to a cost of {:.1f} and {:.1f}, with Adam': KERAS,
    'is untied, too, and gets to {:.1f} and {:.1f} with Adam': KERAS,
    'the unit is on ({:.2f} on average)': [mean('inked pixels, of', DOT, 'none')],
    'Two pixels of ink turn it off ({:.2f})': [mean('inked pixels, of', DOT, '2')],
    'It gets {:.1f} from the pixels alone': [mean(FROZEN, 'the pixels', MACHINE)],
    'the best code adds only {:.1f}': [
        mean(FROZEN, 'the code, 30 % noise', MACHINE) - mean(FROZEN, 'the pixels', MACHINE)],
    '50 % noise gets {:.1f} points more right than a random start, 30 % noise {:.1f}, and no noise '
    '{:.1f}.': [gain('50 % noise'), gain('30 % noise'), gain('no noise')],
    'cost the classifier without noise {:.1f} points, but only {:.1f} with 50 %': [
        lost_points('no noise', LOST), lost_points('50 % noise', LOST)],
    'Slant costs them {:.1f} and {:.1f}.': [
        lost_points('no noise', 'slanted'), lost_points('50 % noise', 'slanted')],
    'they cost {:.1f} points without it, and {:.1f} with 50 %': [
        lost_points('no noise', SPECKS), lost_points('50 % noise', SPECKS)],
    'On destroyed pixels the network costs {:.1f}, and the rule {:.1f}.': [
        mean(SPLIT, row, 'destroyed pixels') for row in (SOME, 'the mean of the neighbours')],
    "of the network's cost, {:.1f}, lies": [mean(SPLIT, SOME, 'kept pixels')],
    'whole digits worse ({:.1f}) than damaged ones ({:.1f})': [cost(SOME, 0), cost(SOME)],
    'multiply the pixels by 0.7, the cost is {:.1f}.': [
        mean('whole images, times 1 - noise', 'cost', '30 % noise')],
    'copies whole digits badly ({:.1f})': [mean('network', '1. no noise, 50 units', 'undamaged')],
    'Trained to repair, it gets to {:.1f}.': [
        mean('network', '30 % noise, 50 units', '30% destroyed')],
    'random_sample(teX.shape) < {:.1f}': [1 - 0.3],
    'net.predict(damaged / {:.1f})': [1 - 0.3],
    'encode(learned, {:.1f} * trX[:1000]), encode(learned, {:.1f} * teX)': [1 - 0.3, 1 - 0.3],
    '{} without noise, {} with noise.': [experiments.taken(0.0).rate, experiments.taken(0.3).rate],
    '{:,} digits that a program': [15000 + 2000]},
    'data': {
        '{:,} training and {:,} test images that look': [15000, 2000],
        'rows of {:,} numbers of bytes': [3 * 32 * 32],
        'More than {:,} training images are needed, since {:,} are set apart': [5000, 5000]},
    'docstring': {
        'is `0 {}`': [PRINTED['0']],
        'the cost is about {:,.0f}, or {:.1f} an image': [
            round(float(PRINTED['99']), -3), float(PRINTED['99']) / 10000],
        'left as they are would cost {:.1f} each, black images {:.1f}': [
            cost('damage left as it is'), cost('an all-black image')],
        '{} numbers are enough to copy {} pixels': [500, 784],
        'with a probability of {:.0%}': [0.3]}}


@pytest.mark.parametrize('name', PROSE)
def test_numbers_in_prose(name):
    text = ' '.join({**TEXTS, 'docstring': dae_mnist.__doc__}[name].split()).replace(' %', '%')
    for fragment, numbers in PROSE[name].items():
        sentence = fragment.format(*numbers).replace(' %', '%')
        assert sentence in text, sentence


def test_the_commands_of_the_exercises_train_the_networks_of_their_answers():
    commands = re.findall(r'^`python (?:dae_mnist|ex\d)\.py (.*) --log_dir logs/ex(\d)`$', TUTORIAL,
                          re.M)
    rows = {row[0]: row for row in REPORTED['network'] if re.match(r'\d\. ', row)}
    assert [number for _, number in commands] == list(rows) == list('1234')
    for flags, number in commands:
        values = dae_mnist.parse_flags(flags.split())
        assert values['learning_rate'] == mean('network', rows[number], 'rate')
        assert values['n_epochs'] == 20
        assert values['n_hidden'] == (50 if '50 units' in rows[number] else 500)
        assert values['corruption_level'] == (0 if 'no noise' in rows[number] else 0.3)


def test_the_lines_of_a_run_are_the_reports():
    shown = re.findall(r'(?:^|`)(\d+) (\d+\.\d+)(?:$|`)', TUTORIAL, re.M)
    assert len(shown) == 4 and all(PRINTED[epoch] == cost for epoch, cost in shown)
    (left,) = re.findall(r'squared error of (\d+)\.', TUTORIAL)
    assert f'{int(left) / 10000:.2f}' == f'{cost("damage left as it is"):.2f}'
    for noise, row in experiments.NOISES.items():
        assert mean('noise', row, 'lowest at') == experiments.taken(noise).rate
    assert REPORTED['epoch']['MNIST']['99'] == f'{float(PRINTED["99"]) / 10000:.2f}'


def test_the_data_readme_names_the_files_as_the_loader_does():
    (rows,) = [rows for corner, rows in tables(TEXTS['data']) if corner == 'file']
    assert [name.strip('`') for name in rows] == list(NAMES)
    for name, columns in rows.items():
        holds = columns['holds']
        assert ('10,000 test' in holds or 'their' in holds) if 't10k' in name else (
            '60,000 training' in holds or 'their' in holds)
        assert ('images' in holds) == ('images' in name)
