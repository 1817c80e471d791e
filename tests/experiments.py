"""Make each number of both READMEs, but for speed; by hand: python tests/experiments.py

The tables go to stdout, as Markdown. `python tests/experiments.py restoring one_change` makes these
two only. It needs the real MNIST, and trains 51 networks and 48 classifiers, in two or three hours.
They are kept in logs/experiments, for a second run and for pictures.py.

A cost is that of an image, the mean of all. In a cell it is the mean of the last five epochs of the
seeds 0, 1 and 2, in brackets the smallest and the largest of these 15. An accuracy is the mean of
the three seeds after the last epoch, in brackets the smallest and the largest of these three.
"""

import functools
import os
import sys
from collections import deque, namedtuple
from contextlib import closing, redirect_stdout
from functools import partial
from types import ModuleType

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np
import tensorflow.compat.v1 as tf
from helpers import DATA, ROOT, SAMPLE, apply_edit, read_edits, read_keras_block
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import SVC

sys.path.append(str(ROOT))
import dae_mnist
import input_data
from dae_mnist import binomial_mask, corrupt

SEEDS = 0, 1, 2
NOISES = {0.0: 'no noise', 0.3: '30 % noise', 0.5: '50 % noise'}  # by the share destroyed
RATES = 0.005, 0.01, 0.02
LABELLED = 100, 500, 1000, 5000  # numbers of labelled images for fine-tuning
STEPS = 500, 1000, 2000, 4000, 8000  # of fine-tuning: validation images choose one
KEPT = ROOT / 'logs' / 'experiments'

# What a network is trained with; with all images and no edit it is the one that the script trains.
# `edit` names a diff of the tutorial's exercises.
Setting = namedtuple('Setting', 'noise rate seed images epochs hidden data edit',
                     defaults=(0.3, 0.02, 0, 55000, 20, 500, 'mnist', ''))


def taken(noise, **changes):
    """Return the setting of a noise with its best rate in the table of learning rates.

    For noises that are not in that table it is the rate of those with noise.
    """
    return Setting(noise, 0.01 if noise > 0 else 0.005, **changes)


@functools.cache
def read(name):
    return input_data.read_data_sets({'mnist': DATA, 'sample': SAMPLE}[name], one_hot=True)


# What trains.
@functools.cache
def script(edit):
    """Return the script as a module, after the edit of one of the tutorial's exercises."""
    if edit == '':
        return dae_mnist
    module = ModuleType(f'dae_mnist after the edit {edit!r}')
    text = apply_edit((ROOT / 'dae_mnist.py').read_text('utf-8'), read_edits()[edit])
    exec(compile(text, module.__name__, 'exec'), module.__dict__)
    return module


def keep(values, make):
    """Return the arrays in the file of this name; where there is none, make() them and write it."""
    path = KEPT / ('-'.join(map(str, values)).replace(' ', '_') + '.npz')
    if not path.exists():
        print('making', path.stem, file=sys.stderr)
        part = path.with_suffix('.part.npz')
        np.savez(part, **make())
        part.replace(path)
    return dict(np.load(path))


def train(setting):
    """Return the cost of each epoch, and each weight after the last five, stacked.

    Fewer images are repeated up to all of them, so that batches are whole and all networks take the
    same number of steps.
    """
    sets = read(setting.data)
    trX = np.resize(sets.train.images[:setting.images], sets.train.images.shape)
    costs = []
    last = deque(maxlen=5)
    for _, cost, learned in script(setting.edit).train_epochs(
            trX, sets.test.images, n_epochs=setting.epochs, n_hidden=setting.hidden,
            learning_rate=setting.rate, corruption_level=setting.noise, seed=setting.seed):
        costs.append(cost)
        last.append(learned)
    return {'costs': costs, **{name: [learned[name] for learned in last] for name in last[0]}}


def learn(setting):
    """Return the cost of each epoch, and what was learned after each of the last five."""
    arrays = keep(setting, partial(train, setting))
    costs = arrays.pop('costs')
    return costs, [dict(zip(arrays, weights)) for weights in zip(*arrays.values())]


def last_epoch(setting, seed):
    """Return what the network of a seed has learned in the end."""
    return learn(setting._replace(seed=seed))[1][-1]


def untrained(seed):
    """Return the weights that the script's network starts from."""
    dae = dae_mnist.build_graph(784, 500, 0.02, seed)
    with closing(tf.Session(graph=dae.graph)) as sess:
        sess.run(dae.init_op)
        return sess.run(dae.weights)


# What damages, and what restores without learning.
def kept_pixels(X, share):
    """Return the mask of all measurements: False where a pixel is destroyed."""
    return binomial_mask(np.random.RandomState(0), X.shape, share)


def lose(share, X):
    """Destroy this share of the pixels."""
    return corrupt(X, kept_pixels(X, share))


def gaussian(deviation, X):
    """Add normal noise."""
    return X + np.random.RandomState(0).normal(0, deviation, X.shape).astype(np.float32)


def square(size, colour, X):
    """Draw a square somewhere in the middle 20 x 20 pixels, where the digits are."""
    images = X.reshape(-1, 28, 28).copy()
    corners = np.random.RandomState(0).randint(4, 25 - size, (len(images), 2))
    for image, (row, column) in zip(images, corners):
        image[row:row + size, column:column + size] = colour
    return images.reshape(X.shape)


def slant(X):
    """Move each row of pixels sideways, 2 pixels for every 5 rows."""
    rows = X.reshape(-1, 28, 28).transpose(1, 0, 2)
    moved = [np.roll(row, round(0.4 * (13.5 - i)), axis=1) for i, row in enumerate(rows)]
    return np.stack(moved, axis=1).reshape(X.shape)


def specks(X):
    """Set a tenth of the pixels, half of them to black, half to white."""
    chance = np.random.RandomState(0).random_sample(X.shape)
    return np.where(chance < 0.1, chance < 0.05, X).astype(X.dtype)


LOST = {0.0: 'undamaged', 0.3: '30 % of the pixels lost', 0.5: '50 % of the pixels lost'}
GAUSSIAN = 'Gaussian noise of 0.3'
DAMAGES = {**{name: partial(lose, share) for share, name in LOST.items()},
           'a part covered, 8 × 8': partial(square, 8, 0),
           'a white stain, 4 × 4': partial(square, 4, 1), 'slanted': slant,
           '10 % black or white specks': specks, GAUSSIAN: partial(gaussian, 0.3)}


def neighbours(damaged, share):
    """Replace each black pixel by the mean of its eight neighbours, divided by the share kept."""
    images = np.pad(damaged.reshape(-1, 28, 28), [(0, 0), (1, 1), (1, 1)])
    around = [images[:, i:i + 28, j:j + 28] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    mean = np.minimum(sum(around) / 8 / (1 - share), 1).reshape(damaged.shape)
    return np.where(damaged == 0, mean, damaged)


def linear(damaged, share):
    """Restore by the linear map that is best, by least squares, on damaged training images."""
    X = read('mnist').train.images
    lost = corrupt(X, binomial_mask(np.random.RandomState(1), X.shape, share))
    return np.clip(LinearRegression().fit(lost, X).predict(damaged), 0, 1)


RULES = {'an all-black image': lambda damaged, share: 0 * damaged,
         'damage left as it is': lambda damaged, share: damaged,
         'the mean of the neighbours': neighbours, 'the best linear map': linear}
NETWORKS = {'a network, no noise': (0.0, False), 'a network, 30 % noise': (0.3, False),
            '30 % noise, kept ink put back': (0.3, True), 'a network, 50 % noise': (0.5, False),
            '50 % noise, kept ink put back': (0.5, True)}  # their noise, and if ink is put back


def put_ink_back(damaged, Z):
    """Keep each pixel that is not black in the damaged image: it was not destroyed."""
    return np.where(damaged > 0, damaged, Z)


# What measures.
def cost(X, Z):
    """Return the squared error, summed over the pixels: the mean of all images."""
    return np.sum(np.square(X - Z), dtype=float) / len(X)


def cost_of_kept(X, Z):
    """Return the part of the cost that lies on the pixels that a damage of 30 % keeps."""
    kept = kept_pixels(X, 0.3)
    return cost(kept * X, kept * Z)


def cross_entropy(X, Z):
    """Return the cross-entropy, summed over the pixels: the mean of all images."""
    Z = Z.astype(float)
    return -np.sum(X * np.log(Z + 1e-7) + (1 - X) * np.log(1 - Z + 1e-7)) / len(X)


@functools.cache
def costs_of(setting, damage, measure=cost, *, part='test', factor=1., ink_back=False, seeds=SEEDS):
    """Return the cost of restored images in each of the last five epochs of each seed.

    The network's input is the damaged images times `factor`; `ink_back` puts back the kept ink.
    """
    X = getattr(read(setting.data), part).images[:10000]
    if part == 'train':
        X = X[:setting.images]
    damaged = DAMAGES[damage](X)
    costs = []
    for seed in seeds:
        for learned in learn(setting._replace(seed=seed))[1]:
            Z = script(setting.edit).restore(learned, factor * damaged)
            if ink_back:
                Z = put_ink_back(damaged, Z)
            costs.append(measure(X, Z))
    return costs


def costs_by(way, share, measure=cost):
    """Return the costs of test images that have lost this share; a rule has one, networks many.

    They are restored by one of the RULES or NETWORKS.
    """
    if way in RULES:
        X = read('mnist').test.images
        return [measure(X, RULES[way](lose(share, X), share))]
    noise, ink_back = NETWORKS[way]
    return costs_of(taken(noise), LOST[share], measure, ink_back=ink_back)


# What a classifier sees of images.
def components(number, images):
    """Return the principal components of images; which these are, all training images say."""
    analysis = PCA(number, svd_solver='covariance_eigh').fit(read('mnist').train.images)
    return analysis.transform(images)


def code(setting, images, seed):
    """Return the code of whole images, times the share of pixels that was kept in training."""
    return dae_mnist.encode(last_epoch(setting, seed), (1 - setting.noise) * images)


# By what it sees: a function of images and the seed of a network.
SEEN = {'the pixels': lambda images, seed: images,
        '50 principal components': lambda images, seed: components(50, images),
        '100 principal components': lambda images, seed: components(100, images),
        'the code of random units': lambda images, seed: dae_mnist.encode(untrained(seed), images),
        **{f'the code, {name}': partial(code, taken(noise)) for noise, name in NOISES.items()}}


def logistic_regressions(seen):
    return [LogisticRegression(C=C, max_iter=10000) for C in np.logspace(-2, 2, 9)]


def support_vector_machines(seen):
    """Return machines whose kernels are of half to eight times the usual gamma."""
    usual = 1 / (seen.shape[1] * seen.var())
    return [SVC(C=C, gamma=factor * usual)
            for C in (1, 10, 100) for factor in (0.5, 1, 2, 4, 8)]


def frozen(candidates, see, seed):
    """Return the accuracy on the test digits of a classifier that sees what `see` makes of images.

    It learns from 1,000 labelled images. The 5,000 validation images choose among the candidates.
    """
    sets = read('mnist')
    digits, validation_digits, test_digits = (
        part.labels.argmax(axis=1) for part in (sets.train, sets.validation, sets.test))
    seen = see(sets.train.images[:1000], seed)
    fitted = [candidate.fit(seen, digits[:1000]) for candidate in candidates(seen)]
    seen = see(sets.validation.images, seed)
    best = max(fitted, key=lambda candidate: candidate.score(seen, validation_digits))
    print('chosen:', best, file=sys.stderr)
    return 100 * best.score(see(sets.test.images, seed), test_digits)


# Fine-tuning: a classifier that starts from a network, all of it trained on labelled digits.
def fine_tune(start, images, labels, seed):
    """Train a classifier 784-500-10 that starts from W and b; yield it after each number of STEPS.

    Its output layer starts at 0. Each step is plain gradient descent, rate 0.5, on the mean
    cross-entropy of 100 images drawn anew.
    """
    with tf.Graph().as_default(), closing(tf.Session()) as sess:
        X = tf.placeholder(tf.float32, [None, images.shape[1]])
        T = tf.placeholder(tf.float32, [None, labels.shape[1]])
        W = tf.Variable(start['W'])
        b = tf.Variable(start['b'])
        V = tf.Variable(tf.zeros([W.shape[1], T.shape[1]]))
        c = tf.Variable(tf.zeros([T.shape[1]]))
        scores = tf.matmul(tf.nn.sigmoid(tf.matmul(X, W) + b), V) + c
        errors = tf.nn.softmax_cross_entropy_with_logits_v2(labels=T, logits=scores)
        train_op = tf.train.GradientDescentOptimizer(0.5).minimize(tf.reduce_mean(errors))
        sess.run(tf.global_variables_initializer())
        rng = np.random.RandomState(seed)
        for step in range(1, max(STEPS) + 1):
            batch = rng.randint(len(images), size=100)
            sess.run(train_op, feed_dict={X: images[batch], T: labels[batch]})
            if step in STEPS:
                yield {'steps': step, **sess.run({'W': W, 'b': b, 'V': V, 'c': c})}


def accuracy(classifier, images, labels):
    """Return how many per cent of the images a classifier gets right."""
    Y = 1 / (1 + np.exp(-(images @ classifier['W'] + classifier['b'])))
    scores = Y @ classifier['V'] + classifier['c']
    return 100 * np.mean(scores.argmax(axis=1) == labels.argmax(axis=1))


STARTS = {'random start': untrained,
          **{name: partial(last_epoch, taken(noise)) for noise, name in NOISES.items()}}


def classifier(start, seed, n_labelled):
    """Return the classifier after the number of steps that is best on the validation images."""
    def tune():
        sets = read('mnist')
        images = sets.train.images[:n_labelled]
        labels = sets.train.labels[:n_labelled]
        return max(fine_tune(STARTS[start](seed), images, labels, seed),
                   key=lambda made: accuracy(made, sets.validation.images, sets.validation.labels))
    return keep(['classifier', start, seed, n_labelled], tune)


def accuracies(start, n_labelled, damage='undamaged'):
    """Return the accuracy on the test digits for each seed."""
    test = read('mnist').test
    images = DAMAGES[damage](test.images)
    return [accuracy(classifier(start, seed, n_labelled), images, test.labels) for seed in SEEDS]


# What single units answer to.
def how_far_on(unit, sign):
    """Return (mean output, number of digits) of a unit, by the number of inked pixels in its spot.

    On test digits with 30 % of the pixels lost. The spot is the ten pixels with the largest weights
    of the unit (sign 1), or the most negative ones (sign -1). A pixel above 0.5 is inked. The last
    of six groups has all digits with five or more.
    """
    learned = last_epoch(taken(0.3), 0)
    spot = np.argsort(-sign * learned['W'][:, unit])[:10]
    damaged = DAMAGES[LOST[0.3]](read('mnist').test.images)
    inked = np.minimum((damaged[:, spot] > 0.5).sum(axis=1), 5)
    Y = dae_mnist.encode(learned, damaged)[:, unit]
    return [(Y[inked == n].mean(), np.sum(inked == n)) for n in range(6)]


# The same in Keras.
def keras_run(seed):
    import keras
    keras.utils.set_random_seed(seed)
    names = {}
    with redirect_stdout(sys.stderr):  # what `fit` prints is no table
        exec(read_keras_block(), names)
    X = read('mnist').test.images
    Z = names['net'].predict(lose(0.3, X) / 0.7, verbose=0)
    return {'cost': cost(X, Z), 'loss': names['net'].history.history['loss'][-1]}


# Tables.
def text(numbers, digits=2):
    """Return a cell: the mean, and the range."""
    mean, low, high = (f'{f(numbers):.{digits}f}' for f in (np.mean, min, max))
    return f'{mean} ({low} to {high})'


def table(head, rows):
    """Return a table in Markdown."""
    lines = [head, ['---'] * len(head), *rows]
    return ''.join(f'| {" | ".join(map(str, line))} |\n' for line in lines)


def mean_costs():
    """Return the cost per test image after each epoch of runs with the defaults and --seed 0."""
    return {'MNIST': learn(Setting(epochs=100))[0] / 10000,
            'the sample': learn(Setting(epochs=100, data='sample'))[0] / 2000}


def default_run():
    """A run with the defaults and --seed 0: cost per test image"""
    epochs = 0, 1, 4, 9, 19, 49, 99
    return table(['epoch', *epochs], [
        [name, *(f'{costs[epoch]:.2f}' for epoch in epochs)]
        for name, costs in mean_costs().items()])


def as_printed():
    """As printed on MNIST"""
    costs = learn(Setting(epochs=100))[0]
    return '```\n' + ''.join(f'{i} {costs[i]!s}\n' for i in (0, 1, 2, 3, 4, 99)) + '```\n'


def learning_rates():
    """Learning rates: cost of the validation images, each network at its own noise"""
    rows = []
    for noise, name in NOISES.items():
        costs = {rate: costs_of(Setting(noise, rate), LOST[noise], part='validation')
                 for rate in RATES}
        lowest = min(costs, key=lambda rate: np.mean(costs[rate]))
        rows.append([name, *map(text, costs.values()), lowest])
    return table(['noise', *RATES, 'lowest at'], rows)


def restoring():
    """Restoring: cost of the test images, by the share of pixels destroyed"""
    rows = [[rule, *(f'{costs_by(rule, share)[0]:.2f}' for share in LOST)] for rule in RULES]
    rows += [[name, *(text(costs_by(name, share)) for share in LOST)] for name in NETWORKS]
    return table(['restored by', *(f'{share:.0%} destroyed' for share in LOST)], rows)


def whole_images():
    """Whole images, times 1 - noise"""
    return table(['whole images, times 1 - noise', *NOISES.values()], [
        ['cost', *(text(costs_of(taken(noise), 'undamaged', factor=1 - noise))
                   for noise in NOISES)]])


MEASURES = {'destroyed pixels': lambda X, Z: cost(X, Z) - cost_of_kept(X, Z),
            'kept pixels': cost_of_kept, 'together': cost}


def where_the_cost_lies():
    """Where the cost lies: on destroyed and on kept pixels of test images, 30 % destroyed"""
    ways = ('damage left as it is', 'the mean of the neighbours', 'a network, no noise',
            'a network, 30 % noise', '30 % noise, kept ink put back')
    return table(['30% destroyed, restored by', *MEASURES], [
        [way, *(text(costs_by(way, 0.3, measure)) for measure in MEASURES.values())]
        for way in ways])


def overfitting():
    """Overfitting: cost after 8,580 steps, each network at its own noise, seed 0"""
    networks = {'500 images, no noise': taken(0.0, images=500),
                '55,000 images, no noise': taken(0.0),
                '500 images, 30 % noise': taken(0.3, images=500),
                '55,000 images, 30 % noise': taken(0.3)}
    return table(['trained on', 'training images', 'test images'], [
        [name, *(text(costs_of(network, LOST[network.noise], part=part, seeds=(0,)))
                 for part in ('train', 'test'))]
        for name, network in networks.items()])


def frozen_codes():
    """Frozen codes: accuracy in per cent, after 1,000 labelled images"""
    return table(['the classifier sees', 'right, in %', 'a support vector machine, in %'], [
        [name, *(text([frozen(candidates, see, seed) for seed in SEEDS], 1)
                 for candidates in (logistic_regressions, support_vector_machines))]
        for name, see in SEEN.items()])


def noise_and_length():
    """By noise and by length of the code: seed 0"""
    networks = {'no noise, 500 units': taken(0.0), '10 % noise, 500 units': taken(0.1),
                '30 % noise, 500 units': taken(0.3), '50 % noise, 500 units': taken(0.5),
                '70 % noise, 500 units': taken(0.7),
                'no noise, 50 units': taken(0.0, hidden=50),
                '30 % noise, 50 units': taken(0.3, hidden=50),
                'no noise, 1,000 units': taken(0.0, hidden=1000),
                '30 % noise, 1,000 units': taken(0.3, hidden=1000)}
    return table(['trained with', 'right, in %', '30% destroyed'], [
        [name, f'{frozen(logistic_regressions, partial(code, network), 0):.1f}',
         text(costs_of(network, LOST[0.3], seeds=(0,)))]
        for name, network in networks.items()])


def fine_tuning():
    """Fine-tuning: accuracy on the test images, in per cent, by number of labelled images"""
    return table(['labelled images', *STARTS], [
        [f'{n:,}', *(text(accuracies(start, n), 1) for start in STARTS)] for n in LABELLED])


def steps_taken():
    """Fine-tuning: the numbers of steps that the validation images chose, for the three seeds"""
    return table(['steps, by labelled images', *STARTS], [
        [f'{n:,}', *(', '.join(f'{classifier(start, seed, n)["steps"]:,}' for seed in SEEDS)
                     for start in STARTS)] for n in LABELLED])


def damage_never_seen():
    """Damage never seen: accuracy in per cent, after 1,000 labelled undamaged images"""
    return table(['damage', *STARTS], [
        [name, *(text(accuracies(start, 1000, name), 1) for start in STARTS)]
        for name in DAMAGES])


def one_change():
    """One change: cost of the test images with 30 % destroyed, seed 0"""
    changes = {'none: 20 epochs, rate 0.02': Setting(), '100 epochs': Setting(epochs=100),
               'rate 0.01': Setting(rate=0.01),
               'rate 0.01, 100 epochs': Setting(rate=0.01, epochs=100),
               '50 % noise': Setting(noise=0.5)}
    return table(['change', 'cost'], [
        [name, text(costs_of(setting, LOST[0.3], seeds=(0,)))]
        for name, setting in changes.items()])


def exercises():
    """Exercises: each network by four measures, on the test images"""
    networks = {'the script, rate 0.01': taken(0.3), 'no noise, rate 0.005': taken(0.0),
                '1. no noise, 50 units': taken(0.0, hidden=50),
                '30 % noise, 50 units': taken(0.3, hidden=50),
                '2. cross-entropy': Setting(rate=0.005, edit='Cross-entropy'),
                '3. Gaussian noise': Setting(rate=0.01, edit='Gaussian noise'),
                '4. untied weights': Setting(rate=0.01, edit='Untied weights')}
    damages = LOST[0.3], 'undamaged', GAUSSIAN
    X = read('mnist').test.images
    rows = [['damage left as it is', '-',
             *(f'{cost(X, DAMAGES[damage](X)):.2f}' for damage in damages), '-']]
    for name, network in networks.items():
        rows.append([name, network.rate, *(text(costs_of(network, damage)) for damage in damages),
                     text(costs_of(network, LOST[0.3], cross_entropy), 1)])
    return table(['network', 'rate', '30% destroyed', 'undamaged', GAUSSIAN,
                  'cross-entropy, 30% destroyed'], rows)


def one_dot_and_one_stroke():
    """One dot and one stroke: how far two units are on, by the ink in their spot"""
    groups = 'none', '1', '2', '3', '4', '5 or more'
    units = {'unit 1, the ten pixels of its dot': how_far_on(1, -1),
             'unit 10, the ten pixels of its line': how_far_on(10, 1)}
    return table(['inked pixels, of', *groups], [
        [name, *(f'{mean:.2f} ({n:,} digits)' for mean, n in found)]
        for name, found in units.items()])


def keras_runs():
    """The same in Keras: cost of the test images, 30 % destroyed, and what `fit` printed"""
    rows = []
    for seed in 0, 1:
        run = keep(['keras', seed], partial(keras_run, seed))
        rows.append([seed, f'{run["cost"]:.2f}', f'{run["loss"]:.4f}', f'{784 * run["loss"]:.2f}'])
    return table(['seed in Keras', 'cost', 'last loss printed', 'times 784'], rows)


TABLES = {function.__name__: function for function in (
    default_run, as_printed, learning_rates, restoring, whole_images, where_the_cost_lies,
    overfitting, frozen_codes, noise_and_length, fine_tuning, steps_taken,
    damage_never_seen, one_change, exercises, one_dot_and_one_stroke, keras_runs)}


def main(names):
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in names or TABLES:
        print(f'### {TABLES[name].__doc__}\n\n{TABLES[name]()}', flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
