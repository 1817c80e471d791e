"""The programs that are run by hand still run: each for a moment, on a small set."""

from helpers import ROOT, finish, python, random_set, write_set

MOMENT = f'''
import sys
sys.path[0] = {str(ROOT / 'tests')!r}
import numpy as np
import experiments as e
from pathlib import Path
e.DATA = e.SAMPLE = Path(sys.argv[1])
e.KEPT, e.PICTURES = Path('kept'), Path()
e.SEEDS, e.LABELLED, e.STEPS = (0,), (100,), 5

def learn(setting, learn=e.learn):
    network = learn(setting._replace(epochs=min(setting.epochs, 1)))
    return {{**network, 'costs': np.resize(network['costs'], 100)}}
e.learn = learn
e.main()
'''


def tables(text):
    """Return the tables of a Markdown text, each a list of lines with equally many columns."""
    found = [block.splitlines() for block in text.split('\n\n') if block.lstrip().startswith('|')]
    assert all(len({line.count(' | ') for line in lines}) == 1 for lines in found), text
    return found


def test_experiments(empty_folder):
    run = finish(python('-c', MOMENT, write_set(empty_folder / 'data', random_set(train=6000))))
    assert run.status == 0, run.err[-2000:]
    assert [len(table) for table in tables(run.out)] == [4, 5, 6, 10, 3, 9, 8, 9], run.out
    assert {path.name for path in empty_folder.glob('*.png')} == {
        path.name for path in (ROOT / '.github').glob('*.png')}


def test_benchmark(small_set):
    run = finish(python(ROOT / 'tests' / 'benchmark.py', '--rounds', 1, '--data_dir', small_set))
    assert run.status == 0, run.err[-2000:]
    assert [len(table) for table in tables(run.out)] == [7, 4, 4]
