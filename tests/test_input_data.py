"""What the loader returns, the order of its batches, and what it says of every kind of damage."""

import gzip
import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers import (NAMES, SAMPLE, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS,
                     ROOT, gzip_idx, idx, random_set, run_python, write_set)
from hypothesis import given, settings
from hypothesis import strategies as st

import input_data

SMALL = random_set(train=40, test=12, rows=6, columns=5)  # not square, so that a mix-up shows
X, Y = SMALL[TRAIN_IMAGES], SMALL[TRAIN_LABELS]


@pytest.fixture
def folder(tmp_path):
    """A folder with the four files of a small set."""
    return write_set(tmp_path, SMALL)


def read(folder, **options):
    return input_data.read_data_sets(folder, **{'validation_size': 10, **options})


# What it returns


@pytest.mark.parametrize('size', [10, 0, 39])
def test_the_sets_are_cut_as_in_the_original(folder, size):
    sets = read(folder, dtype=np.uint8, validation_size=size)
    assert isinstance(sets, input_data.Datasets) and sets._fields == ('train', 'validation', 'test')
    images, labels = X.reshape(40, 30), Y
    expected = [(images[size:], labels[size:]), (images[:size], labels[:size]),
                (SMALL[TEST_IMAGES].reshape(12, 30), SMALL[TEST_LABELS])]
    for found, (xs, ys) in zip(sets, expected, strict=True):
        assert found.num_examples == len(xs) and found.epochs_completed == 0
        assert found.images.dtype == found.labels.dtype == np.uint8
        assert np.array_equal(found.images, xs) and np.array_equal(found.labels, ys)


@pytest.mark.parametrize('train, size', [(40, -1), (40, 40), (40, 41), (4999, 5000), (5000, 5000)])
def test_a_validation_size_that_leaves_no_training_image(tmp_path, train, size):
    folder = write_set(tmp_path, random_set(train, 5, 2, 2))
    with pytest.raises(ValueError, match=f'^validation_size {size} .* {train} images in {folder}'):
        read(folder, validation_size=size)


def test_one_hot_labels(folder):
    labels = read(folder, one_hot=True).test.labels
    assert labels.dtype == np.float64
    assert np.array_equal(labels, np.arange(10) == SMALL[TEST_LABELS][:, np.newaxis])
    found = input_data.dense_to_one_hot(np.array([2, 0], np.uint8), 3)
    assert found.dtype == np.float64 and found.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_scaled_pixels_have_the_bits_of_the_original():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    pixels = input_data.DataSet(values, np.zeros(1)).images
    expected = np.multiply(values.reshape(1, 256).astype(np.float32), 1.0 / 255.0)
    assert expected.dtype == np.float32 and pixels.tobytes() == expected.tobytes()


@pytest.mark.parametrize('dtype', [np.float32, 'float32', np.uint8, 'uint8', np.dtype('uint8')])
def test_names_of_the_dtypes(folder, dtype):
    assert read(folder, dtype=dtype).train.images.dtype == dtype


@pytest.mark.parametrize('dtype', [np.float64, float, None, int, 'float16', 'no such type', '>f4'])
@pytest.mark.parametrize('fake', [False, True])
def test_other_dtypes_are_type_errors(tmp_path, dtype, fake):
    with pytest.raises(TypeError):  # before anything is read or downloaded
        input_data.read_data_sets(tmp_path / 'none', fake_data=fake, dtype=dtype)
    assert not (tmp_path / 'none').exists()


@pytest.mark.parametrize('form', [str, Path, '{}/'.format, os.path.relpath, '~/{0.name}'.format,
                                  lambda path: Path('~') / path.name])
def test_forms_of_the_folder(folder, form, monkeypatch):
    monkeypatch.setenv('HOME', str(folder.parent))
    monkeypatch.setenv('USERPROFILE', str(folder.parent))
    assert read(form(folder)).test.num_examples == 12


def test_extracting_from_any_binary_file():
    images = input_data.extract_images(io.BytesIO(gzip_idx(X)))
    assert images.dtype == np.uint8 and np.array_equal(images, X[..., np.newaxis])
    labels = input_data.extract_labels(io.BytesIO(gzip_idx(Y)), one_hot=True, num_classes=12)
    assert labels.shape == (40, 12) and np.array_equal(labels.argmax(axis=1), Y)


def test_the_real_mnist(real_mnist):
    sets = input_data.read_data_sets(real_mnist)
    assert [s.images.shape for s in sets] == [(55000, 784), (5000, 784), (10000, 784)]
    assert sets.validation.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert sets.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    with gzip.open(real_mnist / TRAIN_IMAGES) as f:
        pixels = np.frombuffer(f.read(), np.uint8, offset=16).reshape(60000, 784)
    assert np.array_equal(sets.train.images, pixels[5000:].astype(np.float32) * (1.0 / 255.0))


# Batches


def original(images, labels, seed, calls):
    """What TensorFlow 1 gives for these (batch_size, shuffle): it moves the data themselves."""
    state = np.random.get_state()
    np.random.seed(seed)
    start, epochs, size, batches = 0, 0, len(images), []

    def shuffled():
        permutation = np.arange(size)
        np.random.shuffle(permutation)
        return images[permutation], labels[permutation]

    for batch_size, shuffle in calls:
        if epochs == 0 and start == 0 and shuffle:
            images, labels = shuffled()
        end = start + batch_size
        if end <= size:
            batches.append((images[start:end], labels[start:end], epochs))
        else:
            epochs, end = epochs + 1, end - size
            rest = images[start:], labels[start:]
            if shuffle:
                images, labels = shuffled()
            batches.append((np.concatenate([rest[0], images[:end]]),
                            np.concatenate([rest[1], labels[:end]]), epochs))
        start = end
    np.random.set_state(state)
    return batches


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 12).flatmap(lambda size: st.tuples(
    st.just(size), st.lists(st.tuples(st.integers(1, size), st.booleans()), max_size=12))),
    st.integers(0, 2 ** 32 - 1))
def test_the_same_seed_gives_the_batches_of_the_original(size_and_calls, seed):
    size, calls = size_and_calls
    images, labels = np.arange(size * 4, dtype=np.uint8).reshape(size, 2, 2, 1), np.arange(size)
    found = input_data.DataSet(images, labels, dtype=np.uint8, seed=seed)
    for (batch_size, shuffle), (xs, ys, epochs) in zip(
            calls, original(images.reshape(size, 4), labels, seed, calls), strict=True):
        batch = found.next_batch(batch_size, shuffle=shuffle)
        assert isinstance(batch, tuple)
        assert np.array_equal(batch[0], xs) and np.array_equal(batch[1], ys)
        assert found.epochs_completed == epochs


def numbered(size, **options):
    """A set whose images and labels tell their place in the file."""
    images = np.arange(size, dtype=np.uint8).reshape(size, 1, 1, 1)
    return input_data.DataSet(images, np.arange(size), dtype=np.uint8, **options)


def test_seeds(folder):
    def order(**seed):
        return read(folder, **seed).train.next_batch(30)[1].tolist()
    assert order(seed=3) == order(seed=3) != order(seed=4)
    assert order() != order()


@pytest.mark.parametrize('batch_size', [11, 1000, 0, -1])
def test_a_batch_size_that_does_not_fit(batch_size):
    data = numbered(10)
    with pytest.raises(ValueError, match=f'{batch_size} is not from 1 to 10'):
        data.next_batch(batch_size)
    assert data.next_batch(10)[0].shape == (10, 1)


def test_batches_are_copies_and_the_set_stays_as_it_is():
    data = numbered(10, seed=2)
    before = data.images
    for shuffle in True, False, True, True:
        images, labels = data.next_batch(4, shuffle=shuffle)
        images[:], labels[:] = 99, 99
    assert data.images is before
    assert data.images[:, 0].tolist() == data.labels.tolist() == list(range(10))


def test_fake_data(tmp_path, capsys):
    sets = input_data.read_data_sets(tmp_path / 'none', fake_data=True)
    assert [s.num_examples for s in sets] == [10000] * 3 and not (tmp_path / 'none').exists()
    assert sets.train.next_batch(3, fake_data=True) == ([[1] * 784] * 3, [0] * 3)
    assert sets.train.next_batch(2) == ([[1] * 784] * 2, [0] * 2)
    sets = input_data.read_data_sets('', fake_data=True, one_hot=True)
    assert sets.test.next_batch(2, True) == ([[1] * 784] * 2, [[1] + [0] * 9] * 2)
    assert numbered(3).next_batch(2, fake_data=True) == ([[1] * 784] * 2, [0, 0])
    assert capsys.readouterr() == ('', '')


@pytest.mark.parametrize('images, labels, reshape', [
    ((3, 2, 2, 1), 4, True), ((3, 2, 2, 1), 4, False), ((3, 2, 2, 3), 3, True), ((3, 4), 3, True),
    ((3, 2, 2), 3, True), ((), (), True), ((0,), 0, True), ((3,), 2, False)])
def test_data_that_do_not_fit(images, labels, reshape):
    with pytest.raises(ValueError, match='do not fit'):
        input_data.DataSet(np.zeros(images), np.zeros(labels), reshape=reshape)


def test_a_set_built_by_the_caller():
    images = np.full((3, 2, 2, 1), 255, np.uint8)
    data = input_data.DataSet(images, np.eye(3), reshape=False)
    assert data.images.shape == (3, 2, 2, 1) and data.images.dtype == np.float32
    assert data.next_batch(2)[1].shape == (2, 3)
    assert data.images.max() == 1 and images.max() == 255
    colours = input_data.DataSet(np.zeros((3, 2, 2, 3)), np.zeros(3), reshape=False)
    assert colours.next_batch(3)[0].shape == (3, 2, 2, 3)


# Damage


def flip(content, position):
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1:]


PAGE = b'<!DOCTYPE html>\n<html><body>Please log in</body></html>\n'
DAMAGE = {  # name: (file, content, what the error says)
    'empty': (TRAIN_IMAGES, b'', "starts with b''"),
    'a web page': (TRAIN_IMAGES, PAGE, 'holds no images, it starts with'),
    'the last byte lost': (TEST_LABELS, gzip_idx(Y)[:-1], 'ended before the end-of-stream'),
    'a few bytes': (TRAIN_IMAGES, b'<html>', "holds no images, it starts with b'<html>'"),
    'half a header': (TRAIN_IMAGES, gzip.compress(b'\0\0\x08\x03\0'), 'holds no images'),
    'wrong check sum': (TRAIN_IMAGES, flip(gzip_idx(X), -8), 'CRC check failed'),
    'wrong magic': (TRAIN_IMAGES, gzip_idx(X, magic=2052), 'holds no images'),
    'wrong start': (TRAIN_IMAGES, gzip_idx(X, magic=0x01000803), 'holds no images'),
    'labels for images': (TEST_IMAGES, gzip_idx(Y), 'holds no images'),
    'images for labels': (TEST_LABELS, gzip_idx(X), 'holds no labels'),
    'promises more': (TRAIN_IMAGES, gzip_idx(X, shape=(41, 6, 5)), r'1200 into shape \(41,6,5'),
    'promises everything': (TEST_IMAGES, gzip_idx(X, shape=3 * (2 ** 32 - 1,)), 'is damaged'),
    'promises fewer': (TRAIN_IMAGES, gzip_idx(X, shape=(39, 6, 5)), 'size 1200 into shape'),
    'no images': (TRAIN_IMAGES, gzip_idx(X[:0]), 'holds no images'),
    'no size': (TEST_IMAGES, gzip_idx(X[:, :0]), 'holds no images'),
    'label 10': (TRAIN_LABELS, gzip_idx(np.append(Y[1:], np.uint8(10))), 'label is 10, above 9'),
    'bytes after the end': (TRAIN_IMAGES, gzip_idx(X) + b'junk', 'Not a gzipped file'),
    'twice': (TRAIN_IMAGES, gzip_idx(X) + gzip_idx(X), r'size \d+ into shape'),
    'more images than labels': (TRAIN_LABELS, gzip_idx(Y[:39]), r'do not fit.* \(39,\)'),
    'more labels than images': (TEST_LABELS, gzip_idx(Y[:13]), r'do not fit.* \(13,\)'),
    'other rows': (TEST_IMAGES, gzip_idx(X[:12, :5]), r'do not fit.* \(12, 5, 5, 1\)'),
    'other columns': (TEST_IMAGES, gzip_idx(X[:12, :, :4]), r'do not fit.* 6, 4, 1\)'),
    'turned round': (TEST_IMAGES, gzip_idx(X[:12].reshape(12, 5, 6)), 'do not fit'),
}


@pytest.mark.parametrize('kind', DAMAGE)
def test_damage_is_named(folder, kind, monkeypatch):
    name, content, words = DAMAGE[kind]
    (folder / name).write_bytes(content)
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ValueError, match=words) as caught:
        read(folder.name)
    assert str(folder / name) in str(caught.value) and '\n' not in str(caught.value)
    assert 'Put a good copy' in str(caught.value) or 'Replace the wrong one' in str(caught.value)
    assert (folder / name).read_bytes() == content  # to delete it is for the person


def test_a_label_is_judged_by_the_number_of_classes():
    content = gzip_idx(np.array([0, 25], np.uint8))
    assert input_data.extract_labels(io.BytesIO(content), num_classes=26).tolist() == [0, 25]
    with pytest.raises(ValueError, match='^The file .*above 24'):
        input_data.extract_labels(io.BytesIO(content), num_classes=25)


# Uncompressed files


def unpack(folder, name, dot):
    """Replace a .gz by what it holds, under one of the two uncompressed names; return the path."""
    plain = folder / name.removesuffix('.gz').replace('-idx', '.idx' if dot else '-idx')
    plain.write_bytes(gzip.decompress((folder / name).read_bytes()))
    (folder / name).unlink()
    return plain


@pytest.mark.parametrize('dot', [False, True])
@pytest.mark.parametrize('names', [NAMES, NAMES[1:3], NAMES[:1]], ids=len)
def test_uncompressed_files_are_read(folder, dot, names):
    for name in names:
        unpack(folder, name, dot)
    sets = read(folder, dtype=np.uint8, reshape=False)
    assert np.array_equal(sets.train.images, X[10:, :, :, np.newaxis])
    assert np.array_equal(sets.test.labels, SMALL[TEST_LABELS])
    assert np.array_equal(sets.test.images[..., 0], SMALL[TEST_IMAGES])


def test_where_both_are_there_the_gz_is_read(folder):
    for name, array in SMALL.items():
        (folder / name.removesuffix('.gz')).write_bytes(idx(np.zeros_like(array)))
    assert np.array_equal(read(folder).test.labels, SMALL[TEST_LABELS])


@pytest.mark.parametrize('dot', [False, True])
@pytest.mark.parametrize('content, words', [
    (b'', 'holds no images'), (PAGE, 'holds no images'), (idx(X)[:-1], 'size 1199'),
    (idx(X) + b'j', 'size 1201'), (gzip_idx(Y), 'holds no images'), (idx(Y), 'holds no images')])
def test_damage_of_uncompressed_files(folder, dot, content, words):
    path = unpack(folder, TRAIN_IMAGES, dot)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read(folder)
    assert str(caught.value).startswith(f'{path} is damaged')


# Wrong kinds of things


THINGS = {'folder': os.mkdir, 'pipe': getattr(os, 'mkfifo', None),
          'broken link': lambda path: os.symlink('nowhere', path)}


@pytest.mark.skipif(os.name != 'posix', reason='makes pipes and links')
@pytest.mark.parametrize('thing', THINGS)
@pytest.mark.parametrize('form', [TEST_LABELS, TEST_LABELS[:-3], 't10k-labels.idx1-ubyte'])
def test_a_wrong_kind_of_thing(folder, thing, form):
    (folder / TEST_LABELS).unlink()
    THINGS[thing](folder / form)
    with pytest.raises(ValueError, match='is a folder, a pipe or a broken link') as caught:
        read(folder)
    assert str(caught.value).startswith(f'{folder / form} ')


@pytest.mark.skipif(os.name != 'posix', reason='takes rights away')
def test_a_file_that_may_not_be_read(folder):
    (folder / TEST_LABELS).chmod(0)
    for parent in [folder, *folder.parents[:2]]:  # pytest's own, closed to other users
        parent.chmod(parent.stat().st_mode | 0o055)
    done = run_python('-c', '''
import os, sys, input_data
input_data.read_data_sets('', fake_data=True)  # imports what NumPy still lacks
if os.getuid() == 0:
    os.setuid(65534)
input_data.read_data_sets(sys.argv[1], validation_size=1)
''', folder, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        f"PermissionError: [Errno 13] Permission denied: '{folder / TEST_LABELS}'")


def test_the_check_sum_of_a_file_of_whole_pieces():
    content = flip(gzip_idx(np.zeros(1 << 20, np.uint8)), -8)
    with pytest.raises(ValueError, match='CRC check failed'):
        input_data.extract_labels(io.BytesIO(content))


@pytest.mark.parametrize('extract, expected', [(input_data.extract_images, X[:9]),
                                               (input_data.extract_labels, Y)])
def test_every_flipped_bit_and_every_cut(extract, expected):
    """What the loader makes of a damaged file is what it was, or a ValueError."""
    content = gzip_idx(expected)
    for i, byte in enumerate(content):
        flips = [content[:i] + bytes([byte ^ 1 << bit]) + content[i + 1:] for bit in range(8)]
        for damaged in content[:i], *flips:
            try:
                found = extract(io.BytesIO(damaged))
            except ValueError as error:
                assert str(error).endswith('delete it and run again.')
            else:
                np.testing.assert_array_equal(found.reshape(expected.shape), expected)


# Memory, and the traces that it leaves


@pytest.fixture
def traced():
    """tracemalloc, which counts the memory that Python and NumPy take, and the peak of it."""
    tracemalloc.start()
    yield tracemalloc
    tracemalloc.stop()


@pytest.mark.parametrize('magic', [2051, 99])
@pytest.mark.parametrize('promise, unpacked', [(1, 256 << 20), (2 ** 32 - 1, 1 << 20)])
def test_a_file_that_unpacks_to_too_much_takes_no_memory(promise, unpacked, magic, traced):
    header = idx(np.empty(0, np.uint8), magic, (promise, 28, 28))
    f = io.BytesIO(gzip.compress(header + bytes(unpacked), compresslevel=1))
    traced.reset_peak()
    with pytest.raises(ValueError):
        input_data.extract_images(f)
    assert traced.get_traced_memory()[1] < 16 << 20


@pytest.mark.parametrize('dtype', ['float32', 'uint8'])
def test_reading_takes_little_more_memory_than_the_result(dtype, traced):
    sets = input_data.read_data_sets(SAMPLE, dtype=dtype)
    returned = sum(s.images.nbytes + s.labels.nbytes for s in sets)
    assert traced.get_traced_memory()[1] <= returned + 1.3 * 17000 * 784  # the bytes of all images


def test_global_generators_and_tensorflow_are_left_alone(folder):
    done = run_python('-c', '''
import random, sys
import numpy as np
np.random.seed(7), random.seed(7)
states = repr(np.random.get_state()), random.getstate()
import input_data
for options in dict(seed=3), dict(), dict(fake_data=True):
    input_data.read_data_sets(sys.argv[1], validation_size=10, **options).train.next_batch(30)
print(states == (repr(np.random.get_state()), random.getstate()),
      {'tensorflow', 'scipy', 'requests'} & set(sys.modules))
''', folder, cwd=ROOT)
    assert (done.stdout, done.stderr) == ('True set()\n', '')
