"""What several test files use: paths, data sets, child processes."""

import gzip
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / 'MNIST_data'
SAMPLE = DATA / 'sample'
NAMES = TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (
    'train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz',
    't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz')
# The lines that TensorFlow prints when it starts, of 2.21 and of 2.16.
STARTUP = re.compile(r'WARNING: All log messages|[IWE]\d{4} |\d{4}-\d\d-\d\d \S+: [IWE] ')


def idx(array, shape=None):
    """Return the bytes of an IDX file of a uint8 array, whose header may promise another shape."""
    header = [2048 + array.ndim, *(shape or array.shape)]
    return struct.pack(f'>{len(header)}I', *header) + array.tobytes()


def gzip_idx(array, shape=None):
    """Return the bytes of a gzipped IDX file."""
    return gzip.compress(idx(array, shape), compresslevel=1, mtime=0)


def unpack(path):
    """Return the bytes in a gzipped file."""
    return gzip.decompress(Path(path).read_bytes())


def random_set(train=5256, test=40, rows=28, columns=28, seed=0):
    """Return {file name: uint8 array} of a data set: random pixels, labels from 0 to 9."""
    rng = np.random.RandomState(seed)
    shapes = (train, rows, columns), (train,), (test, rows, columns), (test,)
    return {name: rng.randint(0, 256 if 'images' in name else 10, shape).astype(np.uint8)
            for name, shape in zip(NAMES, shapes)}


def write_set(folder, arrays):
    """Write {file name: uint8 array} into a folder, new or not, as gzipped IDX; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / name).write_bytes(gzip_idx(array))
    return folder


def copy_project(folder):
    """Copy the script, the loader and the sample into a new folder, without MNIST; return it."""
    shutil.copytree(SAMPLE, folder / 'MNIST_data' / 'sample')
    for name in 'dae_mnist.py', 'input_data.py':
        shutil.copy(ROOT / name, folder)
    return folder


def environment(**changes):
    """Return the environment for a child: this one, without what importing the script has set."""
    env = {**os.environ, **changes}
    env.pop('TF_CPP_MIN_LOG_LEVEL', None)
    return env


def python(*args, cwd=None, **env):
    """Start Python with these arguments; return the process, whose streams are pipes."""
    return subprocess.Popen([sys.executable, *map(str, args)], cwd=cwd, env=environment(**env),
                            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def finish(process, typed='', timeout=240):
    """Let a process end; return its exit status, stdout, and stderr without start-up lines."""
    try:
        out, err = process.communicate(typed, timeout=timeout)
    finally:
        process.kill()
    lines = [line for line in err.splitlines() if line and not STARTUP.match(line)]
    return SimpleNamespace(status=process.returncode, out=out, err='\n'.join(lines))


def tables(text):
    """Return (corner, {row: {column: cell}}) for each table in a Markdown text."""
    found = []
    for lines in re.findall(r'(?:^\|.*\n)+', text, re.M):
        head, _, *rows = [re.split(r' *\| *', line.strip('| \n')) for line in lines.splitlines()]
        assert all(len(row) == len(head) for row in rows), lines
        found.append((head[0], {row[0]: dict(zip(head[1:], row[1:])) for row in rows}))
    return found


def learned(folder):
    """Return {name: array} of a run's learned.npz, read without pickles."""
    return dict(np.load(Path(folder) / 'learned.npz', allow_pickle=False))


def read_edits(path=ROOT / 'README.md'):
    """Return {title: diff} of the exercises in the tutorial that have a `diff` block.

    The title stands in bold above its block: **2. Cross-entropy.**
    """
    edits = {}
    for part in re.split(r'^\*\*', path.read_text('utf-8'), flags=re.M)[1:]:
        blocks = re.findall(r'^```diff\n(.*?)^```$', part, re.S | re.M)
        title = re.match(r'\d+\. ([^.*]+)\.\*\*', part)
        if blocks and title:
            edits[title[1]] = blocks[0]
    return edits


def apply_edit(text, diff):
    """Return the text after a diff, in which each run of lines with - has one with + below it."""
    for old, new in re.findall(r'((?:^-.*\n)+)((?:^\+.*\n)*)', diff, re.M):
        old, new = (re.sub('^.', '', lines, flags=re.M) for lines in (old, new))
        assert text.count(old) == 1, f'{text.count(old)} times in the script:\n{old}'
        text = text.replace(old, new)
    return text


def read_keras_block(path=ROOT / 'README.md'):
    """Return the block of the tutorial that trains a network like the script's in Keras."""
    blocks = re.findall(r'^```python\n(.*?)^```$', path.read_text('utf-8'), re.S | re.M)
    (block,) = [block for block in blocks if 'Dropout' in block]
    return block
