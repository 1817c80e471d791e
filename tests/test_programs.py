"""The programs that are run by hand: each number and each tile is what its row and column say.

What trains and what measures is replaced by functions that return a number made of their arguments.
So a cell proves which network, damage, part, seed and epoch it is of, in milliseconds.
"""

import inspect
import re
import struct
import sys
import time
import zlib
from functools import partial
from types import SimpleNamespace

import benchmark
import experiments
import numpy as np
import pictures
import pytest
import tensorflow
from experiments import (DAMAGES, LOST, MEASURES, RULES, Setting, cost, cross_entropy, kept_pixels,
                         put_ink_back, table, text)
from helpers import DATA, ROOT, SAMPLE, tables

import dae_mnist
import input_data

ONES = np.ones([1000, 784], np.float32)
RATE = {0.0: 0.005, 0.1: 0.01, 0.3: 0.01, 0.5: 0.01, 0.7: 0.01}  # as in the report


def noise_of(name):
    """Return the share that a name tells: 'no noise', '30 % noise', '50% destroyed'."""
    found = re.search(r'(\d+) ?%', name)
    return int(found[1]) / 100 if found else 0.0


def count(name):
    """Return the first number in a name: 1,000."""
    return int(re.search(r'[\d,]+', name)[0].replace(',', ''))


def network(name, **changes):
    """Return the setting that a row names, by its noise."""
    return Setting(noise_of(name), RATE[noise_of(name)], **changes)


def number(*what):
    """Return a number that only these arguments have, of one decimal."""
    return zlib.crc32(repr(what).encode()) % 10 ** 7 / 10


def stand_in(function, make):
    """Return a function of the same arguments that returns a number made of them all."""
    def stub(*args, **kwargs):
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        return make(number(function.__name__, *bound.arguments.items()))
    return stub


def some_weights(n):
    """Return weights that tell their number and the unit."""
    return {'W': np.tile(n + 10 * np.arange(500), (784, 1))}


def digits(n):
    images = np.random.RandomState(n).uniform(size=[n, 784]).astype('f')
    images[images < 0.5] = 0
    return SimpleNamespace(images=images, labels=np.eye(10)[np.arange(n) % 10])


@pytest.fixture
def small(monkeypatch):
    """Let the programs read a small set; return it."""
    small = SimpleNamespace(train=digits(1100), validation=digits(50), test=digits(200))
    for program in experiments, pictures:
        monkeypatch.setattr(program, 'read', lambda name: small)
    return small


@pytest.fixture
def stubs(monkeypatch, small):
    """Replace what trains and what measures, in both programs."""
    makes = {'costs_of': lambda n: [n], 'costs_by': lambda n: [n], 'accuracies': lambda n: [n],
             'frozen': float, 'classifier': lambda n: {'steps': int(n)},
             'learn': lambda n: (n + np.arange(100), [some_weights(n + k) for k in range(5)]),
             'how_far_on': lambda n: [(n + k, k) for k in range(6)],
             'keras_run': lambda n: {'cost': n, 'loss': n + 1}, 'untrained': some_weights}
    for name, make in makes.items():
        stub = stand_in(getattr(experiments, name), make)
        for program in experiments, pictures:
            monkeypatch.setattr(program, name, stub, raising=False)
    monkeypatch.setattr(experiments, 'keep', lambda values, make: make())


# Damages, rules and measures: known answers.
def test_each_damage_damages_as_much_as_it_says():
    for share, name in LOST.items():
        mask = dae_mnist.binomial_mask(np.random.RandomState(0), ONES.shape, share)
        np.testing.assert_array_equal(DAMAGES[name](0.5 * ONES), 0.5 * mask)
        np.testing.assert_array_equal(kept_pixels(ONES, share), mask)
    noise = DAMAGES['Gaussian noise of 0.3'](ONES) - 1
    assert abs(noise.std() - 0.3) < 0.002 and abs(noise.mean()) < 0.002
    for name, size, colour in (('a part covered, 8 × 8', 8, 0), ('a white stain, 4 × 4', 4, 1)):
        images = DAMAGES[name](0.5 * ONES).reshape(-1, 28, 28)
        changed = images != 0.5
        assert (changed.sum(axis=(1, 2)) == size ** 2).all() and (images[changed] == colour).all()
        for axis in (0, 1), (0, 2):
            assert np.flatnonzero(changed.any(axis=axis)).tolist() == list(range(4, 24))
    line = np.eye(28)[[14] * 28]  # upright
    slanted = DAMAGES['slanted'](line.reshape(1, 784)).reshape(28, 28)
    assert [row.argmax() for row in slanted[[0, 13, 14, 27]]] == [19, 14, 14, 9]
    specks = DAMAGES['10 % black or white specks'](0.5 * ONES)
    assert abs(np.mean(specks == 0) - 0.05) < 0.002 and abs(np.mean(specks == 1) - 0.05) < 0.002


def test_the_rules(monkeypatch):
    image = np.full([1, 28, 28], 0.4)
    image[0, 10, 10] = image[0, 0, 0] = 0
    damaged = image.reshape(1, 784)
    neighbours = RULES['the mean of the neighbours']
    restored = neighbours(damaged, 0.5).reshape(28, 28)
    assert restored[10, 10] == pytest.approx(0.8) and restored[0, 0] == pytest.approx(0.4 * 3 / 4)
    assert restored[10, 11] == 0.4 and neighbours(damaged, 0.9).max() == 1
    assert (RULES['damage left as it is'](damaged, 0.5) == damaged).all()
    assert not RULES['an all-black image'](damaged, 0.5).any()
    # A linear map restores all that it learned from, if that is fewer images than pixels.
    X = digits(200).images
    monkeypatch.setattr(experiments, 'read', lambda name: SimpleNamespace(train=digits(200)))
    lost = dae_mnist.binomial_mask(np.random.RandomState(1), X.shape, 0.3) * X
    np.testing.assert_allclose(RULES['the best linear map'](lost, 0.3), X, atol=0.01)
    assert RULES['the best linear map'](9 * lost, 0.3).max() == 1


def test_measures_and_cells():
    X = np.array([[1., 0.], [1., 1.]])
    assert cost(X, np.array([[0.5, 0.5], [1., 0.]])) == (0.25 + 0.25 + 1) / 2
    Z = np.array([[0.5, 0.5], [0.5, 0.25]])
    assert cross_entropy(X, Z) == pytest.approx((3 * np.log(2) + np.log(4)) / 2)
    assert put_ink_back(np.array([0.2, 0, 0]), np.array([0.9, 0.8, 0])).tolist() == [0.2, 0.8, 0]
    kept = kept_pixels(ONES, 0.3)
    parts = {'destroyed pixels': 1 - kept, 'kept pixels': kept, 'together': ONES}
    for name, measure in MEASURES.items():
        assert measure(ONES, 0 * ONES) == pytest.approx(np.sum(parts[name]) / 1000), name
    assert text([1, 2, 6], 1) == '3.0 (1.0 to 6.0)' and text([1, 2]) == '1.50 (1.00 to 2.00)'
    assert table(['a', 'b'], [[1, 2]]) == '| a | b |\n| --- | --- |\n| 1 | 2 |\n'


# What trains.
def test_a_network_is_trained_as_its_setting_says(small, empty_folder, monkeypatch):
    """By the script, edited or not; fewer images are repeated; the last five epochs are kept."""
    monkeypatch.setattr(experiments, 'KEPT', empty_folder)
    line = re.search('^batch_size = .*\n', (ROOT / 'dae_mnist.py').read_text('utf-8'), re.M)[0]
    edits = {'Halves': f'-{line}+batch_size = 64\n'}
    monkeypatch.setattr(experiments, 'read_edits', lambda: edits)
    monkeypatch.setattr(experiments, 'read', {'sample': small}.get)
    setting = Setting(0.2, 0.001, 5, images=200, epochs=6, hidden=9, data='sample')
    X = np.resize(small.train.images[:200], small.train.images.shape)
    for edit, batch_size in ('', 128), ('Halves', 64):
        setting = setting._replace(edit=edit)
        epochs = list(dae_mnist.train_epochs(
            X, small.test.images, n_epochs=6, batch_size=batch_size, learning_rate=0.001,
            corruption_level=0.2, n_hidden=9, seed=5))
        for _ in range(2):  # trained, then read
            costs, last = experiments.learn(setting)
            assert list(costs) == [cost for _, cost, _ in epochs]
            np.testing.assert_equal(last, [learned for _, _, learned in epochs[1:]])
        np.testing.assert_equal(experiments.last_epoch(setting._replace(seed=0), 5), last[4])
    ((_, _, start),) = dae_mnist.train_epochs(X, X, n_epochs=1, learning_rate=1e-30, seed=5)
    np.testing.assert_array_equal(experiments.untrained(5)['W'], start['W'])


def test_each_setting_has_its_own_file_and_each_set_its_folder(empty_folder, monkeypatch):
    monkeypatch.setattr(experiments, 'KEPT', empty_folder)
    monkeypatch.setattr(experiments, 'train', lambda setting: {'costs': [number(setting)], 'W': []})
    others = Setting(0.5, 0.01, 1, 500, 100, 50, 'sample', 'Untied weights')
    settings = [Setting()._replace(**{name: getattr(others, name)}) for name in Setting._fields]
    for setting in 2 * [Setting(), *settings]:
        assert experiments.learn(setting)[0] == [number(setting)]
    monkeypatch.setattr(input_data, 'read_data_sets', lambda folder, one_hot: (folder, one_hot))
    for name, folder in ('mnist', DATA), ('sample', SAMPLE):
        assert experiments.read.__wrapped__(name) == (folder, True)


# What measures.
def test_costs_are_of_the_set_and_the_networks_that_are_named(small, monkeypatch):
    monkeypatch.setattr(experiments, 'read', {'sample': small}.get)
    monkeypatch.setattr(experiments, 'learn', lambda setting: ([], [(setting, 1), (setting, 2)]))
    monkeypatch.setattr(experiments, 'script', lambda edit: SimpleNamespace(
        restore=lambda learned, X: number(edit, learned) * X))
    setting = Setting(images=200, data='sample', edit='Untied weights')
    networks = [(setting._replace(seed=seed), k) for seed in (0, 1, 2) for k in (1, 2)]
    for part, end in ('train', 200), ('validation', None), ('test', None):
        X = getattr(small, part).images[:end]
        damaged = kept_pixels(X, 0.3) * X
        restored = [number('Untied weights', learned) * damaged for learned in networks]
        for options, expected in (({}, restored), ({'factor': 0.5}, [Z / 2 for Z in restored]),
                                  ({'ink_back': True}, 6 * [damaged]),  # what was black stays so
                                  ({'seeds': (1,)}, restored[2:4])):
            found = experiments.costs_of(setting, LOST[0.3], part=part, **options)
            np.testing.assert_allclose(found, [cost(X, Z) for Z in expected], rtol=1e-5)
    assert experiments.costs_of(setting, LOST[0.3], lambda X, Z: 7) == 6 * [7]


def test_costs_are_of_the_rule_or_the_network_that_is_named(small, monkeypatch):
    monkeypatch.setattr(experiments, 'costs_of', stand_in(experiments.costs_of, lambda n: [n]))
    for name in experiments.NETWORKS:
        expected = experiments.costs_of(network(name), LOST[0.5], cross_entropy,
                                        ink_back='put back' in name)
        assert experiments.costs_by(name, 0.5, cross_entropy) == expected, name
    rule = 'the mean of the neighbours'
    X = small.test.images
    restored = RULES[rule](kept_pixels(X, 0.5) * X, 0.5)
    assert experiments.costs_by(rule, 0.5, cross_entropy) == [cross_entropy(X, restored)]


def test_a_classifier_sees_what_its_row_says(small, monkeypatch):
    monkeypatch.setattr(experiments, 'learn', lambda setting: ([], ['first', (setting, 'last')]))
    monkeypatch.setattr(dae_mnist, 'encode', lambda learned, X: (learned, X.mean()))
    for name, start in experiments.STARTS.items():
        if 'noise' in name:
            last = network(name, seed=2), 'last'
            assert start(2) == last
            seen = experiments.SEEN[f'the code, {name}'](ONES, 2)
            assert seen == (last, pytest.approx(1 - noise_of(name)))
    start = experiments.untrained(2)['W']
    assert (experiments.STARTS['random start'](2)['W'] == start).all()
    learned, mean = experiments.SEEN['the code of random units'](ONES, 2)
    assert (learned['W'] == start).all() and mean == 1
    assert experiments.SEEN['the pixels'](ONES, 2) is ONES
    small.train.images = X = small.train.images[:, :120]
    for n in 50, 100:
        seen = experiments.SEEN[f'{n} principal components'](X, 2)
        assert seen.shape == (1100, n) and np.abs(seen.mean(axis=0)).max() < 0.001


class Candidate(SimpleNamespace):
    """A classifier that is right as often as `right` says of a set, by the number of its images."""

    def fit(self, seen, digits):
        assert len(seen) == len(digits) == 1000
        return self

    def score(self, seen, digits):
        assert len(seen) == len(digits)
        return self.right[len(seen)]


def test_validation_images_choose(small, empty_folder, monkeypatch):
    """Among the candidates for frozen codes, and among the numbers of steps."""
    rights = [{50: 0.3, 200: 0.6}, {50: 0.5, 200: 0.25}, {50: 0.4, 200: 0.9}]
    monkeypatch.setattr(experiments, 'KEPT', empty_folder)
    assert experiments.frozen(lambda seen: [Candidate(right=right) for right in rights],
                              lambda images, seed: images[:, :seed], 2) == 25
    monkeypatch.setattr(experiments, 'fine_tune', lambda start, images, labels, seed: [
        {'made': [*start, len(images), len(labels), seed, k]} for k in range(3)])
    monkeypatch.setattr(experiments, 'accuracy', lambda classifier, images, labels: rights[
        classifier['made'][-1]][len(images)])
    monkeypatch.setitem(experiments.STARTS, 'no noise', lambda seed: [seed])
    for seed, n in (2, 500), (1, 500), (2, 100), (2, 500):  # the last is read
        made = experiments.classifier('no noise', seed, n)
        np.testing.assert_equal(made, {'made': np.array([seed, n, n, seed, 1])})


def test_fine_tuning_is_gradient_descent(monkeypatch):
    """Three steps, by hand."""
    monkeypatch.setattr(experiments, 'STEPS', (1, 3))
    images, labels = vars(digits(300)).values()
    W = np.random.RandomState(1).uniform(-1, 1, (784, 4)).astype('f')
    b = np.ones(4, 'f')
    first, last = experiments.fine_tune({'W': W, 'b': b}, images, labels, 7)
    assert (first['steps'], last['steps']) == (1, 3)
    V = np.zeros([4, 10])
    c = np.zeros(10)
    rng = np.random.RandomState(7)
    for _ in range(3):
        batch = rng.randint(300, size=100)
        Y = 1 / (1 + np.exp(-(images[batch] @ W + b)))
        P = np.exp(Y @ V + c)
        error = (P / P.sum(axis=1, keepdims=True) - labels[batch]) / 100
        back = error @ V.T * Y * (1 - Y)
        V, c = V - 0.5 * Y.T @ error, c - 0.5 * error.sum(axis=0)
        W, b = W - 0.5 * images[batch].T @ back, b - 0.5 * back.sum(axis=0)
    for name, array in {'W': W, 'b': b, 'V': V, 'c': c}.items():
        np.testing.assert_allclose(last[name], array, rtol=1e-3, atol=1e-5)
    right = (1 / (1 + np.exp(-(images @ W + b))) @ V + c).argmax(axis=1) == labels.argmax(axis=1)
    assert experiments.accuracy(last, images, labels) == pytest.approx(100 * right.mean())


def test_accuracies_are_of_the_test_digits_damaged_as_named(small, monkeypatch):
    monkeypatch.setattr(experiments, 'classifier', lambda *names: names)
    monkeypatch.setattr(experiments, 'accuracy', lambda *found: found)
    slanted = experiments.slant(small.test.images)
    np.testing.assert_equal(experiments.accuracies('no noise', 500, 'slanted'), [
        (('no noise', seed, 500), slanted, small.test.labels) for seed in (0, 1, 2)])


def test_how_far_a_unit_is_on(small, monkeypatch):
    """The spot is the first ten pixels; the output tells how many of them are inked."""
    W = np.zeros([784, 11])
    W[:10, 1], W[20:40, 1], W[:10, 10], W[20:40, 10] = -2, 3, 2, -3
    last = {network('30 % noise', seed=0): {'W': W}}
    monkeypatch.setattr(experiments, 'learn', lambda setting: ([], ['first', last[setting]]))
    monkeypatch.setattr(dae_mnist, 'encode', lambda learned, X: np.tile(
        np.sum(X[:, :10] > 0.5, axis=1, keepdims=True), 11))
    X = small.test.images
    inked = np.sum((kept_pixels(X, 0.3) * X)[:, :10] > 0.5, axis=1)
    groups = [inked[inked == n] for n in range(5)] + [inked[inked >= 5]]
    for unit, sign in (1, -1), (10, 1):
        np.testing.assert_equal(experiments.how_far_on(unit, sign),
                                [(group.mean(), len(group)) for group in groups])


def test_the_run_in_keras(small, monkeypatch):
    """By a network that gives back what it is fed."""
    monkeypatch.setattr(experiments, 'read_keras_block', lambda: '''
from types import SimpleNamespace as New
net = New(predict=lambda X, verbose: X, history=New(history={'loss': [9, 5]}))
''')
    X = small.test.images
    Z = kept_pixels(X, 0.3) * X / 0.7
    assert experiments.keras_run(0) == pytest.approx({'cost': cost(X, Z), 'loss': 5})


# Tables: each cell is what its row and column name.
def costs_of(*args, **kwargs):
    return text(experiments.costs_of(*args, **kwargs))


def in_default_run(row, column):
    data, images = {'MNIST': ('mnist', 10000), 'the sample': ('sample', 2000)}[row]
    return f'{experiments.learn(Setting(epochs=100, data=data))[0][int(column)] / images:.2f}'


def in_learning_rates(row, column):
    costs = {rate: experiments.costs_of(Setting(noise_of(row), rate), LOST[noise_of(row)],
                                        part='validation') for rate in (0.005, 0.01, 0.02)}
    return str(min(costs, key=costs.get)) if 'lowest' in column else text(costs[float(column)])


def in_restoring(row, column):
    costs = experiments.costs_by(row, noise_of(column))
    return f'{costs[0]:.2f}' if row in RULES else text(costs)


def in_overfitting(row, column):
    part = {'training images': 'train', 'test images': 'test'}[column]
    return costs_of(network(row, images=count(row)), LOST[noise_of(row)], part=part, seeds=(0,))


def in_frozen_codes(row, column):
    candidates = {'right, in %': experiments.logistic_regressions,
                  'a support vector machine, in %': experiments.support_vector_machines}[column]
    return text([experiments.frozen(candidates, experiments.SEEN[row], k) for k in (0, 1, 2)], 1)


def in_noise_and_length(row, column):
    setting = network(row, hidden=count(row.split(', ')[1]))
    if 'destroyed' in column:
        return costs_of(setting, LOST[0.3], seeds=(0,))
    see = partial(experiments.code, setting)
    return f'{experiments.frozen(experiments.logistic_regressions, see, 0):.1f}'


def in_steps_taken(row, column):
    made = [experiments.classifier(column, seed, count(row)) for seed in (0, 1, 2)]
    return ', '.join(f'{classifier["steps"]:,}' for classifier in made)


def in_one_change(row, column):
    return costs_of(Setting(0.5 if '50 %' in row else 0.3, 0.01 if 'rate 0.01' in row else 0.02,
                            epochs=100 if '100 epochs' in row else 20), LOST[0.3], seeds=(0,))


def in_exercises(row, column):
    settings = {'the script, rate 0.01': Setting(rate=0.01),
                '2. cross-entropy': Setting(rate=0.005, edit='Cross-entropy'),
                '3. Gaussian noise': Setting(rate=0.01, edit='Gaussian noise'),
                '4. untied weights': Setting(rate=0.01, edit='Untied weights')}
    setting = settings.get(row, network(row, hidden=50 if '50 units' in row else 500))
    damage = LOST[0.3] if '30%' in column else column
    left = row == 'damage left as it is'
    if column == 'rate':
        return '-' if left else str(setting.rate)
    if 'entropy' in column:
        return '-' if left else text(experiments.costs_of(setting, damage, cross_entropy), 1)
    X = experiments.read('mnist').test.images
    return f'{cost(X, DAMAGES[damage](X)):.2f}' if left else costs_of(setting, damage)


def in_one_dot_and_one_stroke(row, column):
    unit, sign = {'unit 1, the ten pixels of its dot': (1, -1),
                  'unit 10, the ten pixels of its line': (10, 1)}[row]
    mean, n = experiments.how_far_on(unit, sign)[0 if column == 'none' else int(column[0])]
    return f'{mean:.2f} ({n} digits)'


def in_keras_runs(row, column):
    run = experiments.keras_run(int(row))
    return {'cost': f'{run["cost"]:.2f}', 'last loss printed': f'{run["loss"]:.4f}',
            'times 784': f'{784 * run["loss"]:.2f}'}[column]


EXPECTED = {
    'default_run': in_default_run, 'learning_rates': in_learning_rates, 'restoring': in_restoring,
    'whole_images': lambda row, column: costs_of(
        network(column), 'undamaged', factor=1 - noise_of(column)),
    'where_the_cost_lies': lambda row, column: text(
        experiments.costs_by(row, 0.3, MEASURES[column])),
    'overfitting': in_overfitting,
    'frozen_codes': in_frozen_codes, 'noise_and_length': in_noise_and_length,
    'fine_tuning': lambda row, column: text(experiments.accuracies(column, count(row)), 1),
    'steps_taken': in_steps_taken,
    'damage_never_seen': lambda row, column: text(experiments.accuracies(column, 1000, row), 1),
    'one_change': in_one_change, 'exercises': in_exercises,
    'one_dot_and_one_stroke': in_one_dot_and_one_stroke, 'keras_runs': in_keras_runs}


@pytest.mark.parametrize('name', EXPECTED)
def test_cells(stubs, name):
    ((corner, rows),) = tables(experiments.TABLES[name]())
    assert corner and rows
    for row, cells in rows.items():
        for column, cell in cells.items():
            assert cell == EXPECTED[name](row, column), (row, column)


def test_the_program_prints_the_tables_that_are_named(stubs, empty_folder, monkeypatch, capsys):
    monkeypatch.setattr(experiments, 'KEPT', empty_folder / 'kept')
    experiments.main(['restoring', 'as_printed'])
    out = capsys.readouterr().out
    assert re.findall('### (.*?)[:\n]', out) == ['Restoring', 'As printed on MNIST']
    costs = experiments.learn(Setting(epochs=100))[0]
    assert out.split('```')[1].splitlines()[1:] == [f'{i} {costs[i]}' for i in (0, 1, 2, 3, 4, 99)]
    assert {*experiments.TABLES} == {*EXPECTED, 'as_printed'}


# Pictures: each tile is what its label names, in the order in which it is drawn.
@pytest.fixture
def draw(stubs, monkeypatch):
    """Return a function that draws a picture and returns its axes, its labels and its tiles."""
    monkeypatch.setattr(dae_mnist, 'restore', lambda learned, X: learned['W'][0, 0] / 1e6 * X)
    monkeypatch.setattr(dae_mnist, 'encode', lambda learned, X: np.outer(X[:, 0], learned['W'][0]))

    def draw(name):
        axes = pictures.ALL[name]()
        pictures.pyplot.close(axes.figure)
        kept = (ROOT / '.github' / f'{name}.png').read_bytes()
        assert struct.unpack('>2I', kept[16:24]) == tuple(axes.figure.bbox.size)
        assert axes.figure.bbox.width == 1000
        return (axes, [text.get_text() for text in axes.texts],
                [np.ravel(image.get_array()) for image in axes.images])
    return draw


def learned_by(setting):
    return experiments.learn(setting)[1][-1]


def restored(name, damaged):
    return dae_mnist.restore(learned_by(network(name)), damaged)


def test_the_restored_digits(draw, small):
    X = small.test.images[:10]
    damaged = kept_pixels(X, 0.3) * X
    with_noise = restored('30 % noise', damaged)
    rows = {'clean': ('', X), 'damaged': ('damage left as it is', damaged),
            'neighbours’ mean': ('the mean of the neighbours',
                                 RULES['the mean of the neighbours'](damaged, 0.3)),
            'with noise': ('a network, 30 % noise', with_noise),
            'kept ink put back': ('30 % noise, kept ink put back',
                                  put_ink_back(damaged, with_noise)),
            'without noise': ('a network, no noise', restored('no noise', damaged))}
    _, told, drawn = draw('reconstructions')
    np.testing.assert_allclose(drawn, np.concatenate([images for _, images in rows.values()]))
    expected = []
    for label, (way, _) in rows.items():
        expected.append(label)
        if way:
            expected.append(f'costs {experiments.costs_by(way, 0.3)[0]:.1f}')
    assert told == expected


def test_the_way(draw, small):
    X = small.test.images[4:5]
    mask = kept_pixels(X, 0.3)
    Z = restored('30 % noise', mask * X)
    coloured = np.repeat((mask * X)[0, :, np.newaxis], 3, axis=1)
    coloured[~mask[0] & (X[0] > 0)] = 0.82, 0.42, 1
    coloured[~mask[0] & (X[0] == 0)] = 0.3, 0.12, 0.42
    tiles = {'X': X, 'mask': mask, 'tilde_X': mask * X, 'coloured': coloured,
             'Y': dae_mnist.encode(learned_by(network('30 % noise')), mask * X), 'Z': Z,
             '(X - Z)²': np.minimum(4 * (X - Z) ** 2, 1)}
    _, told, drawn = draw('way')
    for name, tile in zip(told[::2][:7], drawn, strict=True):
        np.testing.assert_allclose(tile, tiles[name].ravel(), err_msg=name)
    assert f'cost in all: {np.square(X - Z).sum():.1f}' in told[13]


def test_the_filters(draw):
    starts = {'at the start:\nrandom': experiments.untrained(0),
              'trained\nwithout noise': learned_by(Setting(0.0, 0.01)),
              'trained with\n30 % noise': learned_by(Setting(0.3, 0.01))}
    _, told, drawn = draw('filters')
    for k, (label, learned) in enumerate(starts.items()):
        assert told[13 * k:13 * k + 13] == [label, *map(str, range(12))]
        np.testing.assert_allclose(drawn[12 * k:12 * k + 12], 0.5 + learned['W'].T[:12] / 2)


def test_the_bars(draw):
    names = {'damage left\nas it is': 'damage left as it is',
             'network\nwithout noise': 'a network, no noise',
             'mean of the\nneighbours': 'the mean of the neighbours',
             'network with\n30 % noise': 'a network, 30 % noise',
             'the same, kept\nink put back': '30 % noise, kept ink put back'}
    axes, told, _ = draw('split')
    expected = ['cost of destroyed pixels', 'cost of kept pixels (ink and black)']
    bars = []
    for label, way in names.items():
        destroyed, kept, both = (experiments.costs_by(way, 0.3, measure)[0]
                                 for measure in MEASURES.values())
        expected += [label, f'{destroyed:.1f}', f'{kept:.1f}', f'= {both:.1f}']
        bars += [destroyed, kept]
    assert told == expected
    assert [bar.get_width() / 22.3 for bar in axes.patches[2:]] == pytest.approx(bars)


def test_the_way_back(draw, small):
    expected = []
    for digit, numbers in (2, (2, 0, 1)), (7, (3, 0, 4)):
        X = small.test.images[digit::10][list(numbers)]
        damaged = kept_pixels(X, 0.3) * X
        expected += [*X, damaged[1], restored('30 % noise', damaged)[1]]
    np.testing.assert_allclose(draw('back')[2][:10], expected)


@pytest.mark.parametrize('picture', ['kinds', 'damage'])
def test_the_kinds_of_damage(draw, small, picture):
    names = {'30 % lost': LOST[0.3], '50 % lost': LOST[0.5],
             '10 % specks': '10 % black or white specks'}
    _, told, drawn = draw(picture)
    assert len(told) == {'kinds': 4, 'damage': 8}[picture]
    for k, label in enumerate(told):
        (name,) = [name for name in DAMAGES if name == names.get(label) or name.startswith(label)]
        damaged = DAMAGES[name](small.test.images[[13, 14]])
        np.testing.assert_array_equal(drawn[2 * k:2 * k + 2], damaged, label)


def test_the_costs_by_epoch(draw):
    axes, _, _ = draw('cost')
    for line, label, data, n in zip(axes.lines, ('MNIST', 'the sample'), ('mnist', 'sample'),
                                    (10000, 2000), strict=True):
        assert line.get_label() == label
        costs = experiments.learn(Setting(epochs=100, data=data))[0]
        np.testing.assert_allclose(line.get_ydata(), costs / n)


# The benchmark.
@pytest.mark.parametrize('row', ['NumPy by hand', 'TensorFlow 2, `tf.function`'])
def test_rows_take_the_steps_of_the_script(row, monkeypatch):
    """Two steps, from the script's start and with its masks."""
    images = np.random.RandomState(1).uniform(size=[256, 784]).astype('f')
    ((_, _, start),) = dae_mnist.train_epochs(images, images, n_epochs=1, seed=0,
                                              learning_rate=1e-30)
    ((_, _, end),) = dae_mnist.train_epochs(images, images, n_epochs=1, seed=0)
    names = 'W', 'b', 'b_prime'
    made = [start[name].copy() for name in names]
    monkeypatch.setattr(benchmark, 'WEIGHTS', made)
    np.random.seed(0)
    if 'TensorFlow' in row:
        made = [tensorflow.Variable(array) for array in made]
        variables = iter(made)
        monkeypatch.setattr(tensorflow, 'Variable', lambda array: next(variables))
        monkeypatch.setattr(tensorflow.random, 'uniform', lambda shape: tensorflow.numpy_function(
            lambda: np.random.random_sample((128, 784)).astype('f'), [], tensorflow.float32))
    benchmark.ROWS[row](images)()
    for name, array in zip(names, made, strict=True):
        np.testing.assert_allclose(np.asarray(array) - start[name], end[name] - start[name],
                                   rtol=1e-3, atol=1e-5)
        assert np.abs(end[name] - start[name]).max() > 0.01


def test_the_row_of_the_script_trains_with_its_defaults(monkeypatch):
    def train_epochs(trX, teX, **settings):
        yield len(trX), len(teX), settings
    monkeypatch.setattr(dae_mnist, 'train_epochs', train_epochs)
    epoch = benchmark.ROWS['this script'](ONES[:256])
    assert epoch() == (256, 1, {'n_epochs': sys.maxsize})


def test_what_is_compared_takes_turns(monkeypatch, capsys):
    clock = [0]
    monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: clock[0])
    seconds = {'new': iter([1, 2, 9]), 'old': iter([2, 8, 10])}

    def turn(name):
        clock[0] += next(seconds[name])
    benchmark.compare('title', 3, {name: partial(turn, name) for name in seconds}, 'old')
    ((_, rows),) = tables(capsys.readouterr().out)
    assert [list(cells.values()) for cells in rows.values()] == [
        ['2.00 (1.00 to 9.00)', '0.50'], ['8.00 (2.00 to 10.00)', '1.00']]


def test_the_seconds_to_the_first_line_of_a_program(empty_folder):
    """Of one that goes on for a second after its first line."""
    program = empty_folder / 'program.py'
    program.write_text('import time; print(0, flush=True); time.sleep(1)')
    notes = {}
    begin = time.perf_counter()
    benchmark.run(notes, program)
    ((first_line, _),) = notes[program]
    assert 0 < first_line < time.perf_counter() - begin - 0.5
