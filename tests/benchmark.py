"""Measure the script beside other ways to do the same; by hand: python tests/benchmark.py

Each row is a process of its own. The parent lets them run one epoch each, in turn and alone, for
--rounds rounds, so that a slow moment of the machine strikes all rows alike, and prints medians. An
epoch is 429 steps of 128 images of the real MNIST, masks included. The floor is the five matrix
products of a step, in NumPy, and nothing else. It needs the four files in MNIST_data/, and uses
PyTorch and JAX where they are installed.
"""

import argparse
import gzip
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from statistics import median

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np
from helpers import DATA, ROOT, TEST_IMAGES, TRAIN_IMAGES

sys.path.append(str(ROOT))
import input_data

BATCH, NOISE, RATE = 128, 0.3, 0.02


def batches(images):
    return (images[start:start + BATCH] for start in range(0, len(images) - BATCH + 1, BATCH))


def start_W(n_hidden):
    limit = 4 * np.sqrt(6 / (784 + n_hidden))
    return np.random.RandomState(0).uniform(-limit, limit, (784, n_hidden)).astype(np.float32)


# A row is a function of the training images and n_hidden. It returns one that runs an epoch.


def floor(images, n_hidden):
    W = start_W(n_hidden)
    Y = np.random.RandomState(0).random_sample((BATCH, n_hidden)).astype(np.float32)

    def epoch():
        for X in batches(images):  # two products forward, one back, two for the gradient of W
            X @ W, Y @ W.T, X @ W, X.T @ Y, X.T @ Y
    return epoch


def script(images, n_hidden):
    import dae_mnist
    import tensorflow.compat.v1 as tf
    dae = dae_mnist.build_graph(n_hidden, RATE, seed=0)
    sess = tf.Session(graph=dae.graph)
    sess.run(dae.init_op)
    epochs = dae_mnist.train(sess, dae, images, images[:1], np.random.RandomState(0),
                             itertools.count(), BATCH, NOISE)
    return lambda: next(epochs)  # its 429 steps, and the cost of one test image


def listing(images, n_hidden):
    import listing
    import tensorflow.compat.v1 as tf
    tf.disable_v2_behavior()
    listing.n_hidden = n_hidden
    X, mask, _, train_op = listing.build()
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    return lambda: listing.train_epoch(sess, X, mask, train_op, images)


def numpy(images, n_hidden):
    rng, W, b, b_prime = np.random.RandomState(0), start_W(n_hidden), np.float32(0), np.float32(0)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def epoch():
        nonlocal W, b, b_prime
        for X in batches(images):
            tilde_X = (rng.random_sample(X.shape) < 1 - NOISE) * X
            Y = sigmoid(tilde_X @ W + b)
            Z = sigmoid(Y @ W.T + b_prime)
            dZ = 2 * (Z - X) * Z * (1 - Z)
            dY = dZ @ W * Y * (1 - Y)
            W -= np.float32(RATE) * (tilde_X.T @ dY + dZ.T @ Y)
            b = b - np.float32(RATE) * dY.sum(axis=0)
            b_prime = b_prime - np.float32(RATE) * dZ.sum(axis=0)
    return epoch


def tensorflow_2(images, n_hidden):
    import tensorflow as tf
    W, b, b_prime = (tf.Variable(v) for v in (start_W(n_hidden), tf.zeros(n_hidden), tf.zeros(784)))

    @tf.function
    def step(X):
        mask = tf.cast(tf.random.uniform(tf.shape(X)) < 1 - NOISE, tf.float32)
        with tf.GradientTape() as tape:
            Y = tf.sigmoid(tf.matmul(mask * X, W) + b)
            Z = tf.sigmoid(tf.matmul(Y, W, transpose_b=True) + b_prime)
            cost = tf.reduce_sum(tf.square(X - Z))
        gradients = tape.gradient(cost, (W, b, b_prime))
        for variable, gradient in zip((W, b, b_prime), gradients, strict=True):
            variable.assign_sub(RATE * gradient)

    images = tf.constant(images)

    def epoch():
        for X in batches(images):
            step(X)
        return W.numpy()
    return epoch


def pytorch(images, n_hidden, compiled=False):
    import torch
    images, W = torch.from_numpy(images), torch.from_numpy(start_W(n_hidden)).requires_grad_()
    b, b_prime = torch.zeros(n_hidden, requires_grad=True), torch.zeros(784, requires_grad=True)
    optimizer = torch.optim.SGD((W, b, b_prime), RATE)

    def cost(X):
        mask = (torch.rand(X.shape) < 1 - NOISE).float()
        Z = torch.sigmoid(torch.sigmoid((mask * X) @ W + b) @ W.T + b_prime)
        return ((X - Z) ** 2).sum()

    cost = torch.compile(cost) if compiled else cost

    def epoch():
        for X in batches(images):
            optimizer.zero_grad()
            cost(X).backward()
            optimizer.step()
    return epoch


def jax(images, n_hidden, compiled=False):
    import jax
    images, key = jax.numpy.asarray(images), jax.random.key(0)
    weights = jax.numpy.asarray(start_W(n_hidden)), jax.numpy.zeros(n_hidden), jax.numpy.zeros(784)

    def cost(weights, X, key):
        W, b, b_prime = weights
        mask = jax.random.uniform(key, X.shape) < 1 - NOISE
        Z = jax.nn.sigmoid(jax.nn.sigmoid((mask * X) @ W + b) @ W.T + b_prime)
        return ((X - Z) ** 2).sum()

    def step(weights, X, key):
        key, now = jax.random.split(key)
        gradients = jax.grad(cost)(weights, X, now)
        return [w - RATE * g for w, g in zip(weights, gradients, strict=True)], key

    step = jax.jit(step) if compiled else step

    def epoch():
        nonlocal weights, key
        for X in batches(images):
            weights, key = step(weights, X, key)
        jax.block_until_ready(weights)
    return epoch


ROWS = {
    'the floor': floor, 'this script': script, 'the listing': listing, 'NumPy by hand': numpy,
    'TensorFlow 2, tf.function': tensorflow_2,
    'PyTorch, eager': pytorch, 'PyTorch, compiled': partial(pytorch, compiled=True),
    'JAX, eager': jax, 'JAX, compiled': partial(jax, compiled=True)}


def serve(row, n_hidden):
    """Be the process of a row: answer each line on stdin with the seconds that an epoch takes."""
    answer = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # whatever a library prints is no answer
    try:
        epoch = ROWS[row](read_data().train.images, n_hidden)
        print('ready', file=answer, flush=True)
        while sys.stdin.readline():
            begin = time.perf_counter()
            epoch()
            print(time.perf_counter() - begin, file=answer, flush=True)
    except ModuleNotFoundError as error:
        print(f'not installed ({error.name})', file=answer)
    except Exception as error:  # the parent shows it in the row's place
        print(f'{type(error).__name__}: {error}'.splitlines()[0], file=answer)


def race(rounds, n_hidden):
    """Let all rows run epochs in turn; return {row: list of seconds, or the text of its error}."""
    workers, results = {}, {}

    def answer(worker):
        return worker.stdout.readline().strip() or 'ended without an answer'

    for row in ROWS:
        worker = subprocess.Popen(
            [sys.executable, __file__, '--serve', row, '--n_hidden', str(n_hidden)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        text = answer(worker)
        workers[row], results[row] = worker, [] if text == 'ready' else text
    for k in range(rounds + 1):
        print(f'round {k} of {rounds}', file=sys.stderr)
        for row, worker in workers.items():
            if isinstance(results[row], list):
                print(file=worker.stdin, flush=True)
                text = answer(worker)
                if not text[0].isdigit():
                    results[row] = text
                elif k:  # the first round warms up
                    results[row].append(float(text))
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return results


def print_race(rounds, n_hidden):
    results = race(rounds, n_hidden)
    print(f'Seconds per epoch with {n_hidden} hidden units, median of {rounds} interleaved rounds '
          '(smallest to largest)\n')
    print('| row | seconds | / the listing | / the floor |\n| --- | --- | --- | --- |')
    for row, seconds in results.items():
        if not isinstance(seconds, list):
            print(f'| {row} | {seconds} | | |')
            continue
        ratios = [f'{median(a / b for a, b in zip(seconds, other, strict=True)):.2f}'
                  if isinstance(other, list) else ''
                  for other in (results['the listing'], results['the floor'])]
        print(f'| {row} | {median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f}) '
              f'| {" | ".join(ratios)} |')


def first_line(*command):
    """Return the seconds until a program prints its first line, and its peak memory in MB."""
    begin = time.perf_counter()
    child = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    child.stdout.readline()
    seconds = time.perf_counter() - begin
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f'failed: {command}')
    return seconds, usage.ru_maxrss / 1024


def print_programs():
    """Print the time to the first line and the memory of both programs, the medians of three."""
    print('\n| program, one epoch | seconds to the first line | peak memory in MB |\n'
          '| --- | --- | --- |')
    with tempfile.TemporaryDirectory() as folder:
        script_runs, listing_runs = [], []
        for k in range(3):
            script_runs.append(first_line(ROOT / 'dae_mnist.py', '--n_epochs', 1,
                                          '--data_dir', DATA, '--log_dir', f'{folder}/{k}'))
            listing_runs.append(first_line(ROOT / 'tests' / 'listing.py', 0, 1, DATA))
    for name, runs in ('this script', script_runs), ('the listing', listing_runs):
        seconds, memory = map(median, zip(*runs, strict=True))
        print(f'| {name} | {seconds:.1f} | {memory:.0f} |')


def read_data():
    return input_data.read_data_sets(str(DATA))


def gunzip():
    """What reading cannot do without: gunzip the images and multiply them once."""
    arrays = []
    for name in TRAIN_IMAGES, TEST_IMAGES:
        with gzip.open(DATA / name) as f:
            pixels = np.frombuffer(f.read(), np.uint8, offset=16)
        arrays.append(np.multiply(pixels, np.float32(1 / 255), dtype=np.float32))
    return arrays


def print_reading(rounds):
    # First, as a child's count of its peak memory begins with what its parent holds.
    peak = subprocess.check_output([sys.executable, __file__, '--peak'], text=True)
    times = {read_data: [], gunzip: []}
    for k in range(rounds + 1):
        for read, seconds in times.items():
            begin = time.perf_counter()
            read()
            if k:
                seconds.append(time.perf_counter() - begin)
    ratio = median(a / b for a, b in zip(times[read_data], times[gunzip], strict=True))
    print(f'\nReading MNIST: {median(times[read_data]):.3f} s; gunzip and one multiplication: '
          f'{median(times[gunzip]):.3f} s; ratio {ratio:.2f}.')
    print(peak, end='')


def print_peak():
    """Print the memory that reading takes, beside what it returns: in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sets = read_data()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    arrays = sum(part.images.nbytes + part.labels.nbytes for part in sets) / 2**20
    decompressed = 60000 * 784 / 2**20
    print(f'Its peak memory: {peak:.0f} MB for {arrays:.0f} MB of arrays and one decompressed file '
          f'of {decompressed:.0f} MB, ratio {(peak - decompressed) / arrays:.2f}.')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rounds', type=int, default=7, help='epochs of each row (%(default)s)')
    parser.add_argument('--n_hidden', type=int, default=500,
                        help='hidden units of each row (%(default)s)')
    parser.add_argument('--serve', help=argparse.SUPPRESS)  # a row: what a worker is called with
    parser.add_argument('--peak', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.n_hidden)
    elif args.peak:
        print_peak()
    else:
        print_race(args.rounds, args.n_hidden)
        print_programs()
        print_reading(args.rounds)


if __name__ == '__main__':
    main()
