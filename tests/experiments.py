"""Make each number and picture of both READMEs, but for speed; by hand: python tests/experiments.py

The tables go to stdout, as Markdown; the pictures go to .github/. It needs the real MNIST, and
trains 44 networks, in an hour or two. They are kept in logs/experiments for a second run.

A cost is that of an image, the mean of all. In a cell it is the mean of the last five epochs of the
seeds 0, 1 and 2, in brackets the smallest and the largest of these 15. An accuracy is the mean of
the three seeds after the last epoch, in brackets the smallest and the largest of these three.
"""

import functools
import io
import os
import sys
from collections import deque, namedtuple
from contextlib import closing
from types import ModuleType

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

os.environ.setdefault('MPLBACKEND', 'Agg')

import numpy as np
import tensorflow.compat.v1 as tf
from helpers import DATA, ROOT, SAMPLE, apply_edit, read_edits
from matplotlib import pyplot

sys.path.append(str(ROOT))
import dae_mnist
import input_data
from dae_mnist import binomial_mask, restore, tile

SEEDS = 0, 1, 2
NAMES = {0.0: 'no noise', 0.3: '30 % noise', 0.5: '50 % noise'}  # by the share destroyed
RATES = 0.005, 0.01, 0.02
SIZES = 500, 55000  # numbers of training images
LABELLED = 100, 500, 1000, 5000
STEPS = 1000  # of a classifier
KEPT = ROOT / 'logs' / 'experiments'
PICTURES = ROOT / '.github'

# What a network is trained with; with all images and no edit it is the one that the script trains.
# `edit` names a diff of the tutorial's exercises, and `codes` trains on the codes of a first one.
Setting = namedtuple('Setting', 'noise rate seed images epochs hidden data edit codes',
                     defaults=(0.3, 0.02, 0, 55000, 20, 500, 'mnist', '', False))


@functools.cache
def read(name):
    return input_data.read_data_sets({'mnist': DATA, 'sample': SAMPLE}[name], one_hot=True)


@functools.cache
def script(edit):
    """Return the script as a module, after the edit of one of the tutorial's exercises."""
    if edit == '':
        return dae_mnist
    module = ModuleType(f'dae_mnist after the edit {edit!r}')
    text = apply_edit((ROOT / 'dae_mnist.py').read_text('utf-8'), read_edits()[edit])
    exec(compile(text, module.__name__, 'exec'), module.__dict__)
    return module


def keep(path, make):
    """Return the arrays in a file; where there is none, make() them and write it."""
    if not path.exists():
        print('making', path.stem, file=sys.stderr)
        part = path.with_suffix('.part.npz')
        np.savez(part, **make())
        part.replace(path)
    return dict(np.load(path))


def encode(learned, X):
    """Return the hidden codes [N, n_hidden] of images [N, width]: equation (2), in NumPy."""
    return 1 / (1 + np.exp(-(X @ learned['W'] + learned['b'])))


def learn(setting):
    """Return the cost of each epoch, and what was learned after each of the last five.

    Fewer images are repeated up to all of them, so that batches are whole and all networks take the
    same number of steps.
    """
    name = '-'.join(f'{value}' for value in setting).replace(' ', '_')

    def make():
        sets = read(setting.data)
        trX = np.resize(sets.train.images[:setting.images], sets.train.images.shape)
        teX = sets.test.images
        if setting.codes:
            first = last_epoch(best(0.3), setting.seed)
            trX = encode(first, 0.7 * trX)
            teX = encode(first, 0.7 * teX)
        costs = []
        last = deque(maxlen=5)
        for _, cost, learned in script(setting.edit).train_epochs(
                trX, teX, n_epochs=setting.epochs, seed=setting.seed, learning_rate=setting.rate,
                corruption_level=setting.noise, n_hidden=setting.hidden):
            costs.append(cost)
            last.append(learned)
        arrays = {key: np.stack([learned[key] for learned in last]) for key in last[0]}
        return {'costs': costs, **arrays}
    arrays = keep(KEPT / f'{name}.npz', make)
    costs = arrays.pop('costs')
    return costs, [dict(zip(arrays, values)) for values in zip(*arrays.values())]


def last_epoch(setting, seed=0):
    return learn(setting._replace(seed=seed))[1][-1]


def untrained(n_visible, n_hidden, seed):
    """Return the weights that a network of the script starts from."""
    dae = dae_mnist.build_graph(n_visible, n_hidden, 0.02, seed)
    with closing(tf.Session(graph=dae.graph)) as sess:
        sess.run(dae.init_op)
        return sess.run(dae.weights)


def classify(layers, images, labels, seed):
    """Return the layers, trained: a classifier that starts from the W and b of sigmoid layers.

    A linear layer that starts at 0 is added. All layers are trained, in STEPS steps of gradient
    descent with rate 0.5 on the mean cross-entropy of 100 images drawn anew.
    """
    with tf.Graph().as_default(), tf.Session() as sess:
        X = tf.placeholder(tf.float32, [None, images.shape[1]])
        T = tf.placeholder(tf.float32, [None, labels.shape[1]])
        variables = [(tf.Variable(W), tf.Variable(b)) for W, b in layers]
        Y = X
        for W, b in variables:
            Y = tf.nn.sigmoid(tf.matmul(Y, W) + b)
        V = tf.Variable(tf.zeros([Y.shape[1], T.shape[1]]))
        c = tf.Variable(tf.zeros([T.shape[1]]))
        errors = tf.nn.softmax_cross_entropy_with_logits_v2(labels=T, logits=tf.matmul(Y, V) + c)
        train_op = tf.train.GradientDescentOptimizer(0.5).minimize(tf.reduce_mean(errors))
        sess.run(tf.global_variables_initializer())
        rng = np.random.RandomState(seed)
        for _ in range(STEPS):
            batch = rng.randint(len(images), size=100)
            sess.run(train_op, feed_dict={X: images[batch], T: labels[batch]})
        return sess.run([*variables, (V, c)])


def classifier(start, seed, n_labelled):
    """Return the layers of a classifier of MNIST; `start` is a name of STARTS."""
    def make():
        train = read('mnist').train
        layers = [(learned['W'], learned['b']) for learned in STARTS[start](seed)]
        layers = classify(layers, train.images[:n_labelled], train.labels[:n_labelled], seed)
        return {f'{k}{name}': array for k, layer in enumerate(layers)
                for name, array in zip('Wb', layer)}
    name = f'classifier-{start}-{seed}-{n_labelled}'.replace(' ', '_')
    arrays = keep(KEPT / f'{name}.npz', make)
    return [(arrays[f'{k}W'], arrays[f'{k}b']) for k in range(len(arrays) // 2)]


@functools.cache
def lose(share):
    """Return a damage that sets this share of the pixels to 0."""
    return lambda X: binomial_mask(np.random.RandomState(0), X.shape, share) * X


def gaussian(deviation):
    """Return a damage that adds normal noise."""
    return lambda X: X + np.random.RandomState(0).normal(0, deviation, X.shape).astype(np.float32)


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


def neighbours(damaged, share):
    """Replace each black pixel by the mean of its eight neighbours, divided by the share kept."""
    images = np.pad(damaged.reshape(-1, 28, 28), [(0, 0), (1, 1), (1, 1)])
    around = [images[:, i:i + 28, j:j + 28] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    mean = np.minimum(sum(around) / 8 / (1 - share), 1).reshape(damaged.shape)
    return np.where(damaged == 0, mean, damaged)


def linear(damaged, share):
    """Restore by the linear map that is best, by least squares, on damaged training images."""
    X = read('mnist').train.images
    lost = binomial_mask(np.random.RandomState(1), X.shape, share) * X
    mean = X.mean(axis=0)
    mean_lost = lost.mean(axis=0)
    lost -= mean_lost
    # The normal equations are small. Pixels that are always black make them singular.
    matrix = np.linalg.lstsq(lost.T @ lost, lost.T @ (X - mean), rcond=None)[0]
    return np.clip((damaged - mean_lost) @ matrix + mean, 0, 1)


def cost(X, Z):
    """Return the squared error, summed over the pixels: the mean of all images."""
    return np.sum(np.square(X - Z), dtype=float) / len(X)


def cross_entropy(X, Z):
    """Return the cross-entropy, summed over the pixels: the mean of all images."""
    Z = Z.astype(float)
    return -np.sum(X * np.log(Z + 1e-7) + (1 - X) * np.log(1 - Z + 1e-7)) / len(X)


@functools.cache
def costs_of(setting, damage, measure=cost, part='test', factor=1., seeds=None):
    """Return the cost of restored images in each of the last five epochs of each seed.

    The network's input is the damaged images times `factor`.
    """
    costs = []
    for seed in seeds or SEEDS:
        network = setting._replace(seed=seed)
        X = getattr(read(setting.data), part).images[:10000]
        if part == 'train':
            X = X[:setting.images]
        if setting.codes:
            X = encode(last_epoch(best(0.3), seed), 0.7 * X)
        for learned in learn(network)[1]:
            Z = script(setting.edit).restore(learned, factor * damage(X))
            costs.append(measure(X, Z))
    return costs


def accuracy(layers, images, labels):
    """Return how many per cent of the images a classifier gets right."""
    Y = images
    for W, b in layers[:-1]:
        Y = 1 / (1 + np.exp(-(Y @ W + b)))
    W, b = layers[-1]
    return 100 * np.mean((Y @ W + b).argmax(axis=1) == labels.argmax(axis=1))


@functools.cache
def accuracies(start, n_labelled, damage='undamaged'):
    """Return the accuracy on the test digits for each seed."""
    test = read('mnist').test
    images = DAMAGES[damage](test.images)
    return [accuracy(classifier(start, seed, n_labelled), images, test.labels) for seed in SEEDS]


@functools.cache
def best(noise):
    """Return the setting of a noise with the rate of the lowest cost on the validation images."""
    settings = [Setting(noise, rate) for rate in RATES]
    return min(settings, key=lambda s: np.mean(costs_of(s, lose(noise), part='validation')))


# What a classifier starts from: a function of the seed that gives the weights of its layers.
STARTS = {
    'untrained': lambda seed: [untrained(784, 500, seed)],
    'no noise': lambda seed: [last_epoch(best(0.0), seed)],
    '30 % noise': lambda seed: [last_epoch(best(0.3), seed)],
    '50 % noise': lambda seed: [last_epoch(best(0.5), seed)],
    'two layers, untrained': lambda seed: [untrained(784, 500, seed), untrained(500, 250, seed)],
    'two layers, 30 % noise': lambda seed: [last_epoch(s, seed) for s in (best(0.3), SECOND)]}
ONE_LAYER = list(STARTS)[:4]
SECOND = Setting(0.3, 0.005, hidden=250, codes=True)


def text(numbers, digits=2):
    """Return a cell: the mean, and the range."""
    mean, low, high = (f'{f(numbers):.{digits}f}' for f in (np.mean, min, max))
    return f'{mean} ({low} to {high})'


def print_table(head, rows):
    for row in head, ['---'] * len(head), *rows:
        print('|', ' | '.join(map(str, row)), '|')
    print(flush=True)


def print_rates():
    """Learning rates: cost of the validation images, each network at its own noise"""
    print_table(['noise', *RATES, 'taken'], [
        [name, *(text(costs_of(Setting(noise, rate), lose(noise), part='validation'))
                 for rate in RATES), best(noise).rate] for noise, name in NAMES.items()])


def print_restoring():
    """Restoring: cost of the test images, by the share of pixels destroyed"""
    X = read('mnist').test.images
    simple = {'an all-black image': lambda damaged, share: 0 * damaged,
              'damage left as it is': lambda damaged, share: damaged,
              'the mean of the neighbours': neighbours, 'the best linear map': linear}
    rows = [[name, *(f'{cost(X, restored(lose(share)(X), share)):.2f}' for share in NAMES)]
            for name, restored in simple.items()]
    for noise, name in NAMES.items():
        rows.append([f'a network, {name}',
                     *(text(costs_of(best(noise), lose(share))) for share in NAMES)])
    print_table(['restored by', *(f'{share:.0%} destroyed' for share in NAMES)], rows)
    print_table(['whole images, times 1 - noise', *NAMES.values()], [
        ['cost', *(text(costs_of(best(noise), lose(0), factor=1 - noise)) for noise in NAMES)]])


def print_overfitting():
    """Overfitting: cost after 8,580 steps, each network at its own noise, seed 0"""
    rows = []
    for noise in 0.0, 0.3:
        for n in SIZES:
            setting = best(noise)._replace(images=n)
            rows.append([f'{n:,} images, {NAMES[noise]}',
                         text(costs_of(setting, lose(noise), part='train', seeds=SEEDS[:1])),
                         text(costs_of(setting, lose(noise), seeds=SEEDS[:1]))])
    print_table(['trained on', 'training images', 'test images'], rows)


def print_recognising():
    """Recognising: accuracy on the test images, in per cent, by number of labelled images"""
    print_table(['labelled images', *ONE_LAYER], [
        [f'{n:,}', *(text(accuracies(start, n), 1) for start in ONE_LAYER)] for n in LABELLED])


def print_unseen_damage():
    """Damage never seen: accuracy in per cent, after 1,000 labelled undamaged images"""
    print_table(['damage', *ONE_LAYER], [
        [name, *(text(accuracies(start, 1000, name), 1) for start in ONE_LAYER)]
        for name in DAMAGES])


def print_changes():
    """One change: cost of the test images with 30 % destroyed, seed 0"""
    changes = {'none: 20 epochs, rate 0.02': Setting(), '100 epochs': Setting(epochs=100),
               'rate 0.01': Setting(rate=0.01),
               'rate 0.01, 100 epochs': Setting(rate=0.01, epochs=100), '50 % noise': Setting(0.5)}
    print_table(['change', 'cost'], [
        [name, text(costs_of(setting, lose(0.3), seeds=SEEDS[:1]))]
        for name, setting in changes.items()])


def print_exercises():
    """Exercises: each network by three measures, on the test images"""
    networks = {'the script': best(0.3), 'no noise': best(0.0),
                'cross-entropy': Setting(rate=0.005, edit='Cross-entropy'),
                'Gaussian noise': Setting(rate=0.01, edit='Gaussian noise'),
                'untied weights': Setting(rate=0.01, edit='Untied weights')}
    print_table(['network', 'rate', '30% destroyed', 'cross-entropy', 'Gaussian noise of 0.3'], [
        [name, network.rate, text(costs_of(network, lose(0.3))),
         text(costs_of(network, lose(0.3), cross_entropy), 1),
         text(costs_of(network, gaussian(0.3)))] for name, network in networks.items()])
    X = read('mnist').test.images
    undone = []
    through = []
    for seed in SEEDS:
        first = last_epoch(best(0.3), seed)
        codes = encode(first, 0.7 * X)
        undone.append(cost(codes, lose(0.3)(codes)))
        code = restore(last_epoch(SECOND, seed), encode(first, lose(0.3)(X)))
        Z = 1 / (1 + np.exp(-(code @ first['W_prime'] + first['b_prime'])))
        through.append(cost(X, Z))
    print_table(['second autoencoder, on codes', 'cost'], [
        ['codes with 30 % destroyed', text(undone)],
        ['restored by the second', text(costs_of(SECOND, lose(0.3)))],
        ['digits with 30 % destroyed, through both', text(through)],
        ['through the first alone', text(costs_of(best(0.3), lose(0.3)))]])
    starts = ['untrained', '30 % noise', *list(STARTS)[4:]]
    print_table(['labelled, two layers', *starts], [
        [f'{n:,}', *(text(accuracies(start, n), 1) for start in starts)] for n in LABELLED])


def some_digits():
    """Return the first test image of each digit."""
    test = read('mnist').test
    return test.images[test.labels.argmax(axis=0)]


def print_run():
    """A run with the defaults and --seed 0: cost per test image"""
    mnist = learn(Setting(epochs=100))[0]
    sample = learn(Setting(images=10000, epochs=100, data='sample'))[0]
    means = {'MNIST': mnist / 10000, 'the sample': sample / 2000}
    epochs = 0, 1, 4, 9, 19, 49, 99
    print_table(['epoch', *epochs], [
        [name, *(f'{costs[epoch]:.2f}' for epoch in epochs)] for name, costs in means.items()])
    print('As printed on MNIST:\n\n```')
    for epoch in 0, 1, 2, 3, 4, 99:
        print(epoch, mnist[epoch])
    print('```\n')
    figure, axes = pyplot.subplots(figsize=(7.5, 3), layout='constrained')
    for (name, costs), line in zip(means.items(), ('-', '--')):
        axes.plot(costs, line, color='#d95f02', label=name)
    axes.set(xlabel='epoch', ylabel='cost per test image', ylim=(0, None), xlim=(0, 100))
    axes.legend()
    figure.savefig(PICTURES / 'cost.png', dpi=110)


def draw_digits():
    """Draw what networks make of ten damaged digits, and two digits under each damage."""
    clean = some_digits()
    damaged = lose(0.3)(clean)
    rows = [clean, damaged, *(restore(last_epoch(best(noise)), damaged) for noise in (0.3, 0.0))]
    (PICTURES / 'reconstructions.png').write_bytes(tile(np.concatenate(rows), 10))
    damaged = lose(0.5)(clean)
    rows = [clean, damaged, neighbours(damaged, 0.5), restore(last_epoch(best(0.5)), damaged)]
    (PICTURES / 'neighbours.png').write_bytes(tile(np.concatenate(rows), 10))
    digits = clean[[3, 8]]
    rows = np.stack([damage(digits) for damage in DAMAGES.values()], axis=1).reshape(-1, 784)
    (PICTURES / 'damage.png').write_bytes(tile(rows, len(DAMAGES)))


def show(axes, image, title):
    axes.imshow(image, 'gray', vmin=0, vmax=1, interpolation='nearest')
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize=9)


def draw_filters():
    """Draw 50 columns of W, without noise in training and with it, side by side on one scale."""
    figure, both = pyplot.subplots(1, 2, figsize=(9, 2.7), layout='constrained')
    for axes, noise in zip(both, (0.0, 0.3)):
        W = last_epoch(best(noise))['W'].T[:50]
        png = pyplot.imread(io.BytesIO(tile(0.5 + W / 2, 10)))
        show(axes, png, f'trained with {NAMES[noise]}')
    figure.savefig(PICTURES / 'filters.png', dpi=130)


def draw_way():
    """Draw a digit on its way through the network; destroyed ink is red, destroyed black blue."""
    X = some_digits()[2:3]
    mask = binomial_mask(np.random.RandomState(0), X.shape, 0.3)
    learned = last_epoch(best(0.3))
    tilde_X = mask * X
    Y, Z = encode(learned, tilde_X), restore(learned, tilde_X)
    colours = np.repeat(tilde_X[0, :, np.newaxis], 3, axis=1)
    colours[~mask[0] & (X[0] > 0)] = 0.9, 0.25, 0.15
    colours[~mask[0] & (X[0] == 0)] = 0.1, 0.2, 0.45
    figure, panels = pyplot.subplots(1, 6, figsize=(11, 2.3))
    show(panels[0], X.reshape(28, 28), 'X  [1, 784]\nclean')
    show(panels[1], mask.reshape(28, 28), 'mask  [1, 784]\nblack: 0, white: 1')
    show(panels[2], colours.reshape(28, 28, 3), 'tilde_X = mask * X\n[1, 784]  damaged')
    show(panels[3], Y.reshape(20, 25), 'Y  [1, 500]\nthe hidden code')
    show(panels[4], Z.reshape(28, 28), 'Z  [1, 784]\nrestored')
    show(panels[5], ((X - Z) ** 2).reshape(28, 28), f'(X - Z)²\nsum: {cost(X, Z):.1f}')
    for panel, sign in zip(panels, '×=→→→'):
        panel.text(1.12, 0.5, sign, transform=panel.transAxes, ha='center', va='center')
    # The clean image goes to the comparison.
    start, end = (panel.get_position().x0 + 0.05 for panel in (panels[0], panels[5]))
    figure.add_artist(pyplot.Line2D([start, start, end, end], [0.1, 0.03, 0.03, 0.1], color='k'))
    figure.savefig(PICTURES / 'way.png', dpi=110, bbox_inches='tight')


def main():
    KEPT.mkdir(parents=True, exist_ok=True)
    for experiment in (print_run, print_rates, print_restoring, print_overfitting,
                       print_recognising, print_unseen_damage, print_changes, print_exercises):
        print(f'### {experiment.__doc__}\n', flush=True)
        experiment()
    draw_digits()
    draw_filters()
    draw_way()


if __name__ == '__main__':
    main()
