"""The environment of all tests, and the fixtures that several files use."""

import os
import signal

import pytest
from helpers import DATA, NAMES, ROOT, random_set, start_python, write_set

# Where it is set, a script that does not flush what it prints looks as if it did.
os.environ.pop('PYTHONUNBUFFERED', None)
# Nothing may ask the internet: port 9 of this machine refuses. A GPU would change the digits.
os.environ.update(https_proxy='http://127.0.0.1:9', no_proxy='', CUDA_VISIBLE_DEVICES='-1')
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run behind an `&`


@pytest.fixture(scope='session')
def real_mnist():
    """The folder with the four files of the real MNIST; without them the test skips.

    With REQUIRE_MNIST=1 in the environment it fails instead: there they are meant to be.
    """
    missing = [name for name in NAMES if not (DATA / name).is_file()]
    if missing:
        stop = pytest.fail if os.environ.get('REQUIRE_MNIST') == '1' else pytest.skip
        stop(f'{DATA} lacks {", ".join(missing)}')
    return DATA


@pytest.fixture(scope='session')
def printed_on_mnist(real_mnist, tmp_path_factory):
    """What the script and the listing print in 2 epochs with seed 0; the script finds MNIST."""
    folder = tmp_path_factory.mktemp('mnist')
    children = [start_python(ROOT / 'dae_mnist.py', '--seed', 0, '--n_epochs', 2, cwd=folder),
                start_python(ROOT / 'tests' / 'listing.py', 0, 2, real_mnist)]
    texts = [child.communicate(timeout=200)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    return texts


@pytest.fixture(scope='session')
def flags(tmp_path_factory):
    """The flags of a short run, on a set of 256 training and 40 test images."""
    folder = write_set(tmp_path_factory.mktemp('tiny') / 'data', random_set())
    return ('--data_dir', folder, '--n_hidden', 9, '--seed', 3, '--batch_size', 64,
            '--n_epochs', 4)


@pytest.fixture
def current_folder(tmp_path_factory, monkeypatch):
    """Each test that asks for it has a current folder of its own, empty."""
    monkeypatch.chdir(tmp_path_factory.mktemp('here'))
