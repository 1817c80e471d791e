"""The embedded stand-in for MNIST is the set that its program draws."""

import numpy as np
from helpers import DATA, NAMES, SAMPLE, finish, python, read_idx


def test_the_program_draws_the_committed_set(empty_folder):
    run = finish(python(DATA / 'draw_sample.py', empty_folder / 'new'))
    assert (run.status, run.out, run.err) == (0, '', '')
    for name in NAMES:
        np.testing.assert_array_equal(read_idx(f'new/{name}'), read_idx(SAMPLE / name))
