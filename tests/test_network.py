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
from dae_mnist import restore, train_epochs

PIXELS = np.random.RandomState(0).random_sample((340, 784)).astype(np.float32)
TRAIN, TEST = PIXELS[:300], PIXELS[300:] / 2  # of 300 images a batch leaves some over
BYTES = np.full([300, 28, 28], 255, np.uint8)


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
    ({'trX': BYTES}, r'trX has the shape \(300, 28, 28\).* x.reshape\(len\(x\), -1\) / 255'),
    ({'trX': BYTES.reshape(300, 784)}, 'trX has numbers from 255.0 to 255.0, .* x / 255'),
    ({'teX': BYTES[:9] / 255}, r'teX has the shape \(9, 28, 28\)'),
    ({'teX': BYTES[0].ravel() / 255}, r'teX has the shape \(784,\)'),
    ({'teX': np.zeros([0, 784])}, r'teX has the shape \(0, 784\)'),
    ({'teX': 0.5}, r'teX has the shape \(\)'), ({'seed': -1}, '[Ss]eed'),
    ({'teX': [[0.5] * 783 + [1.001]]}, 'teX has numbers from 0.5 to 1.00'),
    ({'teX': [[0.5] * 783 + [-0.001]]}, 'teX has numbers from -0.00.* to 0.5'),
    ({'teX': [[0.5] * 783 + [float('nan')]]}, 'teX has numbers from nan'),
    ({'teX': np.zeros([9, 100])}, 'trX has images of 784 pixels, teX of 100'),
    ({'batch_size': 301}, 'batch_size is 301; must be from 1 to 300'),
    ({'batch_size': 0}, 'batch_size is 0;'), ({'corruption_level': 30}, 'corruption_level is 30;'),
    ({'corruption_level': 1}, 'level is 1;'), ({'corruption_level': -0.1}, 'level is -0.1;')])
def test_what_cannot_be_trained_on_is_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        train(**changed)


def test_lists_bits_and_other_widths_are_trained_on():
    assert train(TRAIN.tolist(), TEST.astype(float))[0] == train()[0]
    assert train(TRAIN > 0.5, TEST > 0.2)[0] == train(1. * (TRAIN > 0.5), 1. * (TEST > 0.2))[0]
    _, narrow = train(TRAIN[:, :195], TEST[:, :195])
    assert restore(narrow, TEST[:, :195]).shape == (40, 195)


def test_restore_is_the_formula_and_takes_rows_of_floats_only():
    rng = np.random.RandomState(0)
    shapes = {'W': (784, 9), 'b': (9,), 'W_prime': (9, 784), 'b_prime': (784,)}
    learned = {name: np.float32(rng.uniform(-1, 1, shape)) for name, shape in shapes.items()}
    X = rng.normal(0.5, 1, (7, 784))  # as after Gaussian noise
    Y = 1 / (1 + np.exp(-(X @ learned['W'] + learned['b'])))
    expected = 1 / (1 + np.exp(-(Y @ learned['W_prime'] + learned['b_prime'])))
    np.testing.assert_allclose(restore(learned, X.tolist()), expected, atol=1e-5)
    for integers in BYTES.reshape(-1, 784), BYTES.reshape(-1, 784).astype(int):
        with pytest.raises(ValueError, match=f'images are {integers.dtype}, .* x / 255'):
            restore(learned, integers)
    for other in BYTES / 255, np.zeros(784), np.zeros([2, 783]):
        with pytest.raises(ValueError):
            restore(learned, other)


SECOND_LAYER = '''\
-def model(tilde_X, W, b, W_prime, b_prime):
+def model(tilde_X, W, b, W2, W_prime, b_prime):
-    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)  # (3) reconstructed input
+    Y = tf.nn.sigmoid(tf.matmul(Y, W2))
+    Y = tf.nn.sigmoid(tf.matmul(Y, tf.transpose(W2)))
+    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)
-        weights = {'W': W, 'b': b, 'W_prime': W_prime, 'b_prime': b_prime}  # all that model needs
+        W2 = tf.Variable(tf.random_uniform([n_hidden, 5], -1, 1))
+        weights = {'W': W, 'b': b, 'W2': W2, 'W_prime': W_prime, 'b_prime': b_prime}
'''


@pytest.mark.parametrize('title', [
    'Cross-entropy', 'Gaussian noise', 'Untied weights', 'a second layer'])
def test_an_edited_script_restores_with_what_it_trained(title, small_set, empty_folder):
    edits = {**read_edits(), 'a second layer': SECOND_LAYER}
    assert len(edits) == 4
    edited = ModuleType('edited')
    edited.__file__ = dae_mnist.__file__
    exec(apply_edit(Path(edited.__file__).read_text('utf-8'), edits[title]), vars(edited))
    # At level 0 neither kind of damage changes an image.
    settings = {'n_epochs': 2, 'learning_rate': 0.001, 'corruption_level': 0., 'seed': 0}
    *_, (_, cost, learned) = edited.train_epochs(TRAIN, TEST, **settings)
    X, Z = TEST.astype(float), edited.restore(learned, TEST)
    expected = np.sum((X - Z) ** 2)
    if title == 'Cross-entropy':
        expected = -np.sum(X * np.log(Z + 1e-7) + (1 - X) * np.log(1 - Z + 1e-7))
    assert cost == pytest.approx(expected, rel=1e-4)
    if title == 'Gaussian noise':
        assert abs(edited.binomial_mask(np.random.RandomState(0), 9999, 0.3).std() - 0.3) < 0.01
    kept = edited.main(['--data_dir', str(small_set), '--n_hidden', '9', '--n_epochs', '1',
                        '--log_dir', 'run'])
    assert set(kept) == set(learned) and Path('run', 'reconstructions.png').exists()
