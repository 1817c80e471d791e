"""Measure the script beside other ways to do the same; by hand: python tests/benchmark.py

It prints Markdown: medians, and medians of the ratios in each round. What is compared takes turns,
as machines have slow moments. Let nothing else run: on busy cores the NumPy rows are far slower.
"""

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from statistics import median
from subprocess import PIPE, Popen

import numpy as np
from helpers import DATA, ROOT, TEST_IMAGES, TRAIN_IMAGES, TRAIN_LABELS, python, unpack

sys.path.append(str(ROOT))
import input_data

BATCH, NOISE, RATE = 128, 0.3, np.float32(0.02)  # the listing's
W_START = np.random.RandomState(0).uniform(-0.27, 0.27, (784, 500)).astype(np.float32)
WEIGHTS = W_START, np.zeros(500, np.float32), np.zeros(784, np.float32)


def each_batch(step, images):
    for start in range(0, len(images) - BATCH + 1, BATCH):
        step(images[start:start + BATCH])


# A row is a function of the training images. It returns a function that runs one epoch.
def floor(images):
    W, Y = W_START, np.full((BATCH, 500), 0.5, np.float32)
    # What no step can do without: two products forward, one back, two for the gradient of W.
    return partial(each_batch, lambda X: (X @ W, Y @ W.T, X @ W, X.T @ Y, X.T @ Y), images)


def script(images):
    import dae_mnist
    return partial(next, dae_mnist.train_epochs(images, images[:1], n_epochs=sys.maxsize))


def listing(images):
    import listing
    import tensorflow.compat.v1 as tf
    tf.disable_v2_behavior()
    X, mask, _, train_op = listing.build()
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    return partial(listing.train_epoch, sess, X, mask, train_op, images)


def numpy(images):
    W, b, b_prime = WEIGHTS

    def step(X):
        tilde_X = (np.random.random_sample(X.shape) < 1 - NOISE) * X
        Y = 1 / (1 + np.exp(-(tilde_X @ W + b)))
        Z = 1 / (1 + np.exp(-(Y @ W.T + b_prime)))
        dZ = 2 * (Z - X) * Z * (1 - Z)
        dY = dZ @ W * Y * (1 - Y)
        W[:] -= RATE * (tilde_X.T @ dY + dZ.T @ Y)
        b[:] -= RATE * dY.sum(axis=0)
        b_prime[:] -= RATE * dZ.sum(axis=0)
    return partial(each_batch, step, images)


def tensorflow_2(images):
    import tensorflow as tf
    weights = W, b, b_prime = [tf.Variable(array) for array in WEIGHTS]

    @tf.function
    def step(X):
        mask = tf.cast(tf.random.uniform(tf.shape(X)) < 1 - NOISE, tf.float32)
        with tf.GradientTape() as tape:
            Y = tf.sigmoid(tf.matmul(mask * X, W) + b)
            Z = tf.sigmoid(tf.matmul(Y, W, transpose_b=True) + b_prime)
            cost = tf.reduce_sum(tf.square(X - Z))
        for variable, gradient in zip(weights, tape.gradient(cost, weights)):
            variable.assign_sub(RATE * gradient)
    return partial(each_batch, step, tf.constant(images))


ROWS = {'the floor': floor, 'this script': script, 'the listing': listing,
        'NumPy by hand': numpy, 'TensorFlow 2, `tf.function`': tensorflow_2}


def end_turn():
    """Tell the parent that an epoch is over, and wait for the next turn."""
    print(flush=True)
    if not sys.stdin.readline():
        sys.exit()  # the parent wants no more


def serve(row, folder):
    epoch = ROWS[row](input_data.read_data_sets(folder).train.images)
    while True:
        epoch()
        end_turn()


def take_turn(worker):
    print(file=worker.stdin, flush=True)
    if not worker.stdout.readline():
        sys.exit(f'failed: {worker.args}')


def run(notes, program, *arguments):
    """Run a program in a new folder; note the seconds to its first line and its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        child = python(ROOT / program, *arguments, cwd=folder)
        child.stdout.readline()
        first_line = time.perf_counter() - begin
        _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f'{program} failed: {child.stderr.read()}')
    notes.setdefault(program, []).append((first_line, usage.ru_maxrss / 1024))


def gunzip(folder):
    """Do what no loader can do without: gunzip the images and multiply them once."""
    for name in TRAIN_IMAGES, TEST_IMAGES:
        pixels = np.frombuffer(unpack(f'{folder}/{name}'), np.uint8, offset=16)
        np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)


def compare(title, rounds, functions, *others):
    """Time {name: function} in turn; print the seconds and their ratios to these others."""
    seconds = {name: [] for name in functions}
    for k in range(rounds):
        print(f'{title}: round {k + 1} of {rounds}', file=sys.stderr)
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - begin)
    print(f'| {title} | seconds (smallest to largest) | / {" | / ".join(others)} |')
    print('| --- | --- |' + ' --- |' * len(others))
    for name, numbers in seconds.items():
        ratios = [median(a / b for a, b in zip(numbers, seconds[other])) for other in others]
        print(f'| {name} | {median(numbers):.2f} ({min(numbers):.2f} to {max(numbers):.2f}) |',
              *[f'{ratio:.2f} |' for ratio in ratios])
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=5, help='turns of each (%(default)s)')
    parser.add_argument('--data_dir', default=DATA, help='folder of the images (%(default)s)')
    parser.add_argument('--serve', help=argparse.SUPPRESS)  # a row, in a process of its own
    args = parser.parse_args()
    folder = os.path.abspath(args.data_dir)
    if args.serve:
        serve(args.serve, folder)  # never returns

    steps = (len(input_data.extract_labels(f'{folder}/{TRAIN_LABELS}')) - 5000) // BATCH
    command = sys.executable, __file__, '--data_dir', folder, '--serve'
    workers = {row: Popen([*command, row], text=True, stdin=PIPE, stdout=PIPE) for row in ROWS}
    for worker in workers.values():
        worker.stdout.readline()  # after its first epoch, which warms up
    turns = {row: partial(take_turn, worker) for row, worker in workers.items()}
    compare(f'an epoch of {steps} steps', args.rounds, turns, 'the listing', 'the floor')

    notes = {}
    programs = {
        'this script': partial(run, notes, 'dae_mnist.py', '--n_epochs', 3, '--data_dir', folder),
        'the listing': partial(run, notes, 'tests/listing.py', 0, 3, folder)}
    compare('a whole process, 3 epochs', args.rounds, programs, 'the listing')
    for program, numbers in notes.items():
        first, peak = map(median, zip(*numbers))
        print(f'{program}: first line after {first:.1f} seconds, peak memory {peak:.0f} MB.\n')
    readers = {'the loader': partial(input_data.read_data_sets, folder),
               'gunzip, one product': partial(gunzip, folder)}
    compare('reading the images', args.rounds, readers, 'gunzip, one product')


if __name__ == '__main__':
    main()
