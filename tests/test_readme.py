"""What the READMEs name exists, and every block of the tutorial runs as it stands."""

import ast
import re
import subprocess

import pytest
import tensorflow as tf
from helpers import ROOT, copy_project, finish, python

import dae_mnist
import input_data

README, REPORT = ROOT / 'README.md', ROOT / 'tests' / 'README.md'
TUTORIAL = README.read_text('utf-8')
BLOCKS = re.findall(r'^```(\w*)\n(.*?)^```$', TUTORIAL, re.S | re.M)
SCRIPT = (ROOT / 'dae_mnist.py').read_text('utf-8')
DEFAULTS = {f'--{name}': value for name, value in dae_mnist.parse_flags([]).items()}


def blocks(kind):
    return [text for found, text in BLOCKS if found == kind]


def table(corner):
    """Return the rows below the head of the table that has `corner` at its top left."""
    text = TUTORIAL[TUTORIAL.index(f'\n| {corner} |'):].strip().split('\n\n')[0]
    return [re.split(r' *\| *', line.strip('| ')) for line in text.splitlines()[2:]]


def test_the_blocks_run_one_after_another_after_the_one_command(tmp_path):
    """On the sample, with one epoch in place of the hundred."""
    folder = copy_project(tmp_path / 'clone')
    (command,) = [line for line in blocks('sh')[0].splitlines() if 'dae_mnist.py' in line]
    flags = command.split('dae_mnist.py ')[1].split()
    first = finish(python('dae_mnist.py', *flags, '--n_epochs', 1, cwd=folder))
    assert first.err.splitlines()[-1] == TUTORIAL.split('you see:\n\n```\n')[1].splitlines()[0]
    run = finish(python('-c', '\n'.join(blocks('python')), cwd=folder))
    assert run.status == 0, run.err
    pictures = re.findall(r"open\('(\w+\.png)'", TUTORIAL)
    assert len(pictures) == len(blocks('python')) == 4
    for name in [*pictures, 'digit.png', 'logs/first/filters.png']:
        assert tf.io.decode_png((folder / name).read_bytes()).shape[0] >= 28
    assert [line.split()[0] for line in run.out.splitlines()] == ['0', '1', '2', '3', '4']


def test_the_transcript_begins_as_the_script_says_and_mnist_shows(real_mnist, tmp_path):
    line = re.search(r'^0 \d+\.\d+$', TUTORIAL, re.M)[0]
    assert f'`{line}`' in SCRIPT
    mnist = input_data.read_data_sets(real_mnist)
    X = mnist.test.images
    damaged = dae_mnist.corruption_level * (X.astype(float) ** 2).sum() / len(X)  # on average
    assert re.search(r'The damage costs ([\d.]+);', TUTORIAL)[1] == f'{damaged:.1f}'


def test_lines_of_the_script_are_quoted_letter_for_letter():
    rows = table('line of [dae_mnist.py](dae_mnist.py)')
    assert len(rows) == 4
    for k, (code, _) in enumerate(rows, 1):
        assert f'    {code.strip("`")}  # ({k})' in SCRIPT


def test_the_table_of_flags():
    rows = table('flag')
    assert [flag.strip('`') for flag, _, _ in rows] == list(DEFAULTS)
    for flag, default, _ in rows:
        value = DEFAULTS[flag.strip('`')]
        assert default == str(value) if hasattr(dae_mnist, flag[3:-1]) else not default.isdigit()


@pytest.mark.parametrize('path', [README, REPORT], ids=['tutorial', 'report'])
def test_flags_names_links_and_pictures_exist(path):
    text = path.read_text('utf-8')
    assert set(re.findall(r'--[a-z]\w+', text)) <= {*DEFAULTS, '--rounds'}  # the benchmark's
    for flags in re.findall(r'(?:main\(|dae_mnist\.py )((?:\[.*?\]|--).*?)(?:[)`\n]|$)', text):
        dae_mnist.parse_flags(ast.literal_eval(flags) if flags[0] == '[' else flags.split())
    for module, name in re.findall(r'\b(dae_mnist|input_data)\.(?!py\b)(\w+)', text):
        assert hasattr({'dae_mnist': dae_mnist, 'input_data': input_data}[module], name)
    for target in re.findall(r'\]\((?!http)([^)\s]+)\)', text):
        assert (path.parent / target).exists(), target
    for name in re.findall(r'`(\w+\.py)`', text):
        assert list(ROOT.glob(f'**/{name}')), name


def test_every_file_has_a_place_in_the_readmes():
    both = TUTORIAL + REPORT.read_text('utf-8')
    files = subprocess.run(['git', 'ls-files'], cwd=ROOT, capture_output=True, text=True, timeout=9)
    tops = {name.split('/')[0] for name in files.stdout.splitlines() if name[0] != '.'}
    assert all(f']({top}' in TUTORIAL for top in tops - {'README.md'}), tops
    pictures = {path.name for path in (ROOT / '.github').glob('*.png')}
    assert pictures == set(re.findall(r'\.github/(\w+\.png)', both))
    tests = {path.name for path in (ROOT / 'tests').glob('test_*.py')}
    assert tests == set(re.findall(r'`(test_\w+\.py)`', both))


def test_the_tutorial_quotes_the_report():
    claims = TUTORIAL.split('## Do the claims hold?')[1].split('\n## ')[0]
    numbers = set(re.findall(r'\d+\.\d+', claims)) - {'0.01'}
    report = set(re.findall(r'\d+\.\d+', REPORT.read_text('utf-8')))
    rounded = {f'{float(number):.1f}' for number in report}
    assert len(numbers) > 15 and numbers <= report | rounded, numbers - report - rounded
