"""The embedded stand-in for MNIST is the set that its program draws."""

from helpers import DATA, NAMES, SAMPLE, finish, python, unpack


def test_the_program_draws_the_committed_set(empty_folder):
    run = finish(python(DATA / 'draw_sample.py', empty_folder / 'new'))
    assert (run.status, run.out, run.err) == (0, '', '')
    assert all(unpack(f'new/{name}') == unpack(SAMPLE / name) for name in NAMES)
