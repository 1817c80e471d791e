"""Training, with the listing's numbers; restoring; what follows from an edit of the script."""

import re
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, apply_edit, finish, python, read_edits

import listing
from dae_mnist import encode, restore, tile, train_epochs

SCRIPT = (ROOT / 'dae_mnist.py').read_text('utf-8')
PIXELS = np.random.RandomState(0).random_sample((340, 784)).astype(np.float32)
TRAIN, TEST = PIXELS[:300], PIXELS[300:] / 2  # of 300 images a batch leaves some over
BYTES = np.full([300, 28, 28], 255, np.uint8)
SHAPES = {'W': (784, 9), 'b': (9,), 'W_prime': (9, 784), 'b_prime': (784,)}
LEARNED = {name: np.random.RandomState(0).uniform(-1, 1, shape).astype(np.float32)
           for name, shape in SHAPES.items()}


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


def test_edited_constants_are_the_defaults():
    names = ['n_epochs', 'batch_size', 'n_hidden', 'learning_rate', 'corruption_level']
    text = re.sub(f'^({"|".join(names)}) = .*', r'\1 = "\1"', SCRIPT, flags=re.M)
    edited = ModuleType('edited')
    exec(text, vars(edited))
    assert edited.train_epochs.__kwdefaults__ == {**dict(zip(names, names)), 'seed': None}


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
    ({'trX': BYTES.reshape(300, 784)}, 'trX has numbers from 255.0 to .*0 to 1.* bytes by 255'),
    ({'teX': np.zeros([0, 784])}, r'teX has the shape \(0, 784\)'),
    ({'teX': [[0.5] * 784, [0.5] * 783 + [1.001]]}, 'teX has numbers from 0.5 to 1.00'),
    ({'teX': [[0.5] * 784, [0.5] * 783 + [-0.001]]}, 'teX has numbers from -0.00.* to 0.5'),
    ({'teX': [[0.5] * 784, [0.5] * 783 + [float('nan')]]}, 'teX has numbers that are nan$'),
    ({'teX': np.zeros([9, 100])}, 'trX has images of 784 pixels, but teX of 100'),
    ({'batch_size': 301}, 'batch_size is 301, .* from 1 to 300')])
def test_what_cannot_be_trained_on_is_refused_at_the_call(changed, words):
    """What the flags set is refused in test_script.py."""
    with pytest.raises(ValueError, match=words):
        train_epochs(**{'trX': TRAIN, 'teX': TEST, **changed})


def test_lists_bits_and_other_widths_are_trained_on():
    assert train(TRAIN.tolist(), TEST.astype(float))[0] == train()[0]
    assert train(TRAIN > 0.5, TEST > 0.2)[0] == train(1 * (TRAIN > 0.5), 1. * (TEST > 0.2))[0]
    _, narrow = train(TRAIN[:, :195], TEST[:, :195], learning_rate=1e-30)
    assert restore(narrow, TEST[:, :195]).shape == (40, 195)
    assert abs(narrow['W']).max() == pytest.approx(4 * np.sqrt(6 / (195 + 9)), rel=0.01)


def test_restore_and_encode_are_the_formula():
    noise = np.random.RandomState(0).normal(0.5, 1, (7, 784))
    for X in noise, BYTES[:3].reshape(3, 784) // 255:  # the second are ones, as bytes
        Y = 1 / (1 + np.exp(-(X @ LEARNED['W'] + LEARNED['b'])))
        Z = 1 / (1 + np.exp(-(Y @ LEARNED['W_prime'] + LEARNED['b_prime'])))
        np.testing.assert_allclose(encode(LEARNED, X.tolist()), Y, atol=1e-5)
        np.testing.assert_allclose(restore(LEARNED, X.tolist()), Z, atol=1e-5)
    assert encode(LEARNED, X).dtype == restore(LEARNED, X).dtype == np.float32
    with pytest.raises(ValueError, match='783.*784'):
        encode(LEARNED, np.zeros([2, 783]))


@pytest.mark.parametrize('use', [
    lambda images: restore(LEARNED, images), lambda images: encode(LEARNED, images),
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
    with pytest.raises(ValueError, match='255.0, but .* from -9 to 9. Divide .* bytes by 255'):
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


def test_a_variable_that_is_not_handed_over_is_told():
    edited = ModuleType('edited')
    edit = read_edits()['Untied weights'].replace('+        W_prime', '+        V')
    edit += '+        W_prime = tf.transpose(W)\n'
    exec(apply_edit(SCRIPT, edit), vars(edited))
    with pytest.raises(ValueError, match='a variable does not change the cost'):
        next(edited.train_epochs(TRAIN, TEST))


@pytest.mark.parametrize('title', [
    'no edit', 'Cross-entropy', 'Gaussian noise', 'Untied weights', 'a second layer',
    'salt and pepper'])
def test_an_edited_script_restores_with_what_it_trained(title, small_set, empty_folder, capsys):
    edits = {**read_edits(), 'a second layer': SECOND_LAYER, 'salt and pepper': SALT_AND_PEPPER,
             'no edit': ''}
    assert len(edits) == 6
    edited = ModuleType('edited')
    exec(apply_edit(SCRIPT, edits[title]), vars(edited))
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
    X = edited.load_images(small_set)[1]
    damaged = edited.corrupt(X, edited.binomial_mask(np.random.RandomState(0), X.shape, 0.3))
    assert f'squared error of {np.square(X - damaged).sum():.0f}.' in capsys.readouterr().err
