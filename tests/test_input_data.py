"""What the loader returns, the order of its batches, and what it says of every kind of damage."""

import gzip
import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import input_data
from conftest import DATA, NAMES, ROOT

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES


def idx(array, magic=None, shape=None):
    """The bytes of a gzipped IDX file; magic and shape may be other than the truth."""
    header = [magic or 2048 + array.ndim, *(shape or array.shape)]
    return gzip.compress(struct.pack(f'>{len(header)}I', *header) + array.tobytes(), mtime=0)


def small_set(seed=0, train=40, test=12, rows=6, columns=5):
    """{file name: array}: rows and columns differ, so that a mix-up shows."""
    generator = np.random.RandomState(seed)
    return {name: generator.randint(0, 256 if 'images' in name else 10, shape).astype(np.uint8)
            for name, shape in zip(NAMES, [(train, rows, columns), train,
                                           (test, rows, columns), test])}


SMALL = small_set()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing here may ask the internet: port 9 of this machine refuses."""
    monkeypatch.setattr(input_data, 'MIRRORS', ['http://127.0.0.1:9/'])


@pytest.fixture
def folder(tmp_path):
    """A folder with the four files of a small set."""
    for name, array in SMALL.items():
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


def read(folder, **options):
    return input_data.read_data_sets(folder, **{'validation_size': 10, **options})


# What it returns


def test_the_sets_and_their_sizes(folder):
    sets = read(folder)
    assert sets._fields == ('train', 'validation', 'test')
    assert isinstance(sets, input_data.Datasets)
    assert [s.num_examples for s in sets] == [30, 10, 12]
    assert [s.epochs_completed for s in sets] == [0, 0, 0]
    for s in sets:
        assert s.images.shape == (s.num_examples, 30) and s.images.dtype == np.float32
        assert s.labels.shape == (s.num_examples,) and s.labels.dtype == np.uint8


def test_validation_is_the_first_of_the_training_images(folder):
    sets = read(folder, dtype=np.uint8)
    images, labels = SMALL[TRAIN_IMAGES].reshape(40, 30), SMALL[TRAIN_LABELS]
    assert np.array_equal(sets.validation.images, images[:10])
    assert np.array_equal(sets.train.images, images[10:])
    assert np.array_equal(sets.validation.labels, labels[:10])
    assert np.array_equal(sets.train.labels, labels[10:])
    assert np.array_equal(sets.test.images, SMALL[TEST_IMAGES].reshape(12, 30))
    assert np.array_equal(sets.test.labels, SMALL[TEST_LABELS])


@pytest.mark.parametrize('size', [0, 40])
def test_nothing_or_all_may_be_set_apart(folder, size):
    sets = read(folder, validation_size=size)
    assert sets.validation.images.shape == (size, 30) and sets.train.images.shape == (40 - size, 30)


@pytest.mark.parametrize('size', [-1, 41])
def test_a_validation_size_that_does_not_fit(folder, size):
    with pytest.raises(ValueError, match=f'validation_size {size} .* 40 images'):
        read(folder, validation_size=size)


def test_unreshaped_images_keep_rows_and_columns(folder):
    sets = read(folder, reshape=False, dtype=np.uint8)
    assert sets.train.images.shape == (30, 6, 5, 1)
    assert np.array_equal(sets.test.images[..., 0], SMALL[TEST_IMAGES])
    assert sets.train.next_batch(7)[0].shape == (7, 6, 5, 1)


def test_one_hot_labels(folder):
    labels = read(folder, one_hot=True).test.labels
    assert labels.shape == (12, 10) and labels.dtype == np.float64
    assert np.array_equal(labels.sum(axis=1), np.ones(12))
    assert np.array_equal(labels.argmax(axis=1), SMALL[TEST_LABELS])


def test_dense_to_one_hot():
    found = input_data.dense_to_one_hot(np.array([2, 0], np.uint8), 3)
    assert found.dtype == np.float64 and found.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_scaled_pixels_have_the_bits_of_the_original():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    pixels = input_data.DataSet(values, np.zeros(1)).images
    expected = np.multiply(values.reshape(1, 256).astype(np.float32), 1.0 / 255.0)
    assert expected.dtype == np.float32 and pixels.tobytes() == expected.tobytes()


@pytest.mark.parametrize('dtype', [np.float32, 'float32', np.dtype('float32')])
def test_names_of_float32(folder, dtype):
    assert read(folder, dtype=dtype).train.images.dtype == np.float32


@pytest.mark.parametrize('dtype', [np.uint8, 'uint8', np.dtype('uint8')])
def test_uint8_keeps_the_bytes(folder, dtype):
    assert np.array_equal(read(folder, dtype=dtype).test.images.ravel(), SMALL[TEST_IMAGES].ravel())


@pytest.mark.parametrize('dtype', [np.float64, float, None, int, 'float16', 'no such type', '>f4'])
@pytest.mark.parametrize('fake', [False, True])
def test_other_dtypes_are_type_errors(tmp_path, dtype, fake):
    with pytest.raises(TypeError):  # before anything is read or downloaded
        input_data.read_data_sets(tmp_path / 'none', fake_data=fake, dtype=dtype)
    assert not (tmp_path / 'none').exists()


def test_load_mnist_reads_the_folder_given(monkeypatch):
    monkeypatch.chdir(DATA)
    assert input_data.load_mnist('sample').train.num_examples == 10000
    monkeypatch.chdir(DATA / 'sample')
    assert input_data.load_mnist('').train.num_examples == 10000


def test_load_mnist_has_the_folder_of_the_original(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match='MNIST-data'):
        input_data.load_mnist()


@pytest.mark.parametrize('form', [str, Path, lambda path: f'{path}/', os.path.relpath])
def test_forms_of_the_folder(folder, form):
    assert read(form(folder)).test.num_examples == 12


def test_a_home_folder(folder, monkeypatch):
    monkeypatch.setenv('HOME', str(folder.parent))
    monkeypatch.setenv('USERPROFILE', str(folder.parent))
    assert read(f'~/{folder.name}').test.num_examples == 12
    assert read(Path('~') / folder.name).test.num_examples == 12


def test_another_set_under_the_same_names_is_read(tmp_path):
    other = small_set(seed=5, train=30, test=9, rows=3, columns=8)
    for name, array in other.items():
        (tmp_path / name).write_bytes(idx(array))
    sets = read(tmp_path, dtype='uint8', reshape=False)
    assert np.array_equal(sets.train.images[..., 0], other[TRAIN_IMAGES][10:])
    assert np.array_equal(sets.test.labels, other[TEST_LABELS])


def test_extracting_from_open_files(folder):
    with open(folder / TRAIN_IMAGES, 'rb') as f:
        images = input_data.extract_images(f)
    assert images.shape == (40, 6, 5, 1) and images.dtype == np.uint8
    assert np.array_equal(images[..., 0], SMALL[TRAIN_IMAGES])
    with open(folder / TRAIN_LABELS, 'r+b') as f:  # a mode that could write is only read
        assert np.array_equal(input_data.extract_labels(f), SMALL[TRAIN_LABELS])
    with open(folder / TRAIN_LABELS, 'rb') as f:
        assert input_data.extract_labels(f, one_hot=True, num_classes=12).shape == (40, 12)


def test_extracting_from_a_file_opened_to_write_and_read(tmp_path):
    content = idx(SMALL[TRAIN_LABELS])
    with open(tmp_path / 'labels', 'x+b') as f:
        f.write(content)
        f.seek(0)
        assert np.array_equal(input_data.extract_labels(f), SMALL[TRAIN_LABELS])
    assert (tmp_path / 'labels').read_bytes() == content


def test_the_real_mnist(real_mnist):
    sets = input_data.read_data_sets(real_mnist)
    assert [s.images.shape for s in sets] == [(55000, 784), (5000, 784), (10000, 784)]
    assert sets.validation.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert sets.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert all(s.images.min() == 0 and s.images.max() == 1 for s in sets)
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
            calls, original(images.reshape(size, 4), labels, seed, calls)):
        batch = found.next_batch(batch_size, shuffle=shuffle)
        assert isinstance(batch, tuple)
        assert np.array_equal(batch[0], xs) and np.array_equal(batch[1], ys)
        assert found.epochs_completed == epochs


def numbered(size, **options):
    """A set whose images and labels tell their place in the file."""
    images = np.arange(size, dtype=np.uint8).reshape(size, 1, 1, 1)
    return input_data.DataSet(images, np.arange(size), dtype=np.uint8, **options)


def test_every_image_comes_once_an_epoch_and_with_its_label():
    data = numbered(10, seed=1)
    stream = []
    for _ in range(10):
        images, labels = data.next_batch(3)
        assert np.array_equal(images[:, 0], labels)
        stream += labels.tolist()
    epochs = [stream[i:i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3 and epochs[0] != sorted(epochs[0])
    assert data.epochs_completed == 2  # the third ends with the next batch, as in the original


def test_without_shuffling_batches_keep_the_order_of_the_file():
    data = numbered(10, seed=1)
    labels = np.concatenate([data.next_batch(4, shuffle=False)[1] for _ in range(5)])
    assert labels.tolist() == 2 * list(range(10))


def test_seeds(folder):
    def order(seed):
        return read(folder, seed=seed).train.next_batch(30)[1].tolist()
    assert order(3) == order(3) != order(4)
    assert order(None) != order(None)


@pytest.mark.parametrize('batch_size', [11, 1000, 0, -1])
def test_a_batch_size_that_does_not_fit(batch_size):
    data = numbered(10)
    with pytest.raises(ValueError, match=f'{batch_size} is not from 1 to 10'):
        data.next_batch(batch_size)
    assert data.next_batch(10)[0].shape == (10, 1)


def test_batches_are_copies():
    data = numbered(10, seed=2)
    for shuffle in True, False:
        images, labels = data.next_batch(4, shuffle=shuffle)
        images[:], labels[:] = 99, 99
    assert data.images[:, 0].tolist() == data.labels.tolist() == list(range(10))


def test_a_batch_does_not_copy_the_set():
    data = input_data.DataSet(np.zeros((10, 4, 4, 1), np.uint8), np.zeros(10))
    images = data.images
    for _ in range(10):
        data.next_batch(7)
    assert data.images is images


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
    (np.zeros((3, 2, 2, 1)), np.zeros(4), True),
    (np.zeros((3, 2, 2, 1)), np.zeros(4), False),
    (np.zeros((3, 2, 2, 3)), np.zeros(3), True),
    (np.zeros((3, 4)), np.zeros(3), True),
    (np.zeros((3, 2, 2)), np.zeros(3), True),
    (np.zeros(()), np.zeros(()), True),
    ([[0, 1], [2, 3]], [0, 1], True),
    ([1, 2, 3], [1, 2], False),
    ([], [], True),
])
def test_data_that_do_not_fit(images, labels, reshape):
    with pytest.raises(ValueError, match='do not fit'):
        input_data.DataSet(images, labels, reshape=reshape)


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


X, Y = SMALL[TRAIN_IMAGES], SMALL[TRAIN_LABELS]
PAGE = b'<!DOCTYPE html>\n<html><body>Please log in</body></html>\n'
DAMAGE = {
    'empty': (TRAIN_IMAGES, b'', 'is empty'),
    'gzip of nothing': (TEST_LABELS, gzip.compress(b''), 'is empty'),
    'a web page': (TRAIN_IMAGES, PAGE, r"Not a gzipped file \(b'<!'\)"),
    'a web page for labels': (TEST_LABELS, PAGE, r"Not a gzipped file \(b'<!'\)"),
    'plain text': (TEST_IMAGES, b'727 bytes', "Not a gzipped file"),
    'not compressed': (TRAIN_IMAGES, gzip.decompress(idx(X)), 'Not a gzipped file'),
    'unknown compression': (TRAIN_IMAGES, flip(idx(X), 2), 'Unknown compression method'),
    'half a file': (TRAIN_IMAGES, idx(X)[:len(idx(X)) // 2], 'is cut short'),
    'half a file of labels': (TEST_LABELS, idx(Y)[:len(idx(Y)) // 2], 'is cut short'),
    'the last byte lost': (TRAIN_IMAGES, idx(X)[:-1], 'is cut short'),
    'five bytes': (TRAIN_LABELS, idx(Y)[:5], 'is cut short'),
    'half a header': (TRAIN_IMAGES, gzip.compress(b'\0\0\x08\x03\0'), 'is cut short'),
    'wrong check sum': (TRAIN_IMAGES, flip(idx(X), -8), 'CRC check failed'),
    'wrong check sum of labels': (TEST_LABELS, flip(idx(Y), -5), 'CRC check failed'),
    'wrong length': (TRAIN_IMAGES, flip(idx(X), -4), 'Incorrect length'),
    'rot': (TRAIN_IMAGES, flip(idx(X), 600), 'does not unpack'),
    'wrong magic': (TRAIN_IMAGES, idx(X, magic=2052), 'it starts with 2052, not 2051'),
    'labels for images': (TEST_IMAGES, idx(Y), 'holds no images: it starts with 2049, not 2051'),
    'images for labels': (TEST_LABELS, idx(X), 'holds no labels: it starts with 2051, not 2049'),
    'promises more': (TRAIN_IMAGES, idx(X, shape=(41, 6, 5)), 'only 1,200 bytes .* 1,230'),
    'promises more labels': (TRAIN_LABELS, idx(Y, shape=(41,)), 'only 40 bytes .* 41'),
    'promises everything': (TRAIN_IMAGES, idx(X, shape=(2 ** 32 - 1, 6, 5)), '128,849,018,850'),
    'promises all there is': (TEST_IMAGES, idx(X, shape=3 * (2 ** 32 - 1,)), 'only 1,200 bytes'),
    'promises all labels': (TRAIN_LABELS, idx(Y, shape=(2 ** 32 - 1,)), '4,294,967,295'),
    'nothing after the header': (TRAIN_IMAGES, idx(X[:0], shape=X.shape), 'only 0 bytes'),
    'promises fewer': (TRAIN_IMAGES, idx(X, shape=(39, 6, 5)), 'more bytes .* 1,170'),
    'promises fewer labels': (TEST_LABELS, idx(Y, shape=(39,)), 'more bytes .* 39'),
    'no images': (TRAIN_IMAGES, idx(X[:0]), r'holds no images: .* \[0, 6, 5\]'),
    'no labels': (TRAIN_LABELS, idx(Y[:0]), r'holds no labels: .* \[0\]'),
    'no size': (TEST_IMAGES, idx(X[:, :0]), r'holds no images: .* \[40, 0, 5\]'),
    'label above 9': (TRAIN_LABELS, idx(np.append(Y[1:], np.uint8(10))),
                      'has a label 10, above 9'),
    'bytes after the end': (TRAIN_IMAGES, idx(X) + b'junk', 'more bytes after its end'),
    'bytes after the end of labels': (TEST_LABELS, idx(Y) + b'j', 'more bytes after its end'),
    'twice': (TRAIN_IMAGES, idx(X) + idx(X), 'more bytes of images'),
    'more labels than images': (TRAIN_LABELS, idx(Y[:39]), r'\(39,\)'),
    'fewer labels than images': (TEST_LABELS, idx(Y[:13]), r'\(13,\)'),
    'test images of other rows': (TEST_IMAGES, idx(X[:12, :5]), r'\(12, 5, 5, 1\)'),
    'test images of other columns': (TEST_IMAGES, idx(X[:12, :, :4]), r'\(12, 6, 4, 1\)'),
}


@pytest.mark.parametrize('kind', DAMAGE)
def test_damage_is_told(folder, kind):
    name, content, words = DAMAGE[kind]
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read(folder)
    message = str(caught.value)
    assert str(folder / name) in message
    assert message.endswith(' and run again.') and 'Put a good ' in message and '\n' not in message
    assert (folder / name).read_bytes() == content  # to delete it is for the person


def test_rows_and_columns_changed_round(folder):
    """5 x 6 pixels are as many bytes as 6 x 5 are, but not the same images."""
    (folder / TEST_IMAGES).write_bytes(idx(SMALL[TEST_IMAGES].reshape(12, 5, 6)))
    with pytest.raises(ValueError, match='does not fit'):
        read(folder)


def test_the_full_path_is_told(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / TEST_LABELS).write_bytes(b'')
    with pytest.raises(ValueError, match=f'^{folder / TEST_LABELS} is empty'):
        read(folder.name)


def test_a_damaged_file_without_a_name():
    with pytest.raises(ValueError, match='^The file is empty. Put a good copy'):
        input_data.extract_images(io.BytesIO())


def test_a_label_is_judged_by_the_number_of_classes():
    with pytest.raises(ValueError, match='above 2'):
        input_data.extract_labels(io.BytesIO(idx(np.array([0, 3], np.uint8))), num_classes=3)
    labels = np.array([25, 3], np.uint8)
    found = input_data.extract_labels(io.BytesIO(idx(labels)), num_classes=26)
    assert np.array_equal(found, labels)


def same_or_value_error(extract, content, expected):
    """What the loader may make of a file: what it was, or a ValueError."""
    try:
        found = extract(io.BytesIO(content))
    except ValueError as error:
        assert str(error).endswith('delete it and run again.')
    else:
        assert found.shape == expected.shape and np.array_equal(found, expected)


FILES = {
    'images': (input_data.extract_images, X[:9, :, :, np.newaxis], idx(X[:9])),
    'labels': (input_data.extract_labels, Y, idx(Y)),
}


@pytest.mark.parametrize('kind', FILES)
def test_every_flipped_bit_and_every_cut(kind):
    extract, expected, content = FILES[kind]
    for position in range(len(content)):
        same_or_value_error(extract, content[:position], expected)
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            same_or_value_error(extract, bytes(flipped), expected)


CHANGES = st.lists(st.tuples(st.sampled_from(['flip', 'cut', 'graft', 'insert']),
                             st.floats(0, 1), st.integers(1, 255), st.floats(0, 1),
                             st.sampled_from([FILES['images'][2], FILES['labels'][2], PAGE])),
                   min_size=1, max_size=4)


@settings(max_examples=3000, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(FILES)), CHANGES)
def test_flips_cuts_and_grafts(kind, changes):
    """After any of them, the same pixels or a ValueError: nothing else, and no hanging."""
    extract, expected, content = FILES[kind]
    for what, where, number, donor_where, donor in changes:
        start = int(where * len(content))
        end = min(start + number, len(content))
        donor_start = int(donor_where * len(donor))
        piece = donor[donor_start:donor_start + number]
        if what == 'flip' and start < len(content):
            piece, end = bytes([content[start] ^ number]), start + 1
        elif what == 'cut':
            piece = b''
        elif what == 'insert':
            end = start
        content = content[:start] + piece + content[end:]
    same_or_value_error(extract, content, expected)


@settings(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(FILES)), st.binary(max_size=60), st.integers(0, 20),
       st.integers(0, 70))
def test_grafts_within_the_unpacked_bytes(kind, piece, start, length):
    """A file packed again after damage has a right check sum: only the header can tell."""
    extract, expected, content = FILES[kind]
    plain = bytearray(gzip.decompress(content))
    plain[start:start + length] = piece
    header = 4 + 4 * (expected.ndim - (kind == 'images'))
    try:
        found = extract(io.BytesIO(gzip.compress(bytes(plain), compresslevel=1)))
    except ValueError as error:
        assert str(error).endswith('delete it and run again.')
    else:  # then it is what the header says, and holds what follows it
        magic, *shape = struct.unpack(f'>{header // 4}I', plain[:header])
        assert magic == (2051 if kind == 'images' else 2049)
        assert list(found.shape[:len(shape)]) == shape and found.tobytes() == plain[header:]


# Memory, and the traces that it leaves


def in_child(code, *args):
    """What a Python of its own prints, as JSON, when it runs the code in the project's folder."""
    result = subprocess.run([sys.executable, '-c', code, *map(str, args)], cwd=ROOT, timeout=120,
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


PEAK = '''
import gzip, json, sys, time
import numpy as np, input_data
def peak():
    with open('/proc/self/status') as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith('VmHWM'))
'''


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc/self/status')
@pytest.mark.parametrize('promise', [1, 2 ** 32 - 1], ids=['one image', 'four billion'])
@pytest.mark.parametrize('magic', [2051, 99])
def test_a_bomb_takes_no_memory(tmp_path, promise, magic):
    """256 MiB of zeros packed in 260 kB, or a few bytes that promise 3 terabytes."""
    packer = zlib.compressobj(1, wbits=31)
    content = packer.compress(struct.pack('>4I', magic, promise, 28, 28))
    for _ in range(256 if promise == 1 else 1):
        content += packer.compress(bytes(1 << 20))
    (tmp_path / TRAIN_IMAGES).write_bytes(content + packer.flush())
    message, grown, seconds = in_child(PEAK + '''
before, start = peak(), time.time()
try:
    with open(sys.argv[1], 'rb') as f:
        input_data.extract_images(f)
except ValueError as error:
    print(json.dumps([str(error), peak() - before, time.time() - start]))
''', tmp_path / TRAIN_IMAGES)
    assert 'delete it and run again.' in message
    assert grown < 16 << 20 and seconds < 5


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc/self/status')
@pytest.mark.parametrize('dtype', ['float32', 'uint8'])
def test_reading_takes_little_more_memory_than_the_result(dtype):
    folder = DATA / 'sample'
    unpacked = len(gzip.decompress((folder / TRAIN_IMAGES).read_bytes()))
    grown, returned = in_child(PEAK + '''
before = peak()
sets = input_data.read_data_sets(sys.argv[1], dtype=sys.argv[2])
print(json.dumps([peak() - before, sum(s.images.nbytes + s.labels.nbytes for s in sets)]))
''', folder, dtype)
    assert grown <= 1.3 * returned + unpacked


def test_global_generators_and_tensorflow_are_left_alone(folder):
    assert in_child('''
import json, random, sys
import numpy as np
np.random.seed(7), random.seed(7)
states = repr(np.random.get_state()), random.getstate()
import input_data
sets = input_data.read_data_sets(sys.argv[1], validation_size=10, seed=3)
for s in sets:
    s.next_batch(5), s.next_batch(10)
input_data.read_data_sets(sys.argv[1], validation_size=10).train.next_batch(5)
input_data.read_data_sets('', fake_data=True).train.next_batch(5)
print(json.dumps([states == (repr(np.random.get_state()), random.getstate()),
                  sorted({'tensorflow', 'scipy', 'requests'} & set(sys.modules))]))
''', folder) == [True, []]


def test_reading_prints_nothing(folder, capfd):
    state = random.getstate()
    read(folder).train.next_batch(3)
    assert capfd.readouterr() == ('', '') and random.getstate() == state
