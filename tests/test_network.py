"""Training, with the listing's numbers; restoring; what follows from an edit of the script."""

from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, apply_edit, finish, python, read_edits

import dae_mnist
import listing
from dae_mnist import encode, restore, tile, train_epochs

PIXELS = np.random.RandomState(0).random_sample((340, 784)).astype(np.float32)
TRAIN, TEST = PIXELS[:300], PIXELS[300:] / 2  # of 300 images a batch leaves some over
BYTES = np.full([300, 28, 28], 255, np.uint8)
UNTRAINED = {'W': np.zeros([784, 9], 'f'), 'b': np.zeros(9, 'f'),
             'W_prime': np.zeros([9, 784], 'f'), 'b_prime': np.zeros(784, 'f')}


def train(trX=TRAIN, teX=TEST, **settings):
    """Train a small network, undamaged unless asked for; return the costs and the last weights."""
    settings = {'n_hidden': 9, 'n_epochs': 1, 'corruption_level': 0., 'seed': 3, **settings}
    _, costs, learned = zip(*train_epochs(trX, teX, **settings))
    return costs, learned[-1]


@pytest.mark.parametrize('seed, changed', [
    (0, {}), (20160318, {}), (2, {'n_hidden': 40}), (3, {'corruption_level': 0.49}),
    (4, {'corruption_level': 0.}), (5, {'batch_size': 300}),
    (6, {'batch_size': 100, 'learning_rate': 0.001})])
def test_the_digits_of_the_listing(seed, changed, monkeypatch):
    for name, value in changed.items():
        monkeypatch.setattr(listing, name, value)
    expected = [f'{i} {cost}' for i, cost in listing.costs(TRAIN, TEST, seed, 5)]
    epochs = train_epochs(TRAIN, TEST, n_epochs=5, seed=seed, **changed)
    assert [f'{i} {cost}' for i, cost, _ in epochs] == expected


def test_the_same_text_on_mnist(real_mnist, tmp_path):
    script = python(ROOT / 'dae_mnist.py', '--seed', 0, '--n_epochs', 1, cwd=tmp_path)
    expected = finish(python(ROOT / 'tests' / 'listing.py', 0, 1, real_mnist))
    run = finish(script)
    assert (run.status, run.out) == (0, expected.out) and 105_000 < float(run.out[2:]) < 118_000


def test_a_seed_repeats_a_training_and_none_does_not():
    costs = [train(seed=seed)[0] for seed in (0, 0, 1, None, None)]
    assert costs[0] == costs[1] and len(set(costs)) == 4


def test_two_trainings_take_turns_and_change_no_global_state():
    def state():
        return repr(np.random.get_state()), tf.get_default_graph(), tf.executing_eagerly()
    settings = {'n_epochs': 3, 'n_hidden': 9, 'seed': 3, 'corruption_level': 0.3}
    alone, _ = train(**settings)
    np.random.random_sample()  # or a seed that was set above would not show when set again
    before = state()
    one, other = [train_epochs(TRAIN, TEST, **settings) for _ in range(2)]
    with closing(one), closing(other):  # so that Python ends also where this fails
        for expected, (_, cost, learned), (_, other_cost, _) in zip(alone, one, other):
            assert cost == other_cost == expected and state() == before
            restore(learned, TEST)
    assert state() == before and not tf.get_default_graph().get_operations()


@pytest.mark.parametrize('changed, words', [
    ({'trX': BYTES}, r'trX has the shape \(300, 28, 28\).* x.reshape\(len\(x\), -1\)$'),
    ({'trX': BYTES.reshape(300, 784)}, 'trX has numbers from 255.0 to 255.0, .*0 to 1.* x / 255'),
    ({'teX': BYTES[:9] / 255}, r'teX has the shape \(9, 28, 28\)'),
    ({'teX': BYTES[0].ravel() / 255}, r'teX has the shape \(784,\)'),
    ({'teX': np.zeros([0, 784])}, r'teX has the shape \(0, 784\)'),
    ({'teX': 0.5}, r'teX has the shape \(\)'), ({'seed': -1}, '[Ss]eed'),
    ({'teX': [[0.5] * 784, [0.5] * 783 + [1.001]]}, 'teX has numbers from 0.5 to 1.00'),
    ({'teX': [[0.5] * 784, [0.5] * 783 + [-0.001]]}, 'teX has numbers from -0.00.* to 0.5'),
    ({'teX': [[0.5] * 784, [0.5] * 783 + [float('nan')]]}, 'teX has numbers that are nan$'),
    ({'teX': np.zeros([9, 100])}, 'trX has images of 784 pixels, but teX of 100'),
    ({'batch_size': 301}, 'batch_size is 301, .* from 1 to 300'), ({'batch_size': 0}, 'size is 0,'),
    ({'n_epochs': 0}, 'n_epochs is 0,'), ({'n_hidden': 0}, 'n_hidden is 0,'),
    *(({'learning_rate': rate}, f'learning_rate is {rate},') for rate in (0, -1, float('nan'))),
    *(({'corruption_level': level}, f'level is {level},') for level in (30, 1, -0.1))])
def test_what_cannot_be_trained_on_is_refused_at_the_call(changed, words):
    with pytest.raises(ValueError, match=words):
        train_epochs(**{'trX': TRAIN, 'teX': TEST, **changed})


def test_lists_bits_and_other_widths_are_trained_on():
    assert train(TRAIN.tolist(), TEST.astype(float))[0] == train()[0]
    assert train(TRAIN > 0.5, TEST > 0.2)[0] == train(1 * (TRAIN > 0.5), 1. * (TEST > 0.2))[0]
    _, narrow = train(TRAIN[:, :195], TEST[:, :195], learning_rate=1e-30)
    assert restore(narrow, TEST[:, :195]).shape == (40, 195)
    assert abs(narrow['W']).max() == pytest.approx(4 * np.sqrt(6 / (195 + 9)), rel=0.01)


def test_a_cost_that_is_not_finite_ends_the_training_after_the_good_epochs():
    epochs = train_epochs(TRAIN, TEST, n_epochs=2, learning_rate=1e38)
    with pytest.raises(FloatingPointError, match='epoch 0 costs nan: lower the learning_rate, or'):
        next(epochs)


def test_restore_and_encode_are_the_formula():
    rng = np.random.RandomState(0)
    shapes = {'W': (784, 9), 'b': (9,), 'W_prime': (9, 784), 'b_prime': (784,)}
    learned = {name: np.float32(rng.uniform(-1, 1, shape)) for name, shape in shapes.items()}
    for X in rng.normal(0.5, 1, (7, 784)), BYTES[:3].reshape(3, 784) // 255:  # noise; ones as bytes
        Y = 1 / (1 + np.exp(-(X @ learned['W'] + learned['b'])))
        Z = 1 / (1 + np.exp(-(Y @ learned['W_prime'] + learned['b_prime'])))
        np.testing.assert_allclose(encode(learned, X.tolist()), Y, atol=1e-5)
        np.testing.assert_allclose(restore(learned, X.tolist()), Z, atol=1e-5)
    assert encode(learned, X).dtype == restore(learned, X).dtype == np.float32
    with pytest.raises(ValueError, match='783.*784'):
        encode(learned, np.zeros([2, 783]))


@pytest.mark.parametrize('use', [
    lambda images: restore(UNTRAINED, images), lambda images: encode(UNTRAINED, images),
    lambda images: tile(images, 2)], ids=['restore', 'encode', 'tile'])
def test_images_that_cannot_be_are_refused_by_all_in_the_same_words(use):
    good = np.zeros([2, 784])
    good[1, -2:] = -9, 9
    use(good)
    for bad, words in (9.01, 'from -9.0 to 9.01'), (-9.01, 'from -9.01'), (np.nan, 'that are nan'):
        images = good.astype(object)
        images[1, 0] = bad
        with pytest.raises(ValueError, match=f'images has numbers {words}'):
            use(images)
    with pytest.raises(ValueError, match='255.0, but they must be from -9 to 9. For .* x / 255'):
        use(BYTES.reshape(-1, 784))
    with pytest.raises(ValueError, match=r'images has the shape \(784,\)'):
        use(good[0])


SECOND_LAYER = '''\
-def model(tilde_X, W, b, W_prime, b_prime):
+def model(tilde_X, W, b, W2, W_prime, b_prime):
-    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)  # (3) reconstructed input
-    return Y, Z
+    code = tf.nn.sigmoid(tf.matmul(Y, W2))
+    Y = tf.nn.sigmoid(tf.matmul(code, tf.transpose(W2)))
+    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)
+    return code, Z
-        weights = {'W': W, 'b': b, 'W_prime': W_prime, 'b_prime': b_prime}
+        W2 = tf.Variable(tf.random_uniform([n_hidden, 5], -1, 1))
+        weights = {'W': W, 'b': b, 'W2': W2, 'W_prime': W_prime, 'b_prime': b_prime}
'''
SALT_AND_PEPPER = '''\
-    return rng.random_sample(shape) < 1 - corruption_level
+    half = corruption_level / 2
+    return rng.choice([0., 1., 2.], shape, p=[half, 1 - 2 * half, half])
-    tilde_X = mask * X  # (1) corrupted input
+    tilde_X = mask * (2 - mask) * X + mask * (mask - 1) / 2
'''


def assert_damage(title, edited, X):
    """Assert that the edited script damages these images, of pixels between 0 and 1, as it says."""
    mask = edited.binomial_mask(np.random.RandomState(0), X.shape, 0.3)
    damage = edited.corrupt(X, mask) - X
    if title == 'Gaussian noise':
        assert abs(damage.mean()) < 0.01 and abs(damage.std() - 0.3) < 0.01
    elif title == 'salt and pepper':
        changed = damage[damage != 0] + X[damage != 0]
        assert abs(len(changed) / X.size - 0.3) < 0.01 and abs(changed.mean() - 0.5) < 0.05
        assert set(np.round(changed, 5)) == {0, 1}
    else:
        assert abs((damage == -X).mean() - 0.3) < 0.01 and set(np.unique(damage / X)) == {-1, 0}


@pytest.mark.parametrize('title', [
    'no edit', 'Cross-entropy', 'Gaussian noise', 'Untied weights', 'a second layer',
    'salt and pepper'])
def test_an_edited_script_restores_with_what_it_trained(title, small_set, empty_folder):
    edits = {**read_edits(), 'a second layer': SECOND_LAYER, 'salt and pepper': SALT_AND_PEPPER,
             'no edit': ''}
    assert len(edits) == 6
    edited = ModuleType('edited')
    edited.__file__ = dae_mnist.__file__
    exec(apply_edit(Path(edited.__file__).read_text('utf-8'), edits[title]), vars(edited))
    assert_damage(title, edited, np.clip(PIXELS, 0.01, 0.99))
    # At level 0 no noise changes an image, so the weights must give the cost.
    settings = {'n_epochs': 2, 'learning_rate': 0.001, 'corruption_level': 0., 'seed': 0}
    X = TEST.astype(float)
    for _, cost, learned in edited.train_epochs(TRAIN, TEST, **settings):
        Z = edited.restore(learned, TEST)
        expected = np.sum((X - Z) ** 2)
        if title == 'Cross-entropy':
            expected = -np.sum(X * np.log(Z + 1e-7) + (1 - X) * np.log(1 - Z + 1e-7))
        assert cost == pytest.approx(expected, rel=1e-4)
    tied = np.array_equal(learned['W'], learned['W_prime'].T)
    assert tied == (title != 'Untied weights')
    if title == 'a second layer':
        Y = 1 / (1 + np.exp(-(X @ learned['W'] + learned['b'])))
        code = 1 / (1 + np.exp(-(Y @ learned['W2'])))
        np.testing.assert_allclose(edited.encode(learned, TEST), code, atol=1e-5)
    kept = edited.main(['--data_dir', str(small_set), '--n_hidden', '9', '--n_epochs', '1',
                        '--log_dir', 'run'])
    assert set(kept) == set(learned) and Path('run', 'reconstructions.png').exists()
