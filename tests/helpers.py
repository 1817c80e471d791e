"""What several test files use: paths, data sets, the network in NumPy, child processes."""

import contextlib
import gzip
import io
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


def idx(array, magic=None, shape=None):
    """Return the bytes of an IDX file of a uint8 array; magic and shape may be false."""
    header = [magic or 2048 + array.ndim, *(shape or array.shape)]
    return struct.pack(f'>{len(header)}I', *header) + array.tobytes()


def gzip_idx(array, magic=None, shape=None):
    """Return the bytes of a gzipped IDX file of a uint8 array; magic and shape may be false."""
    return gzip.compress(idx(array, magic, shape), compresslevel=1, mtime=0)


def read_idx(path):
    """Return the uint8 array in a gzipped IDX file."""
    content = gzip.decompress(Path(path).read_bytes())
    shape = np.frombuffer(content, '>i4', content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def random_set(train=5256, test=40, rows=28, columns=28, seed=0):
    """Return {file name: uint8 array} of a data set: random pixels, labels from 0 to 9."""
    rng = np.random.RandomState(seed)
    shapes = (train, rows, columns), (train,), (test, rows, columns), (test,)
    return {name: rng.randint(0, 256 if 'images' in name else 10, shape).astype(np.uint8)
            for name, shape in zip(NAMES, shapes, strict=True)}


def write_set(folder, arrays):
    """Write {file name: uint8 array} into a folder, new or not, as gzipped IDX; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / name).write_bytes(gzip_idx(array))
    return folder


def copy_project(folder):
    """Copy the script, the loader and the sample into a folder, without MNIST; return it."""
    shutil.copytree(SAMPLE, folder / 'MNIST_data' / 'sample')
    for name in 'dae_mnist.py', 'input_data.py':
        shutil.copy(ROOT / name, folder)
    return folder


def forward(X, mask, W, b, W_prime, b_prime):
    """Return the hidden code Y and the reconstruction Z, in float64, from the equations."""
    X, mask, W, b, W_prime, b_prime = (
        np.asarray(a, np.float64) for a in (X, mask, W, b, W_prime, b_prime))
    Y = 1 / (1 + np.exp(-((mask * X) @ W + b)))
    return Y, 1 / (1 + np.exp(-(Y @ W_prime + b_prime)))


def squared_error(X, mask, W, b, b_prime):
    """Return the cost of all images X together, with tied weights."""
    return np.sum((X - forward(X, mask, W, b, W.T, b_prime)[1])**2)


def environment(**changes):
    """Return the environment for a child that can reach no network, as a user's shell has it."""
    env = {name: value for name, value in os.environ.items()
           if name.lower() != 'no_proxy' and name not in ('TF_CPP_MIN_LOG_LEVEL', 'PYTHONPATH')}
    return {**env, 'https_proxy': 'http://127.0.0.1:9', **changes}


def run_python(*args, cwd=None, **env):
    """Run Python with these arguments to its end; return the process, output as text."""
    return subprocess.run([sys.executable, *map(str, args)], cwd=cwd, env=environment(**env),
                          text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=200)


def learned(folder):
    """Return {name: array} of a run's learned.npz, read without pickles."""
    with np.load(Path(folder) / 'learned.npz', allow_pickle=False) as file:
        return dict(file)


def start_python(*args, cwd=None):
    """Start Python with these arguments; return the process, whose stdout is a pipe of text."""
    return subprocess.Popen([sys.executable, *map(str, args)], cwd=cwd, env=environment(),
                            text=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def stderr_lines(text):
    """Return the lines of a stderr, without those that TensorFlow prints when it starts."""
    return [line for line in text.splitlines() if line and not STARTUP.match(line)]


def call_main(*flags, stdout=None, stderr=None):
    """Call dae_mnist.main; return its result or None, its exit status, its stdout and stderr."""
    import dae_mnist  # here, as TensorFlow is slow to start and most tests do without
    out, err, learned, status = stdout or io.StringIO(), stderr or io.StringIO(), None, 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            learned = dae_mnist.main([str(flag) for flag in flags])
        except SystemExit as stop:
            status = stop.code
            if isinstance(status, str):  # Python prints it at its end
                status = print(status, file=err) or 1
    return SimpleNamespace(learned=learned, status=status, out=out.getvalue(), err=err.getvalue())
