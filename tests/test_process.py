"""The script as a process that trains without an end, and is stopped or killed."""

import os
import re
import signal
import time

import numpy as np
import pytest
from helpers import ROOT, finish, learned, python

import dae_mnist


@pytest.fixture
def process(small_set, empty_folder):
    with python(ROOT / 'dae_mnist.py', '--data_dir', small_set, '--n_hidden', 9, '--seed', 3,
                '--n_epochs', 10**6, '--log_dir', 'run') as process:
        yield process
        process.kill()


def assert_kept(n_epochs, small_set):
    """Assert that the weights of the run have been trained for n_epochs, or one more."""
    W = learned('run')['W']
    epochs = dae_mnist.train_epochs(*dae_mnist.load_images(small_set), n_epochs=n_epochs + 1,
                                    n_hidden=9, seed=3)
    assert any(np.array_equal(weights['W'], W) for i, _, weights in epochs if i + 1 >= n_epochs)


def test_ctrl_c_in_a_step(process, small_set):
    assert [process.stdout.readline().split()[0] for _ in range(2)] == ['0', '1']
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.status == 130 and 'Traceback' not in run.err
    told = int(re.search(r'\d+', run.err.splitlines()[-1])[0])
    assert told >= 2
    assert_kept(told, small_set)  # one more, if the signal came just after the weights were moved
    assert sorted(os.listdir('run')) == ['filters.png', 'learned.npz', 'reconstructions.png']


def test_a_kill_loses_at_most_the_epoch_that_it_was_in_and_no_line(process, small_set):
    for _ in range(5):
        process.stdout.readline()
    time.sleep(0.5)  # for many epochs, whose lines would be lost if they were not flushed
    process.kill()
    whole = [line for line in process.stdout if line.endswith('\n')]
    assert_kept(int(whole[-1].split()[0]) + 1, small_set)
