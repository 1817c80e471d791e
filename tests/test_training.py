"""The training loop takes the listing's steps, and what it prints is what it says it is."""

from collections import namedtuple

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from dae_mnist import build_graph, draw_mask, train
from test_graph import squared_error

Set = namedtuple('Set', 'images')
Mnist = namedtuple('Mnist', 'train test')
Call = namedtuple('Call', 'fetches images mask')


def make_mnist(n_train, n_test, seed=0):
    """Draw a small data set: images of random brightness, the test images darker."""
    images = np.random.RandomState(seed).random_sample((n_train + n_test, 784)).astype(np.float32)
    images[n_train:] /= 2
    return Mnist(Set(images[:n_train]), Set(images[n_train:]))


@pytest.fixture
def calls(monkeypatch):
    """Every call of Session.run that feeds images, in order; they still run."""
    run, recorded = tf.Session.run, []

    def record(sess, fetches, feed_dict=None, **kwargs):
        if feed_dict:
            fed = {tensor.op.name: value for tensor, value in feed_dict.items()}
            recorded.append(Call(fetches, fed['X'], np.array(fed['mask'], np.float32)))
        return run(sess, fetches, feed_dict=feed_dict, **kwargs)

    monkeypatch.setattr(tf.Session, 'run', record)
    return recorded


def masks_of(seed, level=0.3):
    """Return a function that draws masks as the listing does, of a generator of their own."""
    rng = np.random.RandomState(seed)
    return lambda shape: rng.binomial(1, 1 - level, shape)


@pytest.mark.parametrize('level', [0, 0.1, 0.3, 0.45])
@pytest.mark.parametrize('seed', [0, 7])
def test_masks_have_the_bits_of_binomial(seed, level):
    ours, theirs = np.random.RandomState(seed), np.random.RandomState(seed)
    for shape in (128, 784), (3,), (1000, 784):
        mask = draw_mask(ours, shape, level)
        np.testing.assert_array_equal(mask, theirs.binomial(1, 1 - level, shape))


@pytest.mark.parametrize('level', [0.3, 0.5, 0.9])
def test_masks_keep_each_pixel_with_the_same_chance(level):
    options = [] if level == 0.3 else [level]  # 0.3 is the default
    mask = draw_mask(np.random.RandomState(8), (5000, 784), *options)
    sigma = np.sqrt(level * (1 - level))
    assert set(np.unique(mask)) == {0, 1}
    assert abs(mask.mean() - (1 - level)) < 4 * sigma / np.sqrt(mask.size)
    for axis, n in (0, 5000), (1, 784):
        assert np.abs(mask.mean(axis) - (1 - level)).max() < 6 * sigma / np.sqrt(n)


def test_an_epoch_of_mnists_size(calls):
    """Steps of 128 images in file order, the rest dropped, each under a mask of its own."""
    trX, teX = np.zeros((55000, 784), np.float32), np.zeros((10000, 784), np.float32)
    trX[:, 0] = np.arange(55000) / 55000  # to tell the images apart
    dae = build_graph(2, seed=1)
    train(dae, Mnist(Set(trX), Set(teX)), n_epochs=1, seed=9)

    *steps, test = calls
    assert len(steps) == 429
    draw, kept, seen = masks_of(9), 0, set()
    for k, step in enumerate(steps):
        assert step.fetches is dae.train_op
        np.testing.assert_array_equal(step.images, trX[128 * k:128 * (k + 1)])
        np.testing.assert_array_equal(step.mask, draw((128, 784)))
        kept += step.mask.sum()
        seen.add(step.mask.tobytes())
    assert len(seen) == 429
    n = 429 * 128 * 784
    assert abs(kept / n - 0.7) < 4 * np.sqrt(0.3 * 0.7 / n)
    assert test.fetches is dae.cost
    np.testing.assert_array_equal(test.images, teX)
    np.testing.assert_array_equal(test.mask, draw((10000, 784)))


def test_epochs_of_other_sizes(calls):
    """Three epochs of 4 steps of 25 images, 7 dropped; one stream of masks runs through all."""
    mnist, dae = make_mnist(107, 30), build_graph(3, seed=1)
    train(dae, mnist, n_epochs=3, batch_size=25, corruption_level=0.4, seed=10)
    draw, calls = masks_of(10, 0.4), iter(calls)
    for epoch in range(3):
        for k in range(4):
            step = next(calls)
            assert step.fetches is dae.train_op
            np.testing.assert_array_equal(step.images, mnist.train.images[25 * k:25 * (k + 1)])
            np.testing.assert_array_equal(step.mask, draw((25, 784)))
        test = next(calls)
        assert test.fetches is dae.cost
        np.testing.assert_array_equal(test.images, mnist.test.images)
        np.testing.assert_array_equal(test.mask, draw((30, 784)))
    assert next(calls, None) is None


@pytest.mark.parametrize('n_train, steps', [(127, 0), (128, 1), (255, 1), (256, 2), (257, 2)])
def test_only_whole_batches_count(calls, n_train, steps):
    train(build_graph(2), make_mnist(n_train, 5), n_epochs=1)
    assert [call.images.shape[0] for call in calls] == [128] * steps + [5]


def test_a_hundred_epochs_by_default(calls, capsys):
    learned = train(build_graph(2), make_mnist(128, 5))
    assert len(calls) == 200
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(100))
    assert len(learned.costs) == 100


def test_printed_costs_are_those_of_the_whole_test_set(capsys):
    """After 1, 2 and 3 epochs the learned weights give the last printed cost, in NumPy."""
    mnist, printed = make_mnist(300, 77), []
    for n_epochs in 1, 2, 3:
        learned = train(build_graph(20, seed=11), mnist, n_epochs, seed=12)
        lines = capsys.readouterr().out.splitlines()
        assert lines[:-1] == printed  # the epochs before are the same again
        printed = lines

        draw = masks_of(12)
        for _ in range(n_epochs):
            for _ in range(2):
                draw((128, 784))
            mask = draw((77, 784))
        weights = [w.astype(np.float64) for w in learned[:3]]
        assert [w.shape for w in weights] == [(784, 20), (20,), (784,)]
        epoch, cost = lines[-1].split(' ')
        assert int(epoch) == n_epochs - 1
        expected = squared_error(mnist.test.images.astype(np.float64), mask, *weights)
        np.testing.assert_allclose(float(cost), expected, rtol=1e-5)
        assert [str(c) for c in learned.costs] == [line.split(' ')[1] for line in lines]


def test_a_seed_repeats_and_without_it_runs_differ(capsys):
    def run(seed):
        train(build_graph(5, seed=seed), make_mnist(200, 10), n_epochs=2, seed=seed)
        return capsys.readouterr().out

    assert run(3) == run(3) != run(4)
    assert len({run(None) for _ in range(3)}) == 3


def test_both_the_start_and_the_masks_obey_the_seed():
    def costs(seed, mask_seed):
        dae = build_graph(5, seed=seed)
        return tuple(train(dae, make_mnist(200, 10), n_epochs=1, seed=mask_seed).costs)

    assert len({costs(1, 1), costs(1, 2), costs(2, 1), costs(2, 2), costs(1, 1)}) == 4


def test_a_cost_that_is_not_finite_stops_the_run(monkeypatch, capsys):
    run, tested = tf.Session.run, []

    def spoil(sess, fetches, feed_dict=None, **kwargs):
        result = run(sess, fetches, feed_dict=feed_dict, **kwargs)
        if feed_dict and result is not None:
            tested.append(result)
            return np.float32(np.inf) if len(tested) == 3 else result
        return result

    monkeypatch.setattr(tf.Session, 'run', spoil)
    with pytest.raises(FloatingPointError, match='epoch 2 .*--learning_rate'):
        train(build_graph(2), make_mnist(128, 5), n_epochs=5)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ['0', '1']


def test_a_learning_rate_out_of_all_reason_makes_no_finite_cost(capsys):
    with pytest.raises(FloatingPointError, match='epoch 0 .*nan.*--learning_rate'):
        train(build_graph(2, learning_rate=1e38), make_mnist(256, 5), n_epochs=5)
    assert capsys.readouterr().out == ''
