"""The programs that are run by hand: each number is what it says, and each runs for a moment."""

import sys

import benchmark
import experiments
import numpy as np
import pytest
from helpers import tables

import dae_mnist
import input_data

ONES = np.ones([1000, 784], np.float32)


def test_each_damage_damages_as_much_as_it_says():
    for share in 0.3, 0.5:
        assert abs(np.mean(experiments.lose(share)(ONES) == 0) - share) < 0.002
    assert abs(experiments.gaussian(0.3)(ONES).std() - 0.3) < 0.002
    for size, colour in (8, 0), (4, 1):
        images = experiments.square(size, colour)(0.5 * ONES).reshape(-1, 28, 28)
        changed = images != 0.5
        assert (changed.sum(axis=(1, 2)) == size ** 2).all() and (images[changed] == colour).all()
        for axis in (0, 1), (0, 2):
            assert np.flatnonzero(changed.any(axis=axis)).tolist() == list(range(4, 24))
    line = np.eye(28)[[14] * 28]  # upright
    slanted = experiments.slant(line.reshape(1, 784)).reshape(28, 28)
    assert [row.argmax() for row in slanted[[0, 13, 14, 27]]] == [19, 14, 14, 9]
    specks = experiments.specks(0.5 * ONES)
    assert abs(np.mean(specks == 0) - 0.05) < 0.002 and abs(np.mean(specks == 1) - 0.05) < 0.002


def test_the_mean_of_the_neighbours():
    image = np.full([1, 28, 28], 0.4)
    image[0, 10, 10] = image[0, 0, 0] = 0
    restored = experiments.neighbours(image.reshape(1, 784), 0.5).reshape(28, 28)
    assert restored[10, 10] == pytest.approx(0.8) and restored[0, 0] == pytest.approx(0.4 * 3 / 4)
    assert restored[10, 11] == 0.4
    assert experiments.neighbours(image.reshape(1, 784), 0.9).max() == 1


@pytest.fixture
def small(monkeypatch, small_set):
    """Let the experiments read a small set; return it."""
    small = input_data.read_data_sets(small_set, one_hot=True)
    monkeypatch.setattr(experiments, 'read', lambda name: small)
    return small


def test_the_best_linear_map_is_that_of_least_squares(small):
    X = small.train.images
    lost = experiments.binomial_mask(np.random.RandomState(1), X.shape, 0.3) * X
    inputs = np.pad(lost, [(0, 0), (0, 1)], constant_values=1)
    matrix = np.linalg.lstsq(inputs, X, rcond=None)[0]
    for damaged in lost, 3 * lost - 2 * lost.mean(axis=0):  # much becomes more than white
        expected = np.clip(damaged @ matrix[:-1] + matrix[-1], 0, 1)
        np.testing.assert_allclose(experiments.linear(damaged, 0.3), expected, atol=0.03)


def test_costs_and_cells():
    X, Z = np.array([[1., 0.], [1., 1.]]), np.array([[0.5, 0.5], [1., 0.]])
    assert experiments.cost(X, Z) == (0.25 + 0.25 + 1) / 2
    Z = np.array([[0.5, 0.5], [0.5, 0.25]])
    assert experiments.cross_entropy(X, Z) == pytest.approx((3 * np.log(2) + np.log(4)) / 2)
    assert experiments.text([1, 2, 6], 1) == '3.0 (1.0 to 6.0)'


def test_a_classifier_learns_what_can_be_separated():
    bits = np.eye(2, dtype=np.float32)[np.arange(100) % 2]
    start = np.random.RandomState(0).uniform(-1, 1, (2, 5)).astype(np.float32), np.zeros(5, 'f')
    layers = experiments.classify([start], bits, bits, 0)
    assert experiments.accuracy(layers, bits, bits) == 100
    assert experiments.accuracy(layers, bits, bits[::-1]) == 0
    assert (layers[0][0] != start[0]).any() and (layers[0][1] != 0).any()
    black = np.zeros_like(bits)  # only a bias can tell the commoner label
    second = np.tile(bits[1], (100, 1))
    layers = experiments.classify([(start[0], np.full(5, -80, 'f'))], black, second, 0)
    assert experiments.accuracy(layers, black, second) == 100


def test_what_networks_start_from_and_learn(small, empty_folder, monkeypatch):
    """As the script's: fewer images are repeated; the last five epochs are kept."""
    monkeypatch.setattr(experiments, 'KEPT', empty_folder)
    setting = experiments.Setting(rate=0.001, images=200, epochs=6, hidden=9, seed=5)
    costs, last = experiments.learn(setting)
    X, teX = np.resize(small.train.images[:200], small.train.images.shape), small.test.images
    settings = {'n_hidden': 9, 'seed': 5}
    epochs = list(dae_mnist.train_epochs(X, teX, n_epochs=6, learning_rate=0.001, **settings))
    assert list(costs) == [cost for _, cost, _ in epochs]
    np.testing.assert_equal(last, [learned for _, _, learned in epochs[1:]])
    Y = 1 / (1 + np.exp(-(teX @ last[0]['W'] + last[0]['b'])))
    np.testing.assert_allclose(experiments.encode(last[0], teX), Y, rtol=1e-5)
    ((_, _, start),) = dae_mnist.train_epochs(X, teX, n_epochs=1, learning_rate=1e-30, **settings)
    np.testing.assert_array_equal(experiments.untrained(784, 9, 5)['W'], start['W'])


def test_costs_are_of_the_set_and_the_network_that_are_named(small, monkeypatch):
    """Of a network that restores a black image wrongly, by its seed in each pixel."""
    monkeypatch.setattr(experiments, 'learn', lambda setting: ([], [setting, setting]))
    monkeypatch.setattr(dae_mnist, 'restore', lambda setting, X: X - setting.seed)
    for part, end in ('train', 200), ('validation', None), ('test', None):
        X = getattr(small, part).images[:end].astype(float)
        found = experiments.costs_of(experiments.Setting(images=200), lambda X: 0 * X, part=part)
        expected = [np.square(X + seed).sum(axis=1).mean() for seed in (0, 0, 1, 1, 2, 2)]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    halved = experiments.costs_of(experiments.Setting(), lambda X: X, factor=0.5)
    assert halved[0] == pytest.approx(np.square(X / 2).sum(axis=1).mean(), rel=1e-5)


def test_the_best_rate_has_the_lowest_mean(monkeypatch):
    costs = {0.005: [5, 9], 0.01: [6, 7], 0.02: [1, 99]}
    monkeypatch.setattr(experiments, 'costs_of', lambda setting, *_, **__: costs[setting.rate])
    assert experiments.best.__wrapped__(0.3).rate == 0.01


def test_the_experiments_run(small, empty_folder, monkeypatch, capsys):
    """All of them for a moment, one epoch each."""
    learn = experiments.learn

    def moment(setting):
        costs, last = learn(setting._replace(epochs=1))
        return np.resize(costs, 100), last
    monkeypatch.setattr(experiments, 'learn', moment)
    for name, value in {'KEPT': empty_folder / 'kept', 'PICTURES': empty_folder, 'SEEDS': (0,),
                        'RATES': (0.01,), 'SIZES': (100, 300), 'LABELLED': (100,), 'STEPS': 5
                        }.items():
        monkeypatch.setattr(experiments, name, value)
    for function in experiments.best, experiments.accuracies, experiments.costs_of:
        function.cache_clear()
    experiments.main()
    out = capsys.readouterr().out
    assert len(tables(out)) == 11
    X = small.test.images.astype(float)
    restored = dict(tables(out))['restored by']
    assert restored['damage left as it is']['0% destroyed'] == '0.00'
    assert restored['an all-black image']['0% destroyed'] == f'{np.square(X).sum() / len(X):.2f}'
    assert {path.stem for path in empty_folder.glob('*.png')} == {
        'cost', 'damage', 'filters', 'neighbours', 'reconstructions', 'way'}


class Counted(np.ndarray):
    products = []  # the shapes of what was multiplied

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        self.products.append(tuple(array.shape for array in inputs))
        return getattr(ufunc, method)(*map(np.asarray, inputs), **options)


def test_the_floor_of_the_benchmark_has_the_five_products_of_a_step(monkeypatch):
    monkeypatch.setattr(benchmark, 'W_START', benchmark.W_START.view(Counted))
    for size in 256, 300:  # two steps each
        benchmark.floor(ONES[:size].view(Counted))()
    X, W, Y = (128, 784), (784, 500), (128, 500)
    assert Counted.products == 4 * [(X, W), (Y, W[::-1]), (X, W), (X[::-1], Y), (X[::-1], Y)]


def test_the_benchmark_compares_in_turns(monkeypatch, capsys):
    clock = [0]
    monkeypatch.setattr(benchmark.time, 'perf_counter', lambda: clock[0])
    seconds = {'new': iter([1, 2, 9]), 'old': iter([2, 8, 18])}

    def turn(name):
        clock[0] += next(seconds[name])
    benchmark.compare('title', 3, {name: benchmark.partial(turn, name) for name in seconds}, 'old')
    ((_, rows),) = tables(capsys.readouterr().out)
    assert [list(cells.values()) for cells in rows.values()] == [
        ['2.00 (1.00 to 9.00)', '0.50'], ['8.00 (2.00 to 18.00)', '1.00']]


def test_the_benchmark_runs(small_set, tmp_path, monkeypatch, capsys):
    """One round of two rows; beside them, a program of one line in place of two trainings."""
    (tmp_path / 'program.py').write_text("print('a line')")
    run = benchmark.run
    monkeypatch.setattr(benchmark, 'run', lambda notes, *_: run(notes, tmp_path / 'program.py'))
    rows = {name: benchmark.ROWS[name] for name in ('the floor', 'the listing')}
    monkeypatch.setattr(benchmark, 'ROWS', rows)
    monkeypatch.setattr(sys, 'argv', ['', '--rounds', '1', '--data_dir', str(small_set)])
    benchmark.main()
    out = capsys.readouterr().out
    assert [(corner, len(rows)) for corner, rows in tables(out)] == [
        ('an epoch of 2 steps', 2), ('a whole process, 3 epochs', 2), ('reading the images', 2)]
    assert 'program.py: first line after ' in out
