"""The training loop takes the listing's steps, and what it prints is what it says it is."""

from collections import namedtuple

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, SAMPLE, forward, run_python, squared_error

import dae_mnist
import input_data

Call = namedtuple('Call', 'fetches images mask')


def some_images(n_train, n_test, seed=0):
    """Return training and test images of random brightness, the test images darker."""
    images = np.random.RandomState(seed).random_sample((n_train + n_test, 784)).astype(np.float32)
    images[n_train:] /= 2
    return images[:n_train], images[n_train:]


def learn(trX, teX, epochs=1, batch_size=128, level=0.3, n_hidden=2, seed=None, rate=0.02):
    """Train a new network; return the lines (i, cost) and W, b, b_prime after the last."""
    dae = dae_mnist.build_graph(n_hidden, rate, seed)
    rng = np.random.RandomState(seed)
    with tf.Session(graph=dae.graph) as sess:
        sess.run(dae.init_op)
        lines = list(dae_mnist.train(sess, dae, trX, teX, rng, range(epochs), batch_size, level))
        return lines, sess.run([dae.W, dae.b, dae.b_prime])


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


@pytest.mark.parametrize('level, n_train', [(0, 107), (0.3, 100), (0.45, 124)])
def test_the_steps_and_the_test_of_each_epoch(calls, level, n_train):
    """Images come in file order, in whole batches, and one stream of masks runs through it all."""
    trX, teX = some_images(n_train, 30)
    learn(trX, teX, 3, 25, level, seed=10)
    recorded, mask_of = iter(calls), masks_of(10, level)
    for _ in range(3):
        for start in 0, 25, 50, 75:
            step = next(recorded)
            assert isinstance(step.fetches, tf.Operation)  # train_op, which gives no value
            np.testing.assert_array_equal(step.images, trX[start:start + 25])
            np.testing.assert_array_equal(step.mask, mask_of((25, 784)))
        test = next(recorded)
        assert test.fetches.shape == ()
        np.testing.assert_array_equal(test.images, teX)
        np.testing.assert_array_equal(test.mask, mask_of(teX.shape))
    assert next(recorded, None) is None


@pytest.mark.parametrize('batch_size', [129, 0, -1])
def test_a_batch_that_cannot_be_filled_is_rejected(calls, batch_size):
    with pytest.raises(ValueError, match=f'batch_size is {batch_size}, but there are 128'):
        learn(*some_images(128, 5), batch_size=batch_size)
    assert not calls


def test_yielded_costs_are_those_of_the_weights_and_of_the_clean_test_images(capsys):
    trX, teX = some_images(300, 77)
    lines = []
    for epochs in 1, 2, 3:
        more, weights = learn(trX, teX, epochs, n_hidden=20, seed=11)
        assert more[:-1] == lines and [i for i, _ in more] == list(range(epochs))
        lines, mask_of = more, masks_of(11)
        for _ in range(epochs):
            for shape in (128, 784), (128, 784), teX.shape:
                mask = mask_of(shape)
        cost = squared_error(teX.astype(float), mask, *(w.astype(float) for w in weights))
        np.testing.assert_allclose(lines[-1][1], cost, rtol=1e-5)
    assert capsys.readouterr() == ('', '')  # it yields, and prints nothing


def test_global_states_are_left_alone_on_import_and_by_a_run(flags, tmp_path):
    program = """if True:
        import pickle, random, sys, warnings
        import numpy as np, tensorflow as tf
        def state():
            graph = tf.compat.v1.get_default_graph()
            return pickle.dumps([random.getstate(), np.random.get_state(), len(warnings.filters),
                                 tf.executing_eagerly(), len(graph.get_operations())])
        random.seed(1), np.random.seed(1), tf.random.set_seed(1)
        before, draws = state(), [tf.random.uniform([3]).numpy().tolist() for _ in range(2)]
        tf.random.set_seed(1)
        import dae_mnist
        assert state() == before and tf.random.uniform([3]).numpy().tolist() == draws[0]
        dae_mnist.main(sys.argv[1:])
        assert state() == before and tf.random.uniform([3]).numpy().tolist() == draws[1]
    """
    child = run_python('-c', program, *flags, '--log_dir', tmp_path, cwd=ROOT)
    assert child.returncode == 0, child.stderr


def test_noise_teaches_mending_and_features_that_recognise():
    """The tutorial's central claim, on the sample with few epochs."""
    sets = input_data.read_data_sets(SAMPLE, one_hot=True)
    trX, teX = sets.train.images, sets.test.images
    (_, noisy), (_, plain), (_, start) = (
        learn(trX, teX, epochs, batch_size=64, level=level, n_hidden=200, seed=0)
        for level, epochs in ((0.3, 5), (0, 5), (0.3, 0)))
    mask = masks_of(5)(teX.shape)
    assert squared_error(teX, mask, *noisy) < 0.8 * squared_error(teX, mask, *plain)
    assert squared_error(teX, 1, *plain) < 0.8 * squared_error(teX, 1, *noisy)

    def accuracy(weights, n_labelled=100):
        """Fit the hidden codes of a few labelled images by ridge regression."""
        Y, test_Y = (forward(X, 1, *weights[:2], weights[0].T, weights[2])[0]
                     for X in (trX[:n_labelled], teX))
        V = np.linalg.solve(Y.T @ Y + np.eye(Y.shape[1]), Y.T @ sets.train.labels[:n_labelled])
        return np.mean((test_Y @ V).argmax(axis=1) == sets.test.labels.argmax(axis=1))

    assert accuracy(noisy) > accuracy(start) + 0.015
