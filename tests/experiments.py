"""Make every table and every picture of the README; by hand: python tests/experiments.py

The tables go to stdout, as Markdown; the pictures go to .github/. It needs matplotlib and the four
files of the real MNIST in MNIST_data, and takes one to two hours on two cores. What is trained is
kept in logs/experiments: a run that was stopped goes on, and a second one takes a few minutes.

A cell is the mean of the seeds 0, 1 and 2, in brackets the smallest and the largest. A cost is that
of one image, the mean of all, where nothing else is said.
"""

import functools
import io
import os
import sys
import textwrap
import time
from collections import namedtuple
from types import SimpleNamespace

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import matplotlib
import numpy as np
import tensorflow.compat.v1 as tf
from helpers import DATA, ROOT, SAMPLE
from PIL import Image

sys.path.append(str(ROOT))
import dae_mnist
import input_data

matplotlib.use('Agg')
from matplotlib import pyplot

KEPT, GITHUB = ROOT / 'logs' / 'experiments', ROOT / '.github'
SEEDS = 0, 1, 2
NOISES = 0.0, 0.3, 0.5
SIZES = 500, 2000, 10000, 55000  # numbers of training images
COLOURS = {0.0: '#1f77b4', 0.3: '#d95f02', 0.5: '#2ca02c'}  # of the noises in a chart

# What a network is trained with: the noise is its corruption level, images says how many.
Setting = namedtuple('Setting', 'noise seed images epochs hidden rate data',
                     defaults=(0.3, 0, 55000, 20, 500, 0.02, 'mnist'))
TRAINED = {'no noise': Setting(0.0), '30 % noise': Setting(0.3), '50 % noise': Setting(0.5)}
STARTS = {'untrained': Setting(epochs=0), **TRAINED}
LONG = {noise: Setting(noise, epochs=100) for noise in NOISES}
LONG_SAMPLE = Setting(images=10000, epochs=100, data='sample')
CHANGES = {
    'none': Setting(), '100 epochs': Setting(epochs=100), 'learning rate 0.01': Setting(rate=0.01),
    'learning rate 0.04': Setting(rate=0.04), '50 % noise': Setting(0.5),
    '1,000 hidden units': Setting(hidden=1000)}
ALL = {*LONG.values(), LONG_SAMPLE}
ALL |= {Setting(noise, seed, n) for noise in NOISES for seed in SEEDS for n in SIZES}
ALL |= {change._replace(seed=seed) for change in CHANGES.values() for seed in SEEDS}


# Training


@functools.cache
def read(name):
    """Return the training and the test set of 'mnist' or 'sample', with images X and labels T."""
    folder = {'mnist': DATA, 'sample': SAMPLE}[name]
    sets = input_data.read_data_sets(str(folder), one_hot=True)
    return [SimpleNamespace(X=part.images, T=part.labels) for part in (sets.train, sets.test)]


def path_of(setting, prefix=''):
    """Return the file that keeps what was trained, such as noise0.3-seed0-images500-... .npz."""
    return KEPT / (prefix + '-'.join(f'{k}{v}' for k, v in setting._asdict().items()) + '.npz')


def keep(path, make):
    """Return the arrays in a file; where there is none, make() them and write it, in one step."""
    if not path.exists():
        arrays, part = make(), path.with_suffix('.part')
        with part.open('wb') as file:
            np.savez(file, **arrays)
        part.replace(path)
    with np.load(path) as file:
        return SimpleNamespace(**file)


def learn(setting):
    """Return the network of a setting: W, b, b_prime, and its test costs of all epochs.

    Fewer images come round more often, so that every network is trained for the same number of
    steps. With all images the network is the one that the script learns with the same flags.
    """
    def make():
        print('training', path_of(setting).stem, file=sys.stderr)
        begin = time.monotonic()
        train, test = read(setting.data)
        trX = np.resize(train.X[:setting.images], train.X.shape)
        teX = test.X if setting.images == len(train.X) else test.X[:1]  # its cost is not used
        dae = dae_mnist.build_graph(setting.hidden, setting.rate, setting.seed)
        rng = np.random.RandomState(setting.seed)
        with tf.Session(graph=dae.graph) as sess:
            sess.run(dae.init_op)
            costs = [cost for _, cost in dae_mnist.train(sess, dae, trX, teX, rng,
                                                         range(setting.epochs), 128, setting.noise)]
            W, b, b_prime = sess.run([dae.W, dae.b, dae.b_prime])
        if setting in ALL:
            left = [s for s in ALL if s != setting and not path_of(s).exists()]
            work = sum(s.epochs * s.hidden for s in left) / (setting.epochs * setting.hidden)
            print(f'  {len(left)} of {len(ALL)} trainings are left, about '
                  f'{work * (time.monotonic() - begin) / 60:.0f} minutes', file=sys.stderr)
        return {'W': W, 'b': b, 'b_prime': b_prime, 'costs': costs}
    return keep(path_of(setting), make)


def classify(setting, n_labelled):
    """Return W, b, V, c of a classifier 784-500-10 that starts from the W and b of a network."""
    def make():
        start, train = learn(setting), read('mnist')[0]
        with tf.Graph().as_default(), tf.Session() as sess:
            X = tf.placeholder(tf.float32, [None, 784])
            T = tf.placeholder(tf.float32, [None, 10])
            W, b = tf.Variable(start.W), tf.Variable(start.b)
            V, c = tf.Variable(tf.zeros([setting.hidden, 10])), tf.Variable(tf.zeros([10]))
            logits = tf.matmul(tf.nn.sigmoid(tf.matmul(X, W) + b), V) + c
            errors = tf.nn.softmax_cross_entropy_with_logits_v2(labels=T, logits=logits)
            train_op = tf.train.GradientDescentOptimizer(0.5).minimize(tf.reduce_mean(errors))
            sess.run(tf.global_variables_initializer())
            rng = np.random.RandomState(setting.seed)
            for _ in range(1000):
                batch = rng.randint(n_labelled, size=100)
                sess.run(train_op, feed_dict={X: train.X[batch], T: train.T[batch]})
            W, b, V, c = sess.run([W, b, V, c])
        return {'W': W, 'b': b, 'V': V, 'c': c}
    return keep(path_of(setting, f'labels{n_labelled}-'), make)


# Measuring


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)  # 1 / (1 + exp(-x)), without its overflow


def restore(network, tilde_X):
    """Return what a network makes of damaged images."""
    Y = sigmoid(tilde_X @ network.W + network.b)
    return sigmoid(Y @ network.W.T + network.b_prime)


def cost_per_image(X, destroyed, restored=lambda tilde_X: tilde_X):
    """Return the cost of restored(damaged X) when this share of the pixels is destroyed."""
    rng, cost = np.random.RandomState(0), 0
    for part in np.array_split(X, max(1, len(X) // 5000)):  # a few at a time, for the memory
        Z = restored((rng.random_sample(part.shape) < 1 - destroyed) * part)
        cost += np.sum((part - Z)**2, dtype=float)
    return cost / len(X)


@functools.cache
def mending(setting, destroyed, training=False, factor=1):
    """Return a network's cost per test image, or per training image (of 10,000 at most).

    factor: what the network's input is multiplied by.
    """
    train, test = read(setting.data)
    X = train.X[:min(setting.images, 10000)] if training else test.X
    return cost_per_image(X, destroyed, lambda tilde_X: restore(learn(setting), factor * tilde_X))


def accuracy(setting, n_labelled, damage=None):
    """Return how many per cent of the test digits, perhaps damaged, a classifier gets right."""
    net, test = classify(setting, n_labelled), read('mnist')[1]
    X = damage(test.X) if damage else test.X
    logits = sigmoid(X @ net.W + net.b) @ net.V + net.c
    return 100 * np.mean(logits.argmax(axis=1) == test.T.argmax(axis=1))


def lose(share):
    return lambda X: (np.random.RandomState(0).random_sample(X.shape) < 1 - share) * X


def square(size, colour):
    """Return a damage: a square somewhere in the middle 20 x 20 pixels, where the digits are."""
    def damage(X):
        images = X.reshape(-1, 28, 28).copy()
        corners = np.random.RandomState(0).randint(4, 25 - size, (len(images), 2))
        for image, (row, column) in zip(images, corners, strict=True):
            image[row:row + size, column:column + size] = colour
        return images.reshape(X.shape)
    return damage


def slant(X):
    """Move each row of pixels sideways, 2 pixels for every 5 rows."""
    rows = X.reshape(-1, 28, 28).transpose(1, 0, 2)
    moved = [np.roll(row, round(0.4 * (13.5 - i)), axis=1) for i, row in enumerate(rows)]
    return np.stack(moved, axis=1).reshape(X.shape)


def specks(share):
    """Return a damage: this share of the pixels is set, half of them to black, half to white."""
    def damage(X):
        chance = np.random.RandomState(0).random_sample(X.shape)
        return np.where(chance < share, chance < share / 2, X).astype(X.dtype)
    return damage


DAMAGES = {'undamaged': lambda X: X, '30 % of the pixels lost': lose(0.3),
           '50 % of the pixels lost': lose(0.5), 'a part covered, 8 × 8': square(8, 0),
           'a white stain, 4 × 4': square(4, 1), 'slanted': slant,
           '10 % black or white specks': specks(0.1), '20 % black or white specks': specks(0.2)}


# Tables and pictures


def percent(share):
    return f'{100 * share:.0f} %'


def over_seeds(measure, setting, *args):
    return [measure(setting._replace(seed=seed), *args) for seed in SEEDS]


def cell(measure, setting, *args):
    """Return the text of a measure of a setting: the mean over the seeds, and the range."""
    values = over_seeds(measure, setting, *args)
    digits = 1 if measure is accuracy else 2
    mean, low, high = (f'{f(values):.{digits}f}' for f in (np.mean, min, max))
    return f'{mean} ({low} to {high})'


def print_table(head, rows):
    for row in head, ['---'] * len(head), *rows:
        print('|', ' | '.join(map(str, row)), '|')
    print(flush=True)


def tiles(images, columns):
    """Return images [N, 784] as one, so many to a row, with a black frame around each."""
    framed = np.pad(images.reshape(-1, 28, 28), [(0, 0), (1, 1), (1, 1)])
    return np.block([list(row) for row in framed.reshape(-1, columns, 30, 30)])


def filters(network, n):
    """Return the n columns of W with the largest spread, each scaled to [0, 1] for itself."""
    W = network.W[:, np.argsort(-network.W.std(axis=0), kind='stable')[:n]].T
    low, high = W.min(axis=1, keepdims=True), W.max(axis=1, keepdims=True)
    return (W - low) / (high - low)


def some_digits():
    """Return ten test digits of the sample, one of each kind: MNIST's are not ours to publish."""
    test = read('sample')[1]
    return test.X[[np.argmax(test.T[:, digit]) for digit in range(10)]]


def show(axes, grid, title=''):
    axes.imshow(grid, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
    axes.set_title(title, fontsize=10)
    axes.set_axis_off()


def save(figure, name):
    """Write a figure into .github/, in 32 colours, which takes a third of the bytes."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=130, facecolor='white')
    pyplot.close(figure)
    few = Image.open(picture).convert('RGB').quantize(32, dither=Image.Dither.NONE)
    few.save(GITHUB / name, optimize=True)


# The experiments, each a section of the output


def print_mending():
    """Mending: cost of test images"""
    test = read('mnist')[1]
    print_table(['destroyed', *TRAINED, 'the damaged images themselves'], [
        [percent(destroyed), *(cell(mending, Setting(noise), destroyed) for noise in NOISES),
         f'{cost_per_image(test.X, destroyed):.2f}'] for destroyed in NOISES])
    factors = [cell(mending, Setting(noise), 0, False, 1 - noise) for noise in NOISES]
    print('Nothing destroyed, but the input times 1 - noise:', *factors, sep=' | ', end='\n\n')


def print_recognising():
    """Recognising: accuracy on test images, in per cent"""
    print_table(['labelled images', *STARTS], [
        [f'{n:,}', *(cell(accuracy, start, n) for start in STARTS.values())]
        for n in (100, 500, 1000, 5000)])


def print_unseen_damage():
    """Damage never seen: accuracy in per cent of classifiers that saw 1,000 undamaged images"""
    print_table(['damage', *STARTS], [
        [name, *(cell(accuracy, start, 1000, damage) for start in STARTS.values())]
        for name, damage in DAMAGES.items()])

    figure, all_axes = pyplot.subplots(1, len(DAMAGES), figsize=(9, 2.65), layout='constrained')
    for axes, (name, damage) in zip(all_axes, DAMAGES.items(), strict=True):
        show(axes, tiles(damage(some_digits()[[3, 8]]), 1), textwrap.fill(name, 14))
    save(figure, 'damage.png')


def print_overfitting():
    """Overfitting: cost of training and of test images after 8,580 steps of 128"""
    def cost(noise, n, destroyed, training):
        return cell(mending, Setting(noise, images=n), destroyed, training)

    print_table(
        ['images', 'no noise, clean: training', 'test', '30 % noise, 30 % destroyed: training',
         'test', 'no noise, 30 % destroyed: test'],
        [[f'{n:,}', cost(0.0, n, 0, True), cost(0.0, n, 0, False), cost(0.3, n, 0.3, True),
          cost(0.3, n, 0.3, False), cost(0.0, n, 0.3, False)] for n in SIZES])
    print_table(
        ['noise', 'images', *(f'{percent(destroyed)} destroyed: {images}' for destroyed in NOISES
                              for images in ('training', 'test'))],
        [[percent(noise), f'{n:,}', *(cost(noise, n, destroyed, training) for destroyed in NOISES
                                      for training in (True, False))]
         for noise in NOISES for n in SIZES])

    def curve(noise, destroyed, training=False):
        return [np.mean(over_seeds(mending, Setting(noise, images=n), destroyed, training))
                for n in SIZES]

    figure, all_axes = pyplot.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout='constrained')
    own, lost = all_axes
    for name, noise in zip(TRAINED, NOISES, strict=True):
        colour = COLOURS[noise]
        own.plot(SIZES, curve(noise, noise), 'o-', color=colour, label=f'{name}, test images')
        own.plot(SIZES, curve(noise, noise, training=True), 'o:', color=colour,
                 label=f'{name}, training images')
        lost.plot(SIZES, curve(noise, 0.3), 'o-', color=colour, label=name)
    lost.axhline(cost_per_image(read('mnist')[1].X, 0.3), color='#555555', linestyle='--',
                 label='the damaged images themselves')
    own.set_title('Each network on what it was trained for', fontsize=11)
    lost.set_title('All on test images with 30 % destroyed', fontsize=11)
    own.set_ylabel('cost per image')
    for axes in all_axes:
        axes.set(xscale='log', ylim=(0, 29), xlabel='training images', xticks=SIZES)
        axes.set_xticks([], minor=True)
        axes.xaxis.set_major_formatter('{x:,.0f}')
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    save(figure, 'overfitting.png')


def print_run():
    """What a run shows, with --seed 0: the costs that are printed, of all test images"""
    mnist, sample = learn(LONG[0.3]), learn(LONG_SAMPLE)
    epochs = 0, 1, 4, 9, 19, 49, 99
    print_table(['epoch', *epochs], [
        [name, *(f'{network.costs[epoch]:,.0f}' for epoch in epochs)] for name, network in
        (('cost on MNIST, 10,000 test images', mnist),
         ('cost on the sample, 2,000 test images', sample))])
    print('The first lines on MNIST:', *mnist.costs[:5], '\n')
    train, test = read('mnist')
    mean_image = train.X.mean(axis=0, dtype=float)
    print_table(['10,000 test images, 30 % destroyed', 'all', 'per image', 'per pixel', 'rms'], [
        [name, f'{cost * 10000:,.0f}', f'{cost:.2f}', f'{cost / 784:.4f}',
         f'{(cost / 784)**0.5:.3f}'] for name, cost in (
            ('after 100 epochs', mnist.costs[-1] / 10000),
            ('the damaged images themselves', cost_per_image(test.X, 0.3)),
            ('always the mean image', cost_per_image(test.X, 0.3, lambda tilde_X: mean_image)))])

    figure, axes = pyplot.subplots(figsize=(7.5, 3.2), layout='constrained')
    axes.plot(mnist.costs, color=COLOURS[0.3], label='MNIST, 10,000 test images')
    axes.plot(sample.costs, color=COLOURS[0.0], label='the sample, 2,000 test images')
    axes.set(xlabel='epoch', ylabel='cost, as printed', ylim=(0, None), xlim=(0, 100))
    axes.yaxis.set_major_formatter('{x:,.0f}')
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, 'cost.png')

    pixels = np.uint8(tiles(filters(mnist, 80), 16) * 31) * 8  # 32 grey levels
    Image.fromarray(np.kron(pixels, np.ones((2, 2), np.uint8))).save(GITHUB / 'filters.png',
                                                                     optimize=True)
    digits, damaged = some_digits(), lose(0.3)(some_digits())
    figure, all_axes = pyplot.subplots(3, figsize=(9, 2.8), layout='constrained')
    for axes, images, name in zip(all_axes, (digits, damaged, restore(sample, damaged)),
                                  ('clean', 'damaged', 'restored'), strict=True):
        show(axes, tiles(images, 10))
        axes.text(-6, 15, name, ha='right', va='center', fontsize=11)
    save(figure, 'reconstructions.png')


def print_filters():
    """Filters: filters_by_noise.png, from seed 0 after 100 epochs"""
    figure, all_axes = pyplot.subplots(1, 3, figsize=(9, 3.3), layout='constrained')
    for axes, name, noise in zip(all_axes, TRAINED, NOISES, strict=True):
        show(axes, tiles(filters(learn(LONG[noise]), 49), 7), name)
    save(figure, 'filters_by_noise.png')


def print_getting_further():
    """Getting further: cost of test images with 30 % destroyed, accuracy with 1,000 labels"""
    print_table(['change', 'cost', 'accuracy'], [
        [name, cell(mending, change, 0.3), cell(accuracy, change, 1000)]
        for name, change in CHANGES.items()])


def main():
    KEPT.mkdir(parents=True, exist_ok=True)
    for experiment in (print_mending, print_recognising, print_unseen_damage, print_overfitting,
                       print_run, print_filters, print_getting_further):
        print(f'## {experiment.__doc__}\n', flush=True)
        experiment()


if __name__ == '__main__':
    main()
