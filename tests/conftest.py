"""The environment of all tests, and the fixtures that several files use."""

import os

import pytest
from helpers import DATA, NAMES

# Where it is set, a script that does not flush what it prints looks as if it did.
os.environ.pop('PYTHONUNBUFFERED', None)


@pytest.fixture(scope='session')
def real_mnist():
    """The folder with the four files of the real MNIST; without them the test skips.

    With REQUIRE_MNIST=1 in the environment it fails instead, so that no such test is passed over
    where the files were meant to be.
    """
    missing = [name for name in NAMES if not (DATA / name).is_file()]
    if missing:
        message = f'{DATA} lacks {", ".join(missing)}'
        if os.environ.get('REQUIRE_MNIST') == '1':
            pytest.fail(message)
        pytest.skip(message)
    return DATA
