"""Measure the script beside other ways to do the same; by hand: python tests/benchmark.py [ROUNDS]

Each row is a process of its own. The parent lets them run one epoch each, in turn and alone, ROUNDS
times (default 7), so that a slow moment of the machine strikes all rows alike, and prints medians.
An epoch is 429 steps of 128 images of the real MNIST, masks included. It needs the four files in
MNIST_data/, and uses PyTorch and JAX where they are installed.
"""

import gzip
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / 'MNIST_data'
sys.path[:0] = [str(ROOT)]

import numpy as np

import input_data

BATCH, KEEP, RATE, HIDDEN = 128, 0.7, 0.02, 500


def batches(images):
    return (images[start:start + BATCH] for start in range(0, len(images) - BATCH + 1, BATCH))


def start_W():
    limit = 4 * np.sqrt(6 / (784 + HIDDEN))
    return np.random.RandomState(0).uniform(-limit, limit, (784, HIDDEN)).astype(np.float32)


# A row is a function that takes the training images and returns one that runs an epoch of them.

def floor(images):
    W, Y = start_W(), np.random.RandomState(0).random_sample((BATCH, HIDDEN)).astype(np.float32)

    def epoch():
        for X in batches(images):  # two products forward, one back, two for the gradient of W
            X @ W, Y @ W.T, X @ W, X.T @ Y, X.T @ Y
    return epoch


def listing(images):
    import listing
    import tensorflow.compat.v1 as tf
    tf.disable_v2_behavior()
    X, mask, _, train_op = listing.build()
    sess = tf.Session()
    sess.run(tf.global_variables_initializer())
    return lambda: listing.train_epoch(sess, X, mask, train_op, images)


def numpy(images):
    rng, W, b, b_prime = np.random.RandomState(0), start_W(), np.float32(0), np.float32(0)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def epoch():
        nonlocal W, b, b_prime
        for X in batches(images):
            tilde_X = (rng.random_sample(X.shape) < KEEP) * X
            Y = sigmoid(tilde_X @ W + b)
            Z = sigmoid(Y @ W.T + b_prime)
            dZ = 2 * (Z - X) * Z * (1 - Z)
            dY = dZ @ W * Y * (1 - Y)
            W -= np.float32(RATE) * (tilde_X.T @ dY + dZ.T @ Y)
            b = b - np.float32(RATE) * dY.sum(axis=0)
            b_prime = b_prime - np.float32(RATE) * dZ.sum(axis=0)
    return epoch


def tensorflow_2(images):
    import tensorflow as tf
    W, b, b_prime = (tf.Variable(v) for v in (start_W(), tf.zeros(HIDDEN), tf.zeros(784)))

    @tf.function
    def step(X):
        mask = tf.cast(tf.random.uniform(tf.shape(X)) < KEEP, tf.float32)
        with tf.GradientTape() as tape:
            Y = tf.sigmoid(tf.matmul(mask * X, W) + b)
            Z = tf.sigmoid(tf.matmul(Y, W, transpose_b=True) + b_prime)
            cost = tf.reduce_sum(tf.square(X - Z))
        for variable, gradient in zip((W, b, b_prime), tape.gradient(cost, (W, b, b_prime))):
            variable.assign_sub(RATE * gradient)

    images = tf.constant(images)

    def epoch():
        for X in batches(images):
            step(X)
        return W.numpy()
    return epoch


def pytorch(images, compiled=False):
    import torch
    images, W = torch.from_numpy(images), torch.from_numpy(start_W()).requires_grad_()
    b, b_prime = torch.zeros(HIDDEN, requires_grad=True), torch.zeros(784, requires_grad=True)
    optimizer = torch.optim.SGD((W, b, b_prime), RATE)

    def cost(X):
        mask = (torch.rand(X.shape) < KEEP).float()
        Z = torch.sigmoid(torch.sigmoid((mask * X) @ W + b) @ W.T + b_prime)
        return ((X - Z) ** 2).sum()

    cost = torch.compile(cost) if compiled else cost

    def epoch():
        for X in batches(images):
            optimizer.zero_grad()
            cost(X).backward()
            optimizer.step()
    return epoch


def pytorch_compiled(images):
    return pytorch(images, compiled=True)


def jax(images, compiled=False):
    import jax
    images, key = jax.numpy.asarray(images), jax.random.key(0)
    weights = jax.numpy.asarray(start_W()), jax.numpy.zeros(HIDDEN), jax.numpy.zeros(784)

    def cost(weights, X, key):
        W, b, b_prime = weights
        mask = jax.random.uniform(key, X.shape) < KEEP
        Z = jax.nn.sigmoid(jax.nn.sigmoid((mask * X) @ W + b) @ W.T + b_prime)
        return ((X - Z) ** 2).sum()

    def step(weights, X, key):
        key, now = jax.random.split(key)
        gradients = jax.grad(cost)(weights, X, now)
        return [w - RATE * g for w, g in zip(weights, gradients)], key

    step = jax.jit(step) if compiled else step

    def epoch():
        nonlocal weights, key
        for X in batches(images):
            weights, key = step(weights, X, key)
        jax.block_until_ready(weights)
    return epoch


def jax_compiled(images):
    return jax(images, compiled=True)


ROWS = {floor: 'floor: the five matrix products, NumPy', listing: 'the listing',
        numpy: 'NumPy by hand', tensorflow_2: 'TensorFlow 2, tf.function',
        pytorch: 'PyTorch, eager',
        pytorch_compiled: 'PyTorch, compiled', jax: 'JAX, eager', jax_compiled: 'JAX, compiled'}


def serve(row):
    """Run epochs of a row, one for each line on stdin; answer each with its seconds."""
    answer = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # whatever a library or the script prints is no answer

    def tell(*seconds):
        print(*seconds, file=answer, flush=True)
        return sys.stdin.readline()

    if row.startswith('script'):
        script(row, tell)
    else:
        run = globals()[row](read_data().train.images)
        going = tell(0)
        while going:
            begin = time.perf_counter()
            run()
            going = tell(time.perf_counter() - begin)


def script(row, tell):
    """Let `train` itself run: its steps are timed where it asks for them."""
    import dae_mnist
    progress, begin, seconds = dae_mnist.progress, None, 0

    def timed_progress(*args):
        nonlocal begin, seconds
        now = time.perf_counter()
        if not tell(seconds, now - begin if begin else 0):  # the steps, and all of the epoch
            raise KeyboardInterrupt
        begin = time.perf_counter()
        yield from progress(*args)
        seconds = time.perf_counter() - begin

    dae_mnist.progress = timed_progress
    with tempfile.TemporaryDirectory() as folder:
        try:
            dae_mnist.train(dae_mnist.build_graph(), read_data(), 10**6,
                            log_dir=folder if row == 'script_log' else None)
        except KeyboardInterrupt:
            pass


def read_data():
    return input_data.read_data_sets(DATA)


def gunzip():
    """What reading cannot do without: gunzip the images and multiply them once."""
    arrays = []
    for name in (input_data.TRAIN_IMAGES, input_data.TEST_IMAGES):
        with gzip.open(DATA / name) as f:
            pixels = np.frombuffer(f.read(), np.uint8, offset=16)
        arrays.append(np.multiply(pixels, np.float32(1 / 255), dtype=np.float32))
    return arrays


def race(rows, rounds):
    """Return {row: [seconds of each round]} for the rows that can run, each in its own process."""
    workers, seconds = {}, {}
    for row in rows:
        worker = subprocess.Popen([sys.executable, __file__, '--serve', row], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if worker.stdout.readline():
            workers[row], seconds[row] = worker, []
    for k in range(rounds + 1):
        print(f'round {k} of {rounds}', file=sys.stderr)
        for row, worker in workers.items():
            print('\n', end='', file=worker.stdin, flush=True)
            answer = [float(x) for x in worker.stdout.readline().split()]
            if k:  # the first round warms up
                seconds[row].append(answer)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    return seconds


def first_line(*command):
    """Return the seconds until a program prints its first line, and its peak memory in MB."""
    begin = time.perf_counter()
    child = subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    child.stdout.readline()
    seconds = time.perf_counter() - begin
    return seconds, os.wait4(child.pid, 0)[2].ru_maxrss / 1024


def median(values):
    return statistics.median(values)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    names = {row.__name__: text for row, text in ROWS.items()}
    names = {'floor': names.pop('floor'), 'script': 'this script', **names}
    seconds = race([*names, 'script_log'], rounds)

    print(f'Seconds an epoch, median of {rounds} interleaved rounds (smallest to largest)\n')
    print('| row | seconds | / the listing | / the floor |\n| --- | --- | --- | --- |')
    for row, name in names.items():
        if row not in seconds:
            print(f'| {name} | not installed | | |')
            continue
        steps = [answer[0] for answer in seconds[row]]
        ratios = [f'{median([a / b[0] for a, b in zip(steps, seconds[other])]):.2f}'
                  for other in ('listing', 'floor')]
        print(f'| {name} | {median(steps):.2f} ({min(steps):.2f} to {max(steps):.2f}) '
              f'| {ratios[0]} | {ratios[1]} |')

    whole = {row: [answer[1] for answer in seconds[row][1:]] for row in ('script', 'script_log')}
    ratio = median([a / b for a, b in zip(whole['script_log'], whole['script'])])
    print(f'\nA whole epoch, with the test cost: {median(whole["script"]):.2f} s without a log '
          f'folder, {median(whole["script_log"]):.2f} s with one, ratio {ratio:.3f}.')

    with tempfile.TemporaryDirectory() as folder:
        log = f'{folder}/log'
        runs = {'this script': [ROOT / 'dae_mnist.py', '--n_epochs', 1, '--log_dir', log],
                'the listing': [ROOT / 'tests/listing.py', 0, 1, DATA]}
        print('\n| program, one epoch | seconds to the first line | peak memory in MB |\n'
              '| --- | --- | --- |')
        results = {name: [] for name in runs}
        for k in range(3):
            for name, command in runs.items():
                command = [str(part).replace('/log', f'/log{k}') for part in command]
                results[name].append(first_line(*command))
        for name, values in results.items():
            print(f'| {name} | {median([v[0] for v in values]):.1f} '
                  f'| {median([v[1] for v in values]):.0f} |')

    # First, as a child's count of its peak memory begins with what its parent holds.
    peak = subprocess.check_output([sys.executable, __file__, '--peak'], text=True)
    times = {read_data: [], gunzip: []}
    for k in range(rounds + 1):
        for read, kept in times.items():
            begin = time.perf_counter()
            read()
            if k:
                kept.append(time.perf_counter() - begin)
    print(f'\nReading MNIST: {median(times[read_data]):.3f} s; gunzip and one multiplication: '
          f'{median(times[gunzip]):.3f} s; ratio '
          f'{median([a / b for a, b in zip(*times.values())]):.2f}.')
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


if __name__ == '__main__':
    if '--serve' in sys.argv:
        serve(sys.argv[-1])
    elif '--peak' in sys.argv:
        print_peak()
    else:
        main()
