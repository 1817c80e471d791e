"""The graph is the listing's: names, shapes, start, cost, and what one step does to the weights.

What is expected is computed here in NumPy, in float64, from the equations of the article.
"""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import forward, squared_error

from dae_mnist import build_graph, model


def descend(X, mask, W, b, b_prime, learning_rate):
    """Return W, b and b_prime after one step of plain gradient descent."""
    Y, Z = forward(X, mask, W, b, W.T, b_prime)
    d_out = -2 * (X - Z) * Z * (1 - Z)  # of the cost, by the decoder's sum
    d_code = d_out @ W * Y * (1 - Y)  # by the encoder's sum
    dW = (mask * X).T @ d_code + d_out.T @ Y  # W encodes, and its transpose decodes
    return (W - learning_rate * dW, b - learning_rate * d_code.sum(axis=0),
            b_prime - learning_rate * d_out.sum(axis=0))


def some_images(n, seed=0):
    """Draw images X [n, 784] in [0, 1], half of them black, and a mask that keeps 70 %."""
    rng = np.random.RandomState(seed)
    X = np.maximum(0, rng.uniform(-1, 1, (n, 784))).astype(np.float32)
    return X, (rng.uniform(size=X.shape) < 0.7).astype(np.float32)


@pytest.fixture(scope='module')
def dae():
    return build_graph(500, 0.02, seed=1)


def start(dae):
    """Return what the variables W, b and b_prime start as."""
    with tf.Session(graph=dae.graph) as sess:
        sess.run(dae.init_op)
        return sess.run([dae.W, dae.b, dae.b_prime])


@pytest.mark.parametrize('field, shape', [
    ('X', [None, 784]), ('mask', [None, 784]), ('W', [784, 500]), ('b', [500]),
    ('W_prime', [500, 784]), ('b_prime', [784]), ('Z', [None, 784]), ('cost', [])])
def test_shapes_and_types(dae, field, shape):
    tensor = getattr(dae, field)
    assert tensor.shape.as_list() == shape
    assert tensor.dtype.base_dtype == tf.float32


def test_two_placeholders_and_three_variables_with_the_listings_names(dae):
    placeholders = [op for op in dae.graph.get_operations() if op.type == 'Placeholder']
    assert placeholders == [dae.X.op, dae.mask.op]
    assert [op.name for op in placeholders] == ['X', 'mask']
    assert [v.name for v in (dae.W, dae.b, dae.b_prime)] == ['W:0', 'b:0', 'b_prime:0']
    for key in tf.GraphKeys.TRAINABLE_VARIABLES, tf.GraphKeys.GLOBAL_VARIABLES:
        assert [v.name for v in dae.graph.get_collection(key)] == ['W:0', 'b:0', 'b_prime:0']


@pytest.mark.parametrize('n_hidden', [500, 20])
def test_weights_start_uniform_in_the_listings_range_and_biases_at_zero(n_hidden):
    W, b, b_prime = start(build_graph(n_hidden, 0.02, seed=2))
    bound = 4 * np.sqrt(6 / (784 + n_hidden))
    assert -bound <= W.min() < -0.999 * bound and 0.999 * bound < W.max() <= bound
    counts = np.histogram(W, 10, (-bound, bound))[0]
    expected = W.size / 10
    assert np.sum((counts - expected)**2 / expected) < 40  # chi squared, 9 degrees of freedom
    assert not b.any() and not b_prime.any()


def test_without_a_seed_each_start_differs():
    assert len({start(build_graph(20, 0.02))[0].tobytes() for _ in range(3)}) == 3


def test_model_with_weights_that_are_not_tied():
    rng = np.random.RandomState(3)
    X, mask = some_images(5)
    weights = [rng.uniform(-.2, .2, shape) for shape in ([784, 500], [500], [500, 784], [784])]
    with tf.Graph().as_default(), tf.Session() as sess:
        args = [tf.placeholder(tf.float32, [None, 784]) for _ in range(2)]
        args += [tf.placeholder(tf.float32, w.shape) for w in weights]
        Z = model(*args)
        result = sess.run(Z, feed_dict=dict(zip(args, [X, mask, *weights], strict=True)))
    assert Z.shape.as_list() == [None, 784]
    np.testing.assert_allclose(result, forward(X, mask, *weights)[1], rtol=1e-4)


@pytest.mark.parametrize('n_hidden, learning_rate', [(500, 0.02), (7, 0.005)])
def test_steps_are_those_of_the_equations(n_hidden, learning_rate):
    """In the second step the biases are not 0, and momentum would show."""
    dae = build_graph(n_hidden, learning_rate, seed=4)
    with tf.Session(graph=dae.graph) as sess:
        sess.run(dae.init_op)
        for seed in 5, 6:
            X, mask = some_images(128, seed)
            feed = {dae.X: X, dae.mask: mask}
            before = sess.run([dae.W, dae.b, dae.b_prime])
            before = [v.astype(np.float64) for v in before]
            cost, Z = sess.run([dae.cost, dae.Z], feed_dict=feed)
            np.testing.assert_allclose(cost, squared_error(X, mask, *before), rtol=1e-5)
            expected_Z = forward(X, mask, *before[:2], before[0].T, before[2])[1]
            np.testing.assert_allclose(Z, expected_Z, rtol=1e-3, atol=1e-6)

            sess.run(dae.train_op, feed_dict=feed)
            expected = descend(X, mask, *before, learning_rate)
            after = sess.run([dae.W, dae.b, dae.b_prime])
            for old, new, value in zip(before, after, expected, strict=True):
                step = np.abs(value - old).max()
                assert step > 1e-3
                np.testing.assert_allclose(new, value, rtol=1e-6, atol=1e-4 * step)
            np.testing.assert_array_equal(sess.run(dae.W_prime), after[0].T)


def test_the_equations_above_are_the_gradient_of_the_cost():
    """`descend` goes down the slope of `squared_error`, as differences measure it."""
    rng = np.random.RandomState(7)
    X, mask = some_images(6)
    weights = [rng.uniform(-.2, .2, shape) for shape in ([784, 5], [5], [784])]
    for i, w in enumerate(weights):
        way = rng.uniform(-1, 1, w.shape)
        costs = [squared_error(X, mask, *weights[:i], w + e * way, *weights[i + 1:])
                 for e in (-1e-5, 1e-5)]
        slope = np.sum(way * (w - descend(X, mask, *weights, 1)[i]))
        np.testing.assert_allclose((costs[1] - costs[0]) / 2e-5, slope, rtol=1e-5)
