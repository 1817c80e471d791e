"""The environment of all tests, and the fixtures that several files use."""

import os
import signal

import pytest
from helpers import DATA, NAMES, random_set, write_set

os.environ.pop('PYTHONUNBUFFERED', None)  # with it a script that does not flush seems to
# Nothing may ask the internet: port 9 of this machine refuses. A GPU would change the digits.
os.environ.update(http_proxy='http://127.0.0.1:9', https_proxy='http://127.0.0.1:9', no_proxy='',
                  CUDA_VISIBLE_DEVICES='-1')
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run behind an `&`


@pytest.fixture(scope='session')
def real_mnist():
    """The folder of the real MNIST. Without it the test skips, or fails with REQUIRE_MNIST=1."""
    missing = [name for name in NAMES if not (DATA / name).is_file()]
    if missing:
        stop = pytest.fail if os.environ.get('REQUIRE_MNIST') == '1' else pytest.skip
        stop(f'{DATA} lacks {", ".join(missing)}')
    return DATA


@pytest.fixture(scope='session')
def small_set(tmp_path_factory):
    """A folder with a set of 300 training images, after the 5,000 set apart, and 40 for tests."""
    return write_set(tmp_path_factory.mktemp('small') / 'data', random_set(train=5300, test=40))


@pytest.fixture
def empty_folder(tmp_path_factory, monkeypatch):
    """A new empty folder, which is also the current one."""
    folder = tmp_path_factory.mktemp('here')
    monkeypatch.chdir(folder)
    return folder
