"""The network and its training are the listing's, digit for digit; train and restore on arrays."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import ROOT, finish, learned, python

import dae_mnist
import listing
from dae_mnist import binomial_mask, restore, train


@pytest.fixture(scope='module')
def images():
    """300 training images, so that a batch is left over, and 40 test images, which are darker."""
    X = np.random.RandomState(0).random_sample((340, 784)).astype(np.float32)
    return X[:300], X[300:] / 2


@pytest.fixture
def tiny(images):
    """A function that trains a small network, without noise where nothing else is asked for."""
    def tiny(trX=images[0], teX=images[1], **settings):
        return train(trX, teX, **{'n_hidden': 9, 'n_epochs': 1, 'corruption_level': 0., 'seed': 3,
                                  **settings})
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
    return np.array(costs)


@pytest.mark.parametrize('seed, n_hidden, level', [
    (0, 500, 0.3), (1, 500, 0.3), (20160318, 500, 0.3), (2, 40, 0.3), (3, 500, 0.49), (4, 500, 0.)])
def test_the_digits_of_the_listing(images, seed, n_hidden, level, monkeypatch, capsys):
    monkeypatch.setattr(listing, 'n_hidden', n_hidden)
    monkeypatch.setattr(listing, 'corruption_level', level)
    expected = listing_costs(*images, seed, 5)
    result = train(*images, n_epochs=5, seed=seed, n_hidden=n_hidden, corruption_level=level)
    np.testing.assert_array_equal(result['costs'], expected)
    lines = [f'{i} {cost!s}\n' for i, cost in enumerate(expected)]
    assert capsys.readouterr() == (''.join(lines), '')


def test_the_same_text_on_mnist(real_mnist, tmp_path):
    flags = '--seed', 0, '--n_epochs', 1, '--log_dir', tmp_path / 'run'
    script = python(ROOT / 'dae_mnist.py', *flags)
    expected = finish(python(ROOT / 'tests' / 'listing.py', 0, 1, real_mnist))
    run = finish(script)
    assert (run.status, run.out) == (0, expected.out) and 105_000 < float(run.out[2:]) < 118_000


def test_the_defaults_are_the_listings_numbers(images):
    np.testing.assert_array_equal(listing_costs(*images, 5, 100), train(*images, seed=5)['costs'])


def test_batches_are_whole_and_in_order_and_start_goes_on(tiny, images):
    both = tiny(batch_size=150)
    first = tiny(images[0][:150], batch_size=150)
    np.testing.assert_array_equal(
        tiny(images[0][150:], batch_size=150, start=first)['W'], both['W'])
    np.testing.assert_array_equal(tiny(batch_size=200)['W'],
                                  tiny(images[0][:200], batch_size=200)['W'])
    edited = images[0].copy()
    edited[-1] = 0
    assert abs(tiny(edited, batch_size=300)['W'] - tiny(batch_size=300)['W']).max() > 0


@pytest.mark.parametrize('batch_size', [301, 0, -1])
def test_a_batch_that_does_not_fit_is_refused(tiny, batch_size):
    with pytest.raises(ValueError, match=rf'{batch_size}\b.* 300 '):
        tiny(batch_size=batch_size)


def test_a_step_is_as_long_as_the_learning_rate_says(tiny):
    start = tiny(n_epochs=0)
    steps = [tiny(batch_size=300, learning_rate=rate)['W'].astype(float) - start['W']
             for rate in (0.001, 0.002)]
    assert abs(steps[0]).max() > 1e-3
    np.testing.assert_allclose(steps[1], 2 * steps[0], atol=1e-5)


def test_a_dict_of_arrays_is_returned(tiny):
    for n_epochs in 0, 3:
        result = tiny(n_epochs=n_epochs)
        assert {name: (type(array), array.dtype.name, array.shape) for name, array in result.items()
                } == {'W': (np.ndarray, 'float32', (784, 9)), 'b': (np.ndarray, 'float32', (9,)),
                      'b_prime': (np.ndarray, 'float32', (784,)),
                      'costs': (np.ndarray, 'float32', (n_epochs,))}


def test_a_seed_repeats_a_training_and_none_does_not(tiny):
    runs = [tiny(seed=seed, corruption_level=0.3)['costs'].item() for seed in (0, 0, 1, None, None)]
    assert runs[0] == runs[1] and len(set(runs)) == 4
    with pytest.raises(ValueError, match='[Ss]eed'):
        tiny(seed=-1)


def test_start_takes_any_mapping_of_any_width_and_counts_anew(tiny, tmp_path):
    first = tiny(n_hidden=7, n_epochs=2)
    np.savez(tmp_path / 'learned.npz', **{name: a.astype(float) for name, a in first.items()})
    with np.load(tmp_path / 'learned.npz') as start:
        second = tiny(start=start, learning_rate=1e-30, seed=None)  # a step of nothing
    assert second['W'].shape == (784, 7) and second['costs'].shape == (1,)
    assert second['costs'][0] == first['costs'][1]


def test_a_folder_has_each_epoch_before_it_is_printed(tiny, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(dae_mnist, 'print', lambda *line, flush: seen.append(
        (line, learned(tmp_path)['costs'].tolist())), raising=False)
    result = tiny(n_epochs=3, folder=tmp_path)
    costs = result['costs'].tolist()
    assert seen == [((i, costs[i]), costs[:i + 1]) for i in range(3)]
    for name, array in learned(tmp_path).items():
        np.testing.assert_array_equal(array, result[name])
    assert [path.name for path in tmp_path.iterdir()] == ['learned.npz']


def test_no_global_state_changes(tiny):
    np.random.random_sample()
    before = repr(np.random.get_state()), tf.get_default_graph(), tf.executing_eagerly()
    restore(tiny(), np.zeros([2, 784]))
    assert before == (repr(np.random.get_state()), tf.get_default_graph(), tf.executing_eagerly())
    assert not tf.get_default_graph().get_operations()


@pytest.mark.parametrize('epoch', [0, 2])
def test_a_stop_returns_the_last_whole_epoch(tiny, epoch, monkeypatch):
    expected, printed = tiny(n_epochs=epoch), []

    def interrupt(rng, shape, level):
        if len(printed) == epoch:
            raise KeyboardInterrupt
        return binomial_mask(rng, shape, level)
    monkeypatch.setattr(dae_mnist, 'binomial_mask', interrupt)
    monkeypatch.setattr(dae_mnist, 'print', lambda *line, **_: printed.append(line), raising=False)
    stopped = tiny(n_epochs=9)
    assert printed[-1] == (f'Stopped after {epoch} epochs.',) and list(stopped) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(stopped[name], array)


def test_a_stop_while_an_epoch_is_printed_keeps_it(tiny, monkeypatch):
    def interrupt(i, *_, **__):
        if i == 1:
            raise KeyboardInterrupt
    monkeypatch.setattr(dae_mnist, 'print', interrupt, raising=False)
    assert tiny(n_epochs=5)['costs'].shape == (2,)


def test_restore_gives_the_bits_of_the_graph_without_damage(tiny, images):
    result = tiny()
    Z = restore(result, images[1])
    assert Z.shape == (40, 784) and Z.dtype == np.float32
    assert np.square(images[1] - Z).sum() == pytest.approx(result['costs'][0], rel=1e-6)
    np.testing.assert_array_equal(restore(result, images[1].astype(float)), Z)


def test_who_edits_model_sees_it_in_training_and_restoring(tiny, images, monkeypatch):
    result, model = tiny(), dae_mnist.model
    Z = restore(result, images[1])
    monkeypatch.setattr(dae_mnist, 'model', lambda *args: model(*args) / 2)
    np.testing.assert_array_equal(restore(result, images[1]), Z / 2)
    assert tiny()['costs'] != result['costs']
