"""Make each number and picture of both READMEs, but for speed; by hand: python tests/experiments.py

The tables go to stdout, as Markdown; the pictures go to .github/. It needs matplotlib and the real
MNIST in MNIST_data, and trains 60 networks in about an hour on two cores. Which one is trained, and
its costs, go to stderr. What is trained is kept in logs/experiments: a second run takes minutes.

A cell is the mean of the seeds 0, 1 and 2, in brackets the smallest and the largest. A cost is that
of an image, the mean of all.
"""

import contextlib
import functools
import os
import sys
from collections import namedtuple

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import matplotlib
import numpy as np
import tensorflow.compat.v1 as tf
from helpers import DATA, ROOT, SAMPLE

sys.path.append(str(ROOT))
import dae_mnist
import input_data
from dae_mnist import binomial_mask, restore, tile

matplotlib.use('Agg')
from matplotlib import pyplot

SEEDS = 0, 1, 2
NAMES = {0.0: 'no noise', 0.3: '30 % noise', 0.5: '50 % noise'}  # by the share destroyed
RATES = 0.005, 0.01, 0.02
SIZES = 500, 2000, 10000, 55000  # numbers of training images
LABELLED = 100, 500, 1000, 5000
STEPS = 1000  # of a classifier
KEPT = ROOT / 'logs' / 'experiments'
PICTURES = ROOT / '.github'

# What a network is trained with; with all images it is the one that the script trains.
Setting = namedtuple('Setting', 'noise rate seed images epochs hidden data',
                     defaults=(0.3, 0.02, 0, 55000, 20, 500, 'mnist'))


@functools.cache
def read(name):
    return input_data.read_data_sets({'mnist': DATA, 'sample': SAMPLE}[name], one_hot=True)


def keep(path, make):
    """Return the arrays in a file; where there is none, make() them and write it."""
    if not path.exists():
        part = path.with_suffix('.part.npz')
        np.savez(part, **make())
        part.replace(path)
    return dict(np.load(path))


def learn(setting):
    """Return the network of a setting, as `train` does.

    Fewer images are repeated up to 55,000, so that batches are whole and all networks take the same
    number of steps.
    """
    name = '-'.join(f'{name}{value}' for name, value in setting._asdict().items())

    def make():
        print('training', name, file=sys.stderr)
        train, _, test = read(setting.data)
        trX = np.resize(train.images[:setting.images], train.images.shape)
        with contextlib.redirect_stdout(sys.stderr):
            return dae_mnist.train(trX, test.images, n_epochs=setting.epochs, seed=setting.seed,
                                   learning_rate=setting.rate, corruption_level=setting.noise,
                                   n_hidden=setting.hidden)
    return keep(KEPT / f'{name}.npz', make)


def classify(setting, n_labelled):
    """Return W, b, V, c of a classifier 784-500-10 that starts from the W and b of a network.

    All layers are trained, in STEPS steps of gradient descent with rate 0.5 on the mean
    cross-entropy of 100 images, drawn from the first n_labelled training images.
    """
    def make():
        start, train = learn(setting), read('mnist').train
        with tf.Graph().as_default(), tf.Session() as sess:
            X = tf.placeholder(tf.float32, [None, 784])
            T = tf.placeholder(tf.float32, [None, 10])
            W, b = tf.Variable(start['W']), tf.Variable(start['b'])
            V, c = tf.Variable(tf.zeros([setting.hidden, 10])), tf.Variable(tf.zeros([10]))
            logits = tf.matmul(tf.nn.sigmoid(tf.matmul(X, W) + b), V) + c
            errors = tf.nn.softmax_cross_entropy_with_logits_v2(labels=T, logits=logits)
            train_op = tf.train.GradientDescentOptimizer(0.5).minimize(tf.reduce_mean(errors))
            sess.run(tf.global_variables_initializer())
            rng = np.random.RandomState(setting.seed)
            for _ in range(STEPS):
                batch = rng.randint(n_labelled, size=100)
                sess.run(train_op, feed_dict={X: train.images[batch], T: train.labels[batch]})
            return sess.run({'W': W, 'b': b, 'V': V, 'c': c})
    name = f'labels{n_labelled}-{setting.noise}-{setting.rate}-{setting.seed}-{setting.epochs}'
    return keep(KEPT / f'{name}-{setting.hidden}.npz', make)


# Measuring


def lose(share):
    return lambda X: binomial_mask(np.random.RandomState(0), X.shape, share) * X


def cost(X, Z):
    return np.sum(np.square(X - Z), dtype=float) / len(X)


@functools.cache
def restoring(setting, destroyed, part='test', factor=1.):
    """Return the cost of restored images; factor is what the network's input is multiplied by."""
    X = getattr(read(setting.data), part).images[:min(setting.images, 10000)]
    return cost(X, restore(learn(setting), factor * lose(destroyed)(X)))


def accuracy(setting, n_labelled, damage=lambda X: X):
    """Return how many per cent of the test digits, perhaps damaged, a classifier gets right."""
    net, test = classify(setting, n_labelled), read('mnist').test
    Y = 1 / (1 + np.exp(-(damage(test.images) @ net['W'] + net['b'])))
    right = (Y @ net['V'] + net['c']).argmax(axis=1) == test.labels.argmax(axis=1)
    return 100 * right.mean()


def square(size, colour):
    """Return a damage: a square somewhere in the middle 20 x 20 pixels, where the digits are."""
    def damage(X):
        images = X.reshape(-1, 28, 28).copy()
        corners = np.random.RandomState(0).randint(4, 25 - size, (len(images), 2))
        for image, (row, column) in zip(images, corners):
            image[row:row + size, column:column + size] = colour
        return images.reshape(X.shape)
    return damage


def slant(X):
    """Move each row of pixels sideways, 2 pixels for every 5 rows."""
    rows = X.reshape(-1, 28, 28).transpose(1, 0, 2)
    moved = [np.roll(row, round(0.4 * (13.5 - i)), axis=1) for i, row in enumerate(rows)]
    return np.stack(moved, axis=1).reshape(X.shape)


def specks(X):
    """Set a tenth of the pixels, half of them to black, half to white."""
    chance = np.random.RandomState(0).random_sample(X.shape)
    return np.where(chance < 0.1, chance < 0.05, X).astype(X.dtype)


DAMAGES = {'undamaged': lambda X: X, '30 % of the pixels lost': lose(0.3),
           '50 % of the pixels lost': lose(0.5), 'a part covered, 8 × 8': square(8, 0),
           'a white stain, 4 × 4': square(4, 1), 'slanted': slant,
           '10 % black or white specks': specks}


def some_digits():
    """Return the first test image of each digit."""
    test = read('mnist').test
    return test.images[test.labels.argmax(axis=0)]


def values(measure, setting, *args, **kwargs):
    return [measure(setting._replace(seed=seed), *args, **kwargs) for seed in SEEDS]


def text(numbers, digits=2):
    """Return a cell: the mean, and the range."""
    mean, low, high = (f'{f(numbers):.{digits}f}' for f in (np.mean, min, max))
    return f'{mean} ({low} to {high})'


def cell(measure, setting, *args, **kwargs):
    return text(values(measure, setting, *args, **kwargs), 1 if measure is accuracy else 2)


@functools.cache
def best(noise):
    """Return the setting of a noise with the rate of the lowest cost on the validation images."""
    settings = [Setting(noise, rate) for rate in RATES]
    return min(settings, key=lambda s: np.mean(values(restoring, s, noise, 'validation')))


def print_table(head, rows):
    for row in head, ['---'] * len(head), *rows:
        print('|', ' | '.join(map(str, row)), '|')
    print(flush=True)


def print_rates():
    """Learning rates: cost of the validation images, each network at its own noise"""
    print_table(['noise', *RATES, 'taken'], [
        [name, *(cell(restoring, Setting(noise, rate), noise, 'validation') for rate in RATES),
         best(noise).rate] for noise, name in NAMES.items()])


def print_restoring():
    """Restoring: cost of the test images, by the share of pixels destroyed"""
    X = read('mnist').test.images
    rows = [[f'{destroyed:.0%}', *(cell(restoring, best(noise), destroyed) for noise in NAMES),
             f'{cost(X, lose(destroyed)(X)):.2f}'] for destroyed in NAMES]
    scaled = [cell(restoring, best(noise), 0, factor=1 - noise) for noise in NAMES]
    print_table(['destroyed', *NAMES.values(), 'the damaged images'],
                [*rows, ['0%, times 1 - noise', *scaled, '-']])


def starts():
    """Return {name: setting} of what a classifier can start from."""
    return {'untrained': Setting(epochs=0), **{NAMES[noise]: best(noise) for noise in NAMES}}


def print_recognising():
    """Recognising: accuracy on the test images, in per cent, by number of labelled images"""
    print_table(['labelled images', *starts()], [
        [f'{n:,}', *(cell(accuracy, start, n) for start in starts().values())] for n in LABELLED])


def print_unseen_damage():
    """Damage never seen: accuracy in per cent, after 1,000 labelled undamaged images"""
    means = {name: [np.mean(values(accuracy, start, 1000, damage)) for start in starts().values()]
             for name, damage in DAMAGES.items()}
    print_table(['damage', *starts()], [
        [name, *(cell(accuracy, start, 1000, damage) for start in starts().values())]
        for name, damage in DAMAGES.items()])
    print_table(['points lost by', *starts()], [
        [name, *(f'{whole - mean:.1f}' for whole, mean in zip(means['undamaged'], means[name]))]
        for name in list(DAMAGES)[1:]])
    digits = some_digits()[[3, 8]]
    rows = np.stack([damage(digits) for damage in DAMAGES.values()], axis=1).reshape(-1, 784)
    (PICTURES / 'damage.png').write_bytes(tile(rows, len(DAMAGES)))


def print_overfitting():
    """Overfitting: cost of training and test images after 8,580 steps, each at its own noise"""
    rows = []
    for noise in 0.0, 0.3:
        for n in SIZES:
            setting = best(noise)._replace(images=n)
            known = np.array(values(restoring, setting, noise, 'train'))
            new = np.array(values(restoring, setting, noise))
            rows.append([NAMES[noise], f'{n:,}', text(known), text(new), text(new - known),
                         text(new / known, 1), cell(restoring, setting, 0.3)])
    print_table(['noise', 'training images', 'training', 'test', 'test - training',
                 'test / training', 'test, 30 % destroyed'], rows)


def print_run():
    """A run with the defaults and --seed 0: cost per test image"""
    networks = {'MNIST': (learn(Setting(epochs=100)), 10000),
                'the sample': (learn(Setting(images=10000, epochs=100, data='sample')), 2000)}
    epochs = 0, 1, 4, 9, 19, 49, 99
    print_table(['epoch', *epochs], [
        [name, *(f'{network["costs"][epoch] / n:.2f}' for epoch in epochs)]
        for name, (network, n) in networks.items()])
    print('As printed on MNIST:', *networks['MNIST'][0]['costs'][list(epochs)], '\n')
    figure, axes = pyplot.subplots(figsize=(7.5, 3), layout='constrained')
    for (name, (network, n)), line in zip(networks.items(), ('-', '--')):
        axes.plot(network['costs'] / n, line, color='#d95f02', label=name)
    axes.set(xlabel='epoch', ylabel='cost per test image', ylim=(0, None), xlim=(0, 100))
    axes.legend()
    figure.savefig(PICTURES / 'cost.png', dpi=110)
    clean = some_digits()
    damaged = lose(0.3)(clean)
    rows = np.concatenate([clean, damaged, restore(networks['MNIST'][0], damaged)])
    (PICTURES / 'reconstructions.png').write_bytes(tile(rows, 10))


def print_filters():
    """Filters: the first 50 units after 100 epochs with seed 0"""
    networks = {f'filters_{100 * noise:.0f}.png': best(noise) for noise in NAMES}
    for name, setting in {'filters.png': Setting(), **networks}.items():
        W = learn(setting._replace(epochs=100))['W'].T[:50]
        (PICTURES / name).write_bytes(tile(np.clip(0.5 + W / 2, 0, 1), 10))


def print_changes():
    """One change: cost of the test images with 30 % destroyed, accuracy with 1,000 labels"""
    changes = {'none: 20 epochs, rate 0.02': Setting(), '100 epochs': Setting(epochs=100),
               'rate 0.01': Setting(rate=0.01), 'rate 0.04': Setting(rate=0.04),
               'rate 0.01, 100 epochs': Setting(rate=0.01, epochs=100),
               '50 % noise': Setting(0.5), '1,000 hidden units': Setting(hidden=1000)}
    print_table(['change', 'cost', 'accuracy'], [
        [name, cell(restoring, setting, 0.3), cell(accuracy, setting, 1000)]
        for name, setting in changes.items()])


def main():
    KEPT.mkdir(parents=True, exist_ok=True)
    for experiment in (print_run, print_filters, print_rates, print_restoring, print_overfitting,
                       print_recognising, print_unseen_damage, print_changes):
        print(f'### {experiment.__doc__}\n', flush=True)
        experiment()


if __name__ == '__main__':
    main()
