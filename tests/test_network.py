"""The network and its training are the listing's, digit for digit; training and restoring arrays;
what happens when a learner changes the script."""

import inspect
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, apply_edit, finish, python, read_edits

import dae_mnist
import listing
from dae_mnist import binomial_mask, restore, train_epochs


@pytest.fixture(scope='module')
def images():
    """300 training images, so that a batch is left over, and 40 test images, which are darker."""
    X = np.random.RandomState(0).random_sample((340, 784)).astype(np.float32)
    return X[:300], X[300:] / 2


@pytest.fixture
def tiny(images):
    """A function that trains a small network, without noise where nothing else is asked for."""
    def tiny(trX=images[0], teX=images[1], **settings):
        settings = {'n_hidden': 9, 'n_epochs': 1, 'corruption_level': 0., 'seed': 3, **settings}
        epochs = list(train_epochs(trX, teX, **settings))
        assert [i for i, _, _ in epochs] == list(range(settings['n_epochs']))
        return SimpleNamespace(costs=[cost for _, cost, _ in epochs], learned=epochs[-1][2])
    return tiny


def listing_costs(trX, teX, seed, epochs):
    """Return the costs that the listing prints with this seed."""
    state = np.random.get_state()
    np.random.seed(seed)
    costs = []
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.set_random_seed(seed)
        X, mask, cost, train_op = listing.build()
        sess.run(tf.global_variables_initializer())
        for _ in range(epochs):
            listing.train_epoch(sess, X, mask, train_op, trX)
            mask_np = np.random.binomial(1, 1 - listing.corruption_level, teX.shape)
            costs.append(sess.run(cost, feed_dict={X: teX, mask: mask_np}))
    np.random.set_state(state)
    return costs


@pytest.mark.parametrize('seed, changed', [
    (0, {}), (1, {}), (20160318, {}), (2, {'n_hidden': 40}), (3, {'corruption_level': 0.49}),
    (4, {'corruption_level': 0.})])
def test_the_digits_of_the_listing(images, seed, changed, monkeypatch):
    for name, value in changed.items():
        monkeypatch.setattr(listing, name, value)
    costs = [cost for _, cost, _ in train_epochs(*images, n_epochs=5, seed=seed, **changed)]
    assert list(map(str, costs)) == list(map(str, listing_costs(*images, seed, 5)))
    assert inspect.signature(train_epochs).parameters['n_epochs'].default == 100


def test_the_same_text_on_mnist(real_mnist, tmp_path):
    flags = '--seed', 0, '--n_epochs', 1, '--log_dir', tmp_path / 'run'
    script = python(ROOT / 'dae_mnist.py', *flags)
    expected = finish(python(ROOT / 'tests' / 'listing.py', 0, 1, real_mnist))
    run = finish(script)
    assert (run.status, run.out) == (0, expected.out) and 105_000 < float(run.out[2:]) < 118_000


def test_batches_are_whole_and_in_order(tiny, images):
    np.testing.assert_array_equal(tiny(batch_size=200).learned['W'],
                                  tiny(images[0][:200], batch_size=200).learned['W'])
    edited = images[0].copy()
    edited[-1] = 0
    assert abs(tiny(edited, batch_size=300).learned['W']
               - tiny(batch_size=300).learned['W']).max() > 0


def test_a_step_is_as_long_as_the_learning_rate_says(tiny):
    still, once, twice = (
        tiny(batch_size=300, learning_rate=rate).learned['W'].astype(float)
        for rate in (1e-30, 0.001, 0.002))
    assert abs(once - still).max() > 1e-3
    np.testing.assert_allclose(twice - still, 2 * (once - still), atol=1e-5)


def test_what_is_yielded(tiny):
    run = tiny(n_epochs=3)
    assert [cost.dtype for cost in run.costs] == [np.float32] * 3
    assert {name: (type(array), array.dtype.name, array.shape)
            for name, array in run.learned.items()} == {
        'W': (np.ndarray, 'float32', (784, 9)), 'b': (np.ndarray, 'float32', (9,)),
        'W_prime': (np.ndarray, 'float32', (9, 784)), 'b_prime': (np.ndarray, 'float32', (784,))}
    np.testing.assert_array_equal(run.learned['W_prime'], run.learned['W'].T)


def test_a_seed_repeats_a_training_and_none_does_not(tiny):
    costs = [tiny(seed=seed, corruption_level=0.3).costs[0] for seed in (0, 0, 1, None, None)]
    assert costs[0] == costs[1] and len(set(costs)) == 4


def test_no_global_state_changes_not_even_between_epochs(images):
    def state():
        return repr(np.random.get_state()), tf.get_default_graph(), tf.executing_eagerly()
    np.random.random_sample()
    before = state()
    for _, _, learned in train_epochs(*images, n_epochs=2, n_hidden=9):
        assert state() == before
        restore(learned, images[1])
    assert state() == before and not tf.get_default_graph().get_operations()


def test_two_trainings_can_take_turns(tiny, images):
    settings = {'n_epochs': 3, 'n_hidden': 9, 'seed': 3, 'corruption_level': 0.3}
    alone = tiny(**settings).costs
    both = zip(train_epochs(*images, **settings), train_epochs(*images, **settings))
    assert [(one[1], other[1]) for one, other in both] == [(cost, cost) for cost in alone]


def test_nothing_happens_before_the_first_epoch_is_asked_for_nor_after_the_last():
    """A process with one training that never began, and one that is left at its first epoch."""
    run = finish(python('-c', '''
import numpy as np, dae_mnist
never = dae_mnist.train_epochs(None, None)
left = dae_mnist.train_epochs(np.ones([9, 4]), np.ones([9, 4]), batch_size=9)
print(next(left)[0])''', cwd=ROOT), timeout=60)
    assert (run.status, run.out, run.err) == (0, '0\n', '')


# What is refused, and what is taken


BYTES = np.full([300, 28, 28], 255, np.uint8)


@pytest.mark.parametrize('changed, words', [
    ({'trX': BYTES}, r'trX has the shape \(300, 28, 28\).* x.reshape\(len\(x\), -1\) / 255'),
    ({'trX': BYTES.reshape(300, 784)}, 'trX has numbers from 255.0 to 255.0, .* x / 255'),
    ({'teX': BYTES[:9] / 255}, r'teX has the shape \(9, 28, 28\)'),
    ({'teX': BYTES[0].ravel() / 255}, r'teX has the shape \(784,\)'),
    ({'teX': np.zeros([0, 784])}, r'teX has the shape \(0, 784\)'),
    ({'teX': 0.5}, r'teX has the shape \(\)'),
    ({'teX': [[0.5] * 783 + [1.001]]}, 'teX has numbers from 0.5 to 1.00'),
    ({'teX': [[0.5] * 783 + [-0.001]]}, 'teX has numbers from -0.00.* to 0.5'),
    ({'teX': [[0.5] * 783 + [float('nan')]]}, 'teX has numbers from nan'),
    ({'teX': np.zeros([9, 100])}, 'trX has images of 784 pixels, teX of 100'),
    ({'batch_size': 301}, 'batch_size is 301; must be from 1 to 300'),
    ({'batch_size': 0}, 'batch_size is 0;'), ({'corruption_level': 30}, 'corruption_level is 30;'),
    ({'corruption_level': 1}, 'corruption_level is 1;'),
    ({'corruption_level': -0.1}, 'corruption_level is -0.1;'), ({'seed': -1}, '[Ss]eed')],
    ids=lambda value: '-'.join(value) if isinstance(value, dict) else '')
def test_what_cannot_be_trained_on_is_refused(tiny, changed, words):
    with pytest.raises(ValueError, match=words):
        tiny(**changed)


def test_lists_bits_and_other_widths_are_trained_on(tiny, images):
    as_list = [image.tolist() for image in images[0]]
    assert tiny(as_list, images[1].astype(float)).costs == tiny().costs
    bits = tiny(images[0] > 0.5, images[1] > 0.5)
    small = tiny(images[0][:, :196], images[1][:, :196])  # 14 x 14 pixels
    Y = 1 / (1 + np.exp(-np.tanh(images[0] @ bits.learned['W'] + bits.learned['b'])))
    codes = tiny(Y, Y[:40], n_hidden=4)
    for learned, X in (small.learned, images[1][:, :196]), (codes.learned, Y):
        assert restore(learned, X).shape == X.shape
    assert dae_mnist.tile(restore(small.learned, images[1][:, :196]), 5)


def test_a_mask_destroys_with_the_probability_that_is_asked_for():
    for level in 0, 0.3, 0.8:
        mask = binomial_mask(np.random.RandomState(0), (100, 784), level)
        assert mask.dtype == bool and abs(np.mean(~mask) - level) < 0.01
    with pytest.raises(ValueError, match='corruption_level is 30;'):
        binomial_mask(np.random.RandomState(0), (1, 784), 30)


# Restoring


def test_restore_is_the_formula(tmp_path, monkeypatch):
    rng = np.random.RandomState(0)
    shapes = {'W': (784, 9), 'b': (9,), 'W_prime': (9, 784), 'b_prime': (784,)}
    learned = {name: rng.uniform(-1, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(tmp_path / 'learned.npz', **learned)
    X = rng.normal(0.5, 1, (7, 784))  # as after Gaussian noise
    Y = 1 / (1 + np.exp(-(X @ learned['W'] + learned['b'])))
    expected = 1 / (1 + np.exp(-(Y @ learned['W_prime'] + learned['b_prime'])))
    model, seen = dae_mnist.model, []
    monkeypatch.setattr(dae_mnist, 'model', lambda X, **weights: seen.append(X.op.type)
                        or model(X, **weights))
    with np.load(tmp_path / 'learned.npz') as kept:
        for weights in learned, kept:
            Z = restore(weights, X.tolist())
            assert Z.dtype == np.float32
            np.testing.assert_allclose(Z, expected, atol=1e-5)
    assert seen == ['Placeholder'] * 2  # images are fed: in the graph, 2 GB would be the limit


def test_what_cannot_be_restored_is_refused(tiny):
    learned = tiny().learned
    for damaged, words in [
            (BYTES.reshape(-1, 784), 'images are uint8, .* x / 255'), (BYTES / 255, '300, 28, 28'),
            (np.zeros(784), '784,'), (np.zeros([2, 783]), '2, 783')]:
        with pytest.raises(ValueError, match=words):
            restore(learned, damaged)


# A learner's changes. What follows from each follows by itself.


SECOND_LAYER = '''\
-def model(tilde_X, W, b, W_prime, b_prime):
+def model(tilde_X, W, b, W2, b2, W_prime, b_prime):
-    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)  # (3) reconstructed input
+    Y = tf.nn.sigmoid(tf.matmul(Y, W2) + b2)
+    Y = tf.nn.sigmoid(tf.matmul(Y, tf.transpose(W2)))
+    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)
-        weights = {'W': W, 'b': b, 'W_prime': W_prime, 'b_prime': b_prime}  # all that model needs
+        W2 = tf.Variable(tf.random_uniform([n_hidden, 5], -1, 1))
+        b2 = tf.Variable(tf.zeros([5]))
+        weights = {'W': W, 'b': b, 'W2': W2, 'b2': b2, 'W_prime': W_prime, 'b_prime': b_prime}
'''
DIFFS = {**read_edits(), 'a second layer': SECOND_LAYER}


@pytest.mark.parametrize('title', DIFFS)
def test_an_edited_script_restores_with_what_it_trained(title, small_set, empty_folder, images):
    edited = ModuleType('edited')
    edited.__file__ = str(ROOT / 'dae_mnist.py')
    exec(apply_edit((ROOT / 'dae_mnist.py').read_text('utf-8'), DIFFS[title]), vars(edited))
    masks, draw = [], edited.binomial_mask
    edited.binomial_mask = lambda *args: masks.append(draw(*args)) or masks[-1]
    *_, (_, cost, learned) = edited.train_epochs(
        *images, n_epochs=3, n_hidden=20, learning_rate=0.001, seed=0)
    X = images[1].astype(float)
    damaged = masks[-1] + X if title == 'Gaussian noise' else masks[-1] * X
    assert masks[-1].dtype == (float if title == 'Gaussian noise' else bool)
    Z = edited.restore(learned, damaged)
    if title == 'Cross-entropy':
        expected = -np.sum(X * np.log(Z + 1e-7) + (1 - X) * np.log(1 - Z + 1e-7))
    else:
        expected = np.sum((X - Z) ** 2)
    assert cost == pytest.approx(expected, rel=1e-4)

    kept = edited.main(['--data_dir', str(small_set), '--n_hidden', '9', '--n_epochs', '1',
                        '--log_dir', 'run'])
    assert set(kept) == set(learned) and (empty_folder / 'run' / 'reconstructions.png').exists()


def test_the_exercises_of_the_tutorial_have_edits():
    assert list(read_edits()) == ['Cross-entropy', 'Gaussian noise', 'Untied weights']
