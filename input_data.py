"""Load MNIST, or another set in its format, as TensorFlow 1's `input_data` did.

Save this file beside your script, and `import input_data` in place of TensorFlow's. What differs:
- A batch longer than the set is a ValueError. TensorFlow's gave fewer images than asked for.
- `np.random.seed` has no effect. The argument `seed` decides the order of the batches.
- `images` and `labels` keep the order of the files. TensorFlow's `next_batch` reordered them.
"""

import collections
import gzip
import hashlib
import http.client
import io
import math
import sys
import tempfile
import time
import urllib.request
import zlib
from pathlib import Path

import numpy as np

DEFAULT_SOURCE_URL = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
MIRRORS = (DEFAULT_SOURCE_URL, 'https://ossci-datasets.s3.amazonaws.com/mnist/')
MNIST_URLS = (*MIRRORS, 'https://yann.lecun.com/exdb/mnist/')  # the last was MNIST's home page
TIMEOUT = 10  # seconds: the longest silence of a server
DEADLINE = 600  # seconds: the longest transfer of a file, after its headers
MAX_BYTES = 10**9  # of a download, and of a file's values; MNIST's largest file has 47 million
TRAIN_IMAGES, TRAIN_LABELS = 'train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'
TEST_IMAGES, TEST_LABELS = 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'
SHA256 = {  # of MNIST's pixels and labels: unpacked, without the header
    TRAIN_IMAGES: '741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757',
    TRAIN_LABELS: '1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13',
    TEST_IMAGES: '6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161',
    TEST_LABELS: 'ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5',
}

Datasets = collections.namedtuple('Datasets', ['train', 'validation', 'test'])


def read_data_sets(train_dir, fake_data=False, one_hot=False, dtype=np.float32, reshape=True,
                   validation_size=5000, seed=None, source_url=DEFAULT_SOURCE_URL):
    """Return Datasets(train, validation, test) of MNIST, or of another set under its file names.

    Example: images, labels = read_data_sets('MNIST_data').train.next_batch(100)
    train_dir: the folder of four files. Missing ones are downloaded, if that mixes no two sets.
    fake_data: if true, nothing is read; `next_batch` gives lists: pixels of 1 and labels of 0.
    one_hot: if true, labels are float64 [N, 10], one 1 in each row; else uint8 [N], read-only.
    dtype: np.float32 for pixels in [0, 1], np.uint8 for [0, 255], read-only; or TensorFlow's.
    reshape: if true, images are [N, rows * columns]; else [N, rows, columns, 1].
    validation_size: how many of the first training images are set apart, from 0 to all.
    seed: decides the order of `next_batch`; None for a new order in each run.
    source_url: where missing files come from. If it is MNIST's own, its mirrors are tried next.
    Raises OSError (network, disk), TypeError (dtype), ValueError (other arguments, files).
    """
    if validation_size < 0:
        raise ValueError(f'validation_size {validation_size} must be from 0 to all the images.')
    options = dict(one_hot=one_hot, dtype=dtype, reshape=reshape, seed=seed)
    fake = DataSet([], [], fake_data=True, **options)  # checks dtype and seed before a download
    if fake_data:
        return Datasets(fake, fake, fake)
    paths = _complete(train_dir, SHA256, source_url or DEFAULT_SOURCE_URL)
    images, labels = _read_pair(paths[0], paths[1], one_hot)
    test_images, test_labels = _read_pair(paths[2], paths[3], one_hot)
    if images.shape[1:] != test_images.shape[1:]:
        raise ValueError(f'{paths[0]} and {paths[2]} have images of different sizes. Replace one.')
    if validation_size > len(images):
        raise ValueError(f'{paths[0]} has fewer images than validation_size, {validation_size}.')
    train = DataSet(images[validation_size:], labels[validation_size:], **options)
    validation = DataSet(images[:validation_size], labels[:validation_size], **options)
    return Datasets(train, validation, DataSet(test_images, test_labels, **options))


class DataSet:
    """Batches of uint8 images [N, rows, columns, 1] and N labels; one_hot is for fake data only."""

    def __init__(self, images, labels, fake_data=False, one_hot=False, dtype=np.float32,
                 reshape=True, seed=None):
        dtype = np.dtype(getattr(dtype, 'as_numpy_dtype', dtype))  # TensorFlow's or NumPy's own
        if dtype not in (np.float32, np.uint8):
            raise TypeError(f'dtype is {dtype}: it must be float32 or uint8.')
        if len(images) != len(labels):
            raise ValueError(f'{len(images):,} images cannot have {len(labels):,} labels.')
        if reshape and not fake_data:
            images = images.reshape(len(images), images.shape[1] * images.shape[2])
        if dtype == np.float32:  # multiplied, as in TensorFlow's: dividing rounds differently
            images = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        self.images, self.labels = images, labels
        self.num_examples = 10000 if fake_data else len(images)
        self.epochs_completed = self._index_in_epoch = 0
        self._fake_data = fake_data
        self._fake_label = [1] + [0] * 9 if one_hot else 0
        self._random = np.random.RandomState(seed)
        self._order = np.arange(self.num_examples)

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return the next batch_size images and labels, copied; shuffle=False repeats an order."""
        if fake_data or self._fake_data:
            return [[1] * 784 for _ in range(batch_size)], [self._fake_label] * batch_size
        if not 1 <= batch_size <= self.num_examples:
            raise ValueError(f'batch_size {batch_size} is not from 1 to {self.num_examples}.')
        if shuffle and self._index_in_epoch == 0:  # before the first batch; later it is never 0
            self._order = self._random.permutation(self._order)
        chosen = self._order[self._index_in_epoch:self._index_in_epoch + batch_size]
        self._index_in_epoch += batch_size
        if self._index_in_epoch > self.num_examples:  # the batch goes on in the next epoch
            self.epochs_completed += 1
            self._index_in_epoch -= self.num_examples
            if shuffle:
                self._order = self._random.permutation(self._order)
            chosen = np.concatenate([chosen, self._order[:self._index_in_epoch]])
        return self.images[chosen], self.labels[chosen]


def extract_images(f):
    """Return uint8 [N, rows, columns, 1] of an IDX file, a path or open; or ValueError."""
    return _read(f, 3)[..., np.newaxis]


def extract_labels(f, one_hot=False, num_classes=10):
    """Return uint8 [N] of an IDX file, a path or open; if one_hot, float64 [N, num_classes]."""
    labels = _read(f, 1)
    return dense_to_one_hot(labels, num_classes, source=f) if one_hot else labels


def dense_to_one_hot(labels_dense, num_classes=10, source='labels_dense'):
    """Return float64 [N, num_classes]: row i is 1 in column labels_dense[i] and 0 elsewhere."""
    labels = np.ravel(labels_dense)
    if np.any(labels < 0) or np.any(labels >= num_classes):
        raise ValueError(f'{source} has labels from {labels.min()} to {labels.max()}, not 0 to '
                         f'{num_classes - 1}. Leave one_hot off; extract_labels takes num_classes.')
    return np.eye(num_classes)[labels]


def maybe_download(filename, work_directory, source_url=None):
    """Return the path of an IDX file, downloaded if missing. source_url: its, or its folder's."""
    source_url = (source_url or DEFAULT_SOURCE_URL).removesuffix(filename)
    return str(_complete(work_directory, [filename], source_url)[0])


def _read_pair(images_path, labels_path, one_hot):
    """Return the images and the labels in two files; a ValueError names both if they differ."""
    images, labels = extract_images(images_path), extract_labels(labels_path, one_hot)
    if len(images) != len(labels):
        raise ValueError(f'{images_path} has {len(images):,} images, {labels_path} has '
                         f'{len(labels):,} labels: one of them is of another set or cut.')
    return images, labels


def _read(f, dimensions):
    """Return the array in an IDX file, a path or open; a ValueError names the file."""
    content = f.read() if hasattr(f, 'read') else Path(f).read_bytes()
    try:
        return _parse(content, dimensions)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f'{f} cannot be used: {error}. Replace it or delete it.') from error


def _parse(content, dimensions):
    """Return the array in IDX: 0, 0, 8, number of dimensions, each size in 4 bytes, the values."""
    file = io.BytesIO(content)
    file = gzip.GzipFile(fileobj=file) if content[:2] == b'\x1f\x8b' else file
    start = file.read(4)
    if start != bytes([0, 0, 8, dimensions]):
        raise ValueError(f'it starts with {start}, not with bytes 0, 0, 8, {dimensions}')
    shape = [int.from_bytes(file.read(4), 'big') for _ in range(dimensions)]
    needed = math.prod(shape)
    if not 0 < needed <= MAX_BYTES:
        raise ValueError(f'its header needs {needed:,} values, not from 1 to {MAX_BYTES:,}')
    values = file.read(needed + 1)  # one more: finds a surplus, and lets gzip check its sum
    if len(values) != needed:
        raise ValueError(f'its header needs {needed:,} values, and {len(values):,} were read')
    return np.frombuffer(values, np.uint8).reshape(shape)


def _find(folder, name):
    """Return the path of a file, gzipped or unpacked under one of two names; None if missing."""
    unpacked = name.removesuffix('.gz')
    paths = folder / name, folder / unpacked.replace('-idx', '.idx'), folder / unpacked
    return next((path for path in paths if path.is_file()), None)


def _complete(folder, names, source_url):
    """Return the paths of files in a folder; those that are missing are downloaded, all or none."""
    folder = Path(folder).expanduser().absolute()
    missing = [folder / name for name in names if not _find(folder, name)]
    if missing:
        source_url = source_url.rstrip('/') + '/'
        from_mnist = source_url.replace('http:', 'https:', 1) in MNIST_URLS
        addresses = [source_url, *MIRRORS] if from_mnist else [source_url]
        limits = _rule(folder, missing[0], from_mnist)
        with _temporary_folder(folder) as new:
            for path in missing:
                Path(new, path.name).write_bytes(_download(path, addresses, *limits))
            for path in missing:
                _move(Path(new, path.name), path)
    return [_find(folder, name) for name in names]


def _rule(folder, missing, from_mnist):
    """Return two limits on what may be added to a folder: only_mnist and no_mnist_images.

    From MNIST's own addresses: only MNIST's files; ValueError if a file that is there is not.
    From another address:
    - where an image file of MNIST's is there: only MNIST's files;
    - where other images are there: all except MNIST's images;
    - where no images are there: all. Labels do not count, since sets made from MNIST share them.
    """
    there = [name for name in SHA256 if _find(folder, name)]
    arrays = {name: _read(_find(folder, name), 3 if 'idx3' in name else 1) for name in there}
    mnist = [name for name in there if hashlib.sha256(arrays[name]).hexdigest() == SHA256[name]]
    others = [name for name in there if name not in mnist]
    if from_mnist and others:
        raise ValueError(f"{missing} is missing. MNIST's was not downloaded, as {others[0]} is not "
                         "MNIST's. Put the set's own there, or name another folder.")
    only_mnist = from_mnist or any('images' in name for name in mnist)
    no_mnist_images = any('images' in name for name in others)
    return only_mnist, no_mnist_images


def _download(path, addresses, only_mnist, no_mnist_images):
    """Return the bytes for a path from the first address that sends a good file; else OSError."""
    reasons = ''
    for address in dict.fromkeys(addresses):  # each once
        url = address + path.name
        print(f'Downloading {url}', file=sys.stderr)
        try:
            content = _fetch(url)
            array = _parse(content, 3 if 'idx3' in path.name else 1)
            is_mnist = hashlib.sha256(array).hexdigest() == SHA256.get(path.name)
            if only_mnist and not is_mnist:
                raise ValueError("it is not MNIST's")
            if no_mnist_images and is_mnist and array.ndim == 3:
                raise ValueError("it is MNIST's, and the folder has images of another set")
            return content
        except (OSError, EOFError, http.client.HTTPException, ValueError, zlib.error) as error:
            reasons += f'  {url}: {error!r}\n'  # !r, as a server may send control characters
    raise OSError(f'{path.name} could not be downloaded:\n{reasons}Save it by hand as {path}.')


def _fetch(url):
    """Return the bytes at an address; ValueError if they are too many, or come too slowly."""
    content = bytearray()
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        end = time.monotonic() + DEADLINE
        while piece := response.read1(1 << 16):
            content += piece
            if len(content) > MAX_BYTES:
                raise ValueError(f'it has more than {MAX_BYTES:,} bytes')
            if time.monotonic() > end:
                raise ValueError(f'it takes more than {DEADLINE} seconds')
    return bytes(content)


def _temporary_folder(folder):
    """Make a folder if it is new, and in it one that is removed after use, or stays if killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix='download-', dir=folder)
    except OSError as error:
        raise OSError(f'{folder} cannot be written: {error.strerror}. Use another.') from error


def _move(file, path):
    """Move a file to a path, unless another run has put it there; ValueError if that differs."""
    if not path.exists():
        file.replace(path)
    elif path.read_bytes() != file.read_bytes():
        raise ValueError(f'Another run has put another {path}. Use another folder.')
