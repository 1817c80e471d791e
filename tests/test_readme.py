"""What the READMEs name exists, their numbers are the report's, and every block runs."""

import ast
import re
import sys
from pathlib import Path
from unittest import mock

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


def blocks(kind, text=TUTORIAL):
    return re.findall(rf'^```{kind}\n(.*?)^```$', text, re.S | re.M)


# What a reader should see after each Python block of the tutorial, in order.
SHOWN = ['', '''
assert abs(image - teX[:1]).max() < 1e-6 and 0.2 < np.mean(damaged[image > 0] == 0) < 0.4
assert error(restored, image) < error(damaged, image)
assert png('restored.png') == tile(np.concatenate([image, damaged, restore(learned, damaged)]), 3)
''', '''
assert (lost[:, 1::3] == teX[:10, 1::3]).all() and not lost[:, ::3].any()
assert error(restored, teX[:10]) < error(lost, teX[:10])
assert png('lost.png') == tile(np.concatenate([lost, restore(learned, lost)]), 10)
''', '''
import input_data
sets = input_data.read_data_sets('MNIST_data/sample')
assert sum(sets.train.labels[nearest] == sets.test.labels[:10]) >= 7
Y = 1 / (1 + np.exp(-(0.7 * np.concatenate([trX[:5000], teX[:10]]) @ learned['W'] + learned['b'])))
assert abs(known - Y[:5000]).max() < 1e-5
assert nearest == [np.square(Y[:5000] - y).sum(axis=1).argmin() for y in Y[5000:]]
assert png('alike.png') == tile(np.concatenate([teX[:10], trX[nearest]]), 10)
''', '''
assert own['W'].shape == (784, 100) and (np.load('own.npz')['W'] == own['W']).all()
assert (i, 5 < cost / 200 < 60) == (4, True)
assert png('own.png') == tile(restore(own, lost), 10)
''', '''
assert second['W'].shape == (500, 250) and 0.1 < cost / len(teX) < 60
''', '''
damaged = binomial_mask(np.random.RandomState(0), teX.shape, 0.3) * teX
assert 5 < error(restore(learned, damaged), teX) / len(teX) < 25
''']


def test_the_python_blocks_show_what_they_say_after_the_one_command(tmp_path):
    """On the sample, with one epoch in place of the hundred."""
    folder = copy_project(tmp_path / 'clone')
    (flags,) = re.findall(r'dae_mnist\.py (.*)\n', blocks('sh')[0])
    assert f'dae_mnist.py {flags}\n' in blocks('powershell')[0]
    first = finish(python('dae_mnist.py', *flags.split(), '--n_epochs', 1, cwd=folder))
    told = TUTORIAL.split('you see:\n\n```\n')[1].splitlines()[:2]
    assert [re.sub(r'\d+', 'N', line) for line in told] == [
        re.sub(r'\d+', 'N', line) for line in first.err.splitlines()[-2:]]
    code = '''
def error(Z, X):
    return np.square(Z - X).sum()
def png(name):
    return open(name, 'rb').read()
'''
    for block, shown in zip(blocks('python'), SHOWN, strict=True):
        code += block + shown
    run = finish(python('-c', code, cwd=folder))
    assert run.status == 0, run.err


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
    for flags in re.findall(r'(?:main\(|dae_mnist\.py )((?:\[.*?\]|--).*?)(?:[)`\n]|$)', text):
        dae_mnist.parse_flags(ast.literal_eval(flags) if flags[0] == '[' else flags.split())
    for path in re.findall(r'(?:python|-r) ([\w/]+\.\w+)|pytest -q (\S+)', text.replace('\\', '/')):
        assert (ROOT / ''.join(path)).exists(), path
    with mock.patch('input_data.read_data_sets', autospec=True):  # refuses unknown arguments
        for code in re.findall(r'python -c "(.*?)"', text):
            exec(code)
    for module, function in re.findall(r'\b(dae_mnist|input_data)\.(?!py\b)(\w+)', text):
        assert hasattr(sys.modules[module], function)
    for target in re.findall(r'\]\((?!http)([^)\s]+)\)', text):
        assert (PATHS[name].parent / target).exists(), target
    for path in re.findall(r'`(\w+\.py)`', text):
        assert path == '06_autoencoder.py' or list(ROOT.glob(f'**/{path}')), path


def test_what_removes_takes_what_was_made_and_nothing_else():
    (block,) = [block for block in blocks('sh') if 'rm ' in block]
    removed = re.findall(r'(?<= )[^-\s]\S*', block)

    def is_removed(path):
        return any(part.match(name) for part in Path(path, '-').parents for name in removed)
    for path in ('README.md', 'requirements.txt', 'dae_mnist.py', 'tests/README.md',
                 'MNIST_data/README.md', f'MNIST_data/sample/{NAMES[0]}', '.github/way.png'):
        assert not is_removed(path), path
    made = re.findall(r"(?:open|write_file|savez)\('([^']+)'", '\n'.join(blocks('python')))
    for path in *made, 'logs/first', 'fashion', '.venv', *(f'MNIST_data/{name}' for name in NAMES):
        assert is_removed(path), path


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
    out, defaults = capsys.readouterr().out, dae_mnist.parse_flags([])
    assert list(rows) == [f'`--{name}`' for name in defaults]
    for name, value in defaults.items():
        assert f'--{name} {name.upper()}' in out
        if hasattr(dae_mnist, name):
            assert rows[f'`--{name}`']['default'] == str(value) and f'({value})' in out


def test_tables_of_the_tutorial_are_those_of_the_report_rounded():
    """A table with a corner that a table of the report has, too, holds that table's cells."""
    cells = [(cell, REPORTED[corner][row][column].split(' ')[0])
             for corner, rows in tables(TUTORIAL) if corner in REPORTED
             for row, columns in rows.items() for column, cell in columns.items()]
    for cell, reported in cells:
        assert cell in (reported, f'{float(reported):.1f}')
    assert len(cells) > 40


def test_numbers_that_follow_from_the_report():
    run = dict(re.findall(r'^(\d+) (\d+\.\d+)$', REPORT.split('As printed on MNIST')[1], re.M))
    shown = re.findall(r'(?:^|`)(\d+) (\d+\.\d+)(?:$|`)', TUTORIAL, re.M)
    assert len(shown) == 6 and all(run[epoch] == cost for epoch, cost in shown)
    costs = {row: float(cells['30% destroyed'].split(' ')[0])
             for row, cells in REPORTED['restored by'].items()}
    last, damaged = float(run['99']), costs['damage left as it is']
    assert REPORTED['epoch']['MNIST']['99'] == f'{last / 10000:.2f}'
    undone = {row: round(100 * (damaged - cost) / damaged) for row, cost in costs.items()}
    for sentence in (f'{last:,.0f} is {last / 10000:.1f} per image',
                     f'undoes {undone["a network, 30 % noise"]} % of the damage',
                     f'alone undo {undone["the mean of the neighbours"]} %'):
        assert sentence in ' '.join(TUTORIAL.split()), sentence
    for sentence in (f'`0 {run["0"]}`', f'about {round(last, -3):,.0f},',
                     f'or {last / 10000:.1f} an image', f'would cost {damaged:.1f} each',
                     f'black images {costs["an all-black image"]:.1f}'):
        assert sentence in ' '.join(dae_mnist.__doc__.split()), sentence
