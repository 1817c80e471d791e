"""What the loader returns, to old scripts too, the order of its batches, what it says of damage."""

import gzip
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import (NAMES, ROOT, SAMPLE, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS,
                     finish, gzip_idx, idx, python, random_set, write_set)

import input_data

SMALL = random_set(train=40, test=12, rows=6, columns=5)  # not square, so that a mix-up shows
X, Y, TEST_X, TEST_Y = (SMALL[name] for name in NAMES)


@pytest.fixture
def folder(tmp_path):
    return write_set(tmp_path / 'my_images', SMALL)


def read(folder, **options):
    return input_data.read_data_sets(folder, **{'validation_size': 10, **options})


@pytest.mark.parametrize('size', [0, 10, 39, 40])
def test_the_sets_are_cut_as_in_the_original(folder, size):
    sets = read(folder, dtype=np.uint8, validation_size=size)
    assert isinstance(sets, input_data.Datasets) and sets._fields == ('train', 'validation', 'test')
    expected = (X[size:], Y[size:]), (X[:size], Y[:size]), (TEST_X, TEST_Y)
    for found, (xs, ys) in zip(sets, expected, strict=True):
        assert found.num_examples == len(xs) and found.epochs_completed == 0
        assert found.images.dtype == found.labels.dtype == np.uint8
        assert np.array_equal(found.images, xs.reshape(len(xs), 30))
        assert np.array_equal(found.labels, ys)


def test_by_default_5000_are_set_apart_and_images_are_scaled(folder):
    with pytest.raises(ValueError, match=f'{TRAIN_IMAGES} has 40 images, .* 5000 apart. .* to 40'):
        input_data.read_data_sets(folder)
    scaled = X.reshape(40, 30).astype(np.float32) * np.float32(1 / 255)  # as in TensorFlow 1
    for found in read(folder, validation_size=0).train, input_data.DataSet(X[..., np.newaxis], Y):
        assert found.images.dtype == np.float32 and found.images.flags.writeable
        assert np.array_equal(found.images, scaled)
    assert all(part.images.dtype == np.float32 for part in read(folder))


@pytest.mark.parametrize('options, error, words', [
    ({'dtype': np.float64}, TypeError, 'float64, but must be float32 or uint8'),
    ({'validation_size': -1}, ValueError, 'validation_size sets -1 apart'),
    ({'validation_size': 41}, ValueError, 'validation_size sets 41 apart'),
    ({'fake_data': True}, ValueError, 'fake_data=True .* Leave it out')])
def test_a_wrong_argument_is_told(folder, options, error, words):
    with pytest.raises(error, match=words):
        read(folder, **options)


def test_one_hot_labels(folder):
    for found, labels in zip(read(folder, one_hot=True), [Y[10:], Y[:10], TEST_Y]):
        assert found.labels.dtype == np.float64 and np.array_equal(found.labels, np.eye(10)[labels])
    assert np.array_equal(input_data.dense_to_one_hot(Y), np.eye(10)[Y])
    assert input_data.dense_to_one_hot([[2], [0]], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    write_set(folder, {TRAIN_LABELS: Y + np.uint8(16)})  # not digits, but labels
    assert np.array_equal(read(folder).train.labels, Y[10:] + 16)
    with pytest.raises(ValueError, match='from 16 to 25, .*Leave'):
        input_data.extract_labels(folder / TRAIN_LABELS, True, num_classes=25)
    found = input_data.extract_labels(folder / TRAIN_LABELS, True, num_classes=26)
    assert np.array_equal(found, np.eye(26)[Y + 16])


@pytest.mark.parametrize('labels, words', [
    ([-1, 9], 'from -1 to 9, .* from 0 to 9. Leave one_hot off'),
    (np.eye(10, dtype=int), r'\(10, 10\), .* leave them so'),
    ([True, False], r'bool, not integers. Use labels.astype\(int\)')])
def test_labels_that_cannot_be_made_one_hot(labels, words):
    with pytest.raises(ValueError, match=words):
        input_data.dense_to_one_hot(labels)


def original(size, seed, calls):
    """Yield what TensorFlow 1 gives for these (batch_size, shuffle): it moves the data."""
    random, data = np.random.RandomState(seed), np.arange(size)
    start, epochs = 0, 0
    for batch_size, shuffle in calls:
        if epochs == 0 and start == 0 and shuffle:
            data = data[random.permutation(size)]
        batch = data[start:start + batch_size]
        start += batch_size
        if start > size:
            epochs, start = epochs + 1, start - size
            if shuffle:
                data = data[random.permutation(size)]
            batch = np.concatenate([batch, data[:start]])
        yield batch.tolist(), epochs


def test_the_same_seed_gives_the_batches_of_the_original():
    for seed in range(200):
        random = np.random.RandomState(seed)
        size = random.randint(1, 13)
        calls = [(random.randint(1, size + 1), random.rand() < 0.7) for _ in range(12)]
        images = np.arange(size, dtype=np.uint8).reshape(size, 1, 1, 1)
        found = input_data.DataSet(images, np.arange(size), dtype=np.uint8, seed=seed)
        for (batch_size, shuffle), expected in zip(calls, original(size, seed, calls)):
            xs, ys = found.next_batch(batch_size, shuffle=shuffle)
            assert (ys.tolist(), found.epochs_completed) == expected
            assert xs.ravel().tolist() == ys.tolist()
            xs[:] = ys[:] = 99  # copies: neither the set nor later batches change
        assert found.images.ravel().tolist() == found.labels.tolist() == list(range(size))
        with pytest.raises(ValueError, match=f'{size} images cannot have {size + 1} labels'):
            input_data.DataSet(images, np.arange(size + 1))
        for batch_size in 0, size + 1:
            with pytest.raises(ValueError, match=f'{batch_size}, not from 1 to {size}'):
                found.next_batch(batch_size)
        with pytest.raises(ValueError, match='fake_data=True .* Leave it out'):
            found.next_batch(1, True)


def test_a_seed_decides_the_order_of_each_set(folder):
    state = repr(np.random.get_state())
    for seeds in (3, 3), (3, 4), (None, None):
        firsts = [[part.next_batch(10)[0].tolist() for part in read(folder, seed=seed)]
                  for seed in seeds]
        assert [a == b for a, b in zip(*firsts)] == [seeds == (3, 3)] * 3
    assert repr(np.random.get_state()) == state  # the global generator is the caller's


@pytest.mark.parametrize('name, content, words', [
    (TRAIN_IMAGES, b'<!DOCTYPE html><title>Sign in', "b'<!DOCTYPE html><titl', not with"),
    (TEST_LABELS, bytes([0, 0, 8]), 'x08\', not'),
    (TRAIN_IMAGES, bytes([0, 0, 13, 3]) + idx(X)[4:], 'x00.x00.r.x03'),  # floats
    (TRAIN_IMAGES, bytes([0, 1, 8, 3]) + idx(X)[4:], 'x00.x01.x08.x03'),
    (TEST_LABELS, gzip_idx(TEST_Y)[:-1], 'gzip says: Compressed file ended before'),
    (TRAIN_IMAGES, gzip_idx(X)[:-8] + bytes(8), 'gzip says: CRC check failed'),
    (TRAIN_IMAGES, gzip_idx(X)[:10] + b'\xff' * 99, 'gzip says: Error -3 while decompressing'),
    (TRAIN_IMAGES, gzip_idx(X) + gzip_idx(X), 'needs 1216 bytes, but 2432 were'),
    (TRAIN_IMAGES, gzip_idx(X, shape=(2**31, 2**31, 5)), f'needs {5 * 2**62 + 16} bytes, but 1216'),
    (TEST_IMAGES, gzip_idx(X[:, :0]), r'empty: its shape is \[40, 0, 5\]')],
    ids=lambda value: value if isinstance(value, str) else 'bytes')
def test_damage_is_named(folder, name, content, words):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read(folder)
    told = str(caught.value)
    assert told.startswith(f'{folder / name} cannot be used: ') and told.endswith('. Replace it.')


def test_the_number_of_dimensions_is_checked(folder):
    for name, other, words in (TEST_IMAGES, TEST_Y, '1 .* not 3'), (TEST_LABELS, X, '3 .* not 1'):
        write_set(folder, {**SMALL, name: other})
        with pytest.raises(ValueError, match=f'{folder / name} has {words}. Replace it'):
            read(folder)


@pytest.mark.parametrize('name, array, words', [
    (TRAIN_LABELS, Y[:39], f'{TRAIN_IMAGES} has 40 images, .*{TRAIN_LABELS} has 39 labels'),
    (TEST_LABELS, Y[:13], f'{TEST_IMAGES} has 12 images, .*{TEST_LABELS} has 13 labels'),
    (TEST_IMAGES, X[:12, :, :4], f'{TRAIN_IMAGES} and .*{TEST_IMAGES} have images of different'),
    (TEST_IMAGES, X[:12, :4], f'{TRAIN_IMAGES} and .*{TEST_IMAGES} have images of different')],
    ids=['train labels', 'test labels', 'columns', 'rows'])
def test_files_that_do_not_fit_are_both_named(folder, name, array, words):
    write_set(folder, {name: array})
    with pytest.raises(ValueError, match=words):
        read(folder)


def test_uncompressed_files_and_which_is_read(folder):
    for name, plain in (TRAIN_IMAGES, 'train-images.idx3-ubyte'), (TEST_LABELS, TEST_LABELS[:-3]):
        (folder / plain).write_bytes(gzip.decompress((folder / name).read_bytes()))
        (folder / name).unlink()
    (folder / TRAIN_LABELS[:-3]).write_bytes(idx(np.zeros_like(Y)))  # the .gz comes first
    (folder / TRAIN_IMAGES[:-3]).mkdir()  # as some archives unpack: the search goes on
    for form in str, Path, lambda path: io.BytesIO(path.read_bytes()):
        assert np.array_equal(input_data.extract_images(form(folder / TEST_IMAGES))[..., 0], TEST_X)
    sets = read(folder, dtype='uint8', reshape=False)
    for found, xs, ys in (sets.train, X[10:], Y[10:]), (sets.test, TEST_X, TEST_Y):
        assert np.array_equal(found.images, xs[..., np.newaxis])
        assert np.array_equal(found.labels, ys)


SCRIPT = '''
import sys
import input_data
assert 'tensorflow' not in sys.modules
import tensorflow.compat.v1 as tf
mnist = input_data.read_data_sets('MNIST_data', one_hot=True)
xs, ys = mnist.train.next_batch(100, fake_data=False)
assert xs.shape == (100, 784) and ys.shape == (100, 10)
images = input_data.read_data_sets('MNIST_data', dtype=tf.uint8).train.images
assert images.dtype == 'uint8' and images.max() == 255
'''


def test_a_script_written_for_tensorflow_1(tmp_path):
    shutil.copy(ROOT / 'input_data.py', tmp_path)
    shutil.copytree(SAMPLE, tmp_path / 'MNIST_data')
    run = finish(python('-c', SCRIPT, cwd=tmp_path))
    assert run.status == 0, run.err
