"""Load MNIST as `tensorflow.examples.tutorials.mnist.input_data` did. Needs NumPy, Python 3.10+.

Here too long a batch is a ValueError, np.random.seed has no effect, and images keep their order.
"""

import collections
import hashlib
import http.client
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
DEADLINE = 600  # seconds: the longest transfer of a file; slow headers are not cut off
MAX_BYTES = 10**9  # of a file, packed or unpacked; MNIST's largest has 47 million
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
    """Return Datasets(train, validation, test): MNIST, or another set under the same file names.

    train_dir: the folder of the four files, gzipped or not. Missing files are downloaded.
    fake_data: if true, read nothing; `next_batch` gives pixels of 1 and labels of 0.
    one_hot: if true, labels are float64 [N, 10], one 1 in each row; else uint8 [N].
    dtype: np.float32 scales to [0, 1], np.uint8 keeps [0, 255]; or TensorFlow's; else TypeError.
    reshape: if true, images are [N, rows * columns]; else [N, rows, columns, 1].
    validation_size: how many of the first training images are set apart.
    seed: decides the order of `next_batch`; None for a new order in each run.
    source_url: where another set's missing files are; they are not added to MNIST's images.
    Raises OSError (network, disk) and ValueError (damage, too few images, files that do not fit).
    """
    options = dict(one_hot=one_hot, dtype=dtype, reshape=reshape, seed=seed)
    if fake_data:
        fake = DataSet([], [], fake_data=True, **options)
        return Datasets(fake, fake, fake)
    names = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS]
    paths = _complete(train_dir, names, source_url or DEFAULT_SOURCE_URL)
    images, labels = extract_images(paths[0]), extract_labels(paths[1], one_hot)
    test_images, test_labels = extract_images(paths[2]), extract_labels(paths[3], one_hot)
    if len(labels) != len(images):
        raise ValueError(f'{paths[1]}: {len(images)} labels needed, {len(labels)} found')
    if len(test_labels) != len(test_images):
        raise ValueError(f'{paths[3]}: {len(test_images)} labels needed, {len(test_labels)} found')
    if test_images.shape[1:] != images.shape[1:]:
        raise ValueError(f'{paths[2]}: {images.shape[1:]} needed, {test_images.shape[1:]} found')
    if not 0 <= validation_size <= len(images):
        raise ValueError(f'{paths[0]} holds {len(images)} images: more than {validation_size} are '
                         'needed, as so many are set apart for validation (validation_size).')
    train = DataSet(images[validation_size:], labels[validation_size:], **options)
    validation = DataSet(images[:validation_size], labels[:validation_size], **options)
    return Datasets(train, validation, DataSet(test_images, test_labels, **options))


class DataSet:
    """`images` and `labels` in the order of the files, and batches, by default in random order."""

    def __init__(self, images, labels, fake_data=False, one_hot=False, dtype=np.float32,
                 reshape=True, seed=None):
        """Take uint8 images [N, rows, columns, 1] and N labels; the rest as in read_data_sets."""
        dtype = np.dtype(getattr(dtype, 'as_numpy_dtype', dtype))  # TensorFlow's or NumPy's own
        if dtype not in (np.float32, np.uint8):
            raise TypeError(f'dtype is {dtype}: it must be float32 or uint8.')
        if reshape and not fake_data:
            images = images.reshape(len(images), images.shape[1] * images.shape[2])
        if dtype == np.float32:  # multiplying, not dividing by 255, gives TensorFlow's bits
            images = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        self.images, self.labels = images, labels
        self.num_examples = 10000 if fake_data else len(images)
        self.epochs_completed = self._index_in_epoch = 0
        self._fake_data = fake_data
        self._one_hot = one_hot
        self._random = np.random.RandomState(seed)
        self._order = np.arange(self.num_examples)

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return the next images and labels, copied; ValueError unless batch_size is in [1, N]."""
        if fake_data or self._fake_data:
            label = [1] + [0] * 9 if self._one_hot else 0
            return [[1] * 784 for _ in range(batch_size)], [label for _ in range(batch_size)]
        if not 1 <= batch_size <= self.num_examples:
            raise ValueError(f'batch_size {batch_size} is not from 1 to {self.num_examples}.')
        if shuffle and self.epochs_completed == self._index_in_epoch == 0:
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
    return _read(f, 'images')[..., np.newaxis]


def extract_labels(f, one_hot=False, num_classes=10):
    """Return uint8 [N] of an IDX file, a path or open; if one_hot, float64 [N, num_classes]."""
    labels = _read(f, 'labels')
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def dense_to_one_hot(labels_dense, num_classes=10):
    """Return float64 [N, num_classes]: row i is 1 in column labels_dense[i] and 0 elsewhere."""
    labels = np.ravel(labels_dense)
    if np.any(labels >= num_classes):
        raise ValueError(f'one_hot takes labels below {num_classes}, found {labels.max()}')
    return np.eye(num_classes)[labels]


def maybe_download(filename, work_directory, source_url=None):
    """Return the path of an IDX file; if missing, download it from source_url, its own address."""
    source_url = (source_url or DEFAULT_SOURCE_URL).removesuffix(filename)
    return str(_complete(work_directory, [filename], source_url)[0])


def _read(f, name):
    """Return the array in a file, a path or open; a ValueError names it and says what to do."""
    content = f.read() if hasattr(f, 'read') else Path(f).read_bytes()
    try:
        return _parse(content, name)
    except (ValueError, zlib.error) as error:
        raise ValueError(f'{f} cannot be used: {error}. Replace it or delete it.') from error


def _parse(content, name):
    """Return the array in IDX: 0, 0, 8, number of dimensions, each size in 4 bytes, the values."""
    if content[:2] == b'\x1f\x8b':
        unpacker = zlib.decompressobj(wbits=31)  # 31 is for gzip's header and check sum
        content = unpacker.decompress(content, MAX_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise ValueError(f'it is cut off, goes on, or has over {MAX_BYTES} bytes unpacked')
    dimensions = 3 if 'images' in name else 1
    shape = [int.from_bytes(content[4 + 4 * i:8 + 4 * i], 'big') for i in range(dimensions)]
    if content[:4] != bytes([0, 0, 8, dimensions]) or 0 in shape:
        raise ValueError(f'it holds no {name}, it starts with {bytes(content[:16])}')
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _find(folder, name):
    """Return the path of a file, gzipped or unpacked under one of two names; None if missing."""
    unpacked = name.removesuffix('.gz')
    paths = folder / name, folder / unpacked.replace('-idx', '.idx'), folder / unpacked
    return next((path for path in paths if path.is_file()), None)


def _complete(folder, names, source_url):
    """Return the paths of files in a folder; download those that are missing, if all is one set."""
    folder = Path(folder).expanduser().absolute()
    missing = [name for name in names if not _find(folder, name)]
    if missing:
        if '?' not in source_url and not source_url.endswith('/'):
            source_url += '/'
        wants_mnist = source_url.replace('http:', 'https:', 1) in MNIST_URLS
        compared = SHA256 if wants_mnist else [TRAIN_IMAGES, TEST_IMAGES]  # labels may be shared
        for name in [name for name in compared if _find(folder, name)]:
            is_mnist = hashlib.sha256(_read(_find(folder, name), name)).hexdigest() == SHA256[name]
            if is_mnist != wants_mnist:
                which = "not MNIST's, so MNIST's" if wants_mnist else "MNIST's, so another set's"
                raise ValueError(f'{folder / missing[0]} is missing, and {name} is {which} was not '
                                 'downloaded. Add the file by hand, or name another folder.')
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='download-', dir=folder) as new:
            for name in missing:
                Path(new, name).write_bytes(_fetch(folder / name, source_url, wants_mnist))
                Path(new, name).replace(folder / name)
    return [_find(folder, name) for name in names]


def _fetch(path, source_url, is_mnist):
    """Return the bytes for a path from the first address that sends a good file; else OSError."""
    sources = MIRRORS if is_mnist else [source_url]
    for url in [source + path.name for source in sources]:
        print(f'Downloading {url}', file=sys.stderr)
        content = bytearray()
        end = time.monotonic() + DEADLINE
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
                while piece := response.read1(1 << 16):
                    content += piece
                    if len(content) > MAX_BYTES or time.monotonic() > end:
                        raise ValueError(f'over {MAX_BYTES} bytes or {DEADLINE} s')
            array = _parse(content, path.name)
            if is_mnist and hashlib.sha256(array).hexdigest() != SHA256.get(path.name):
                raise ValueError("not MNIST's")
            return content
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            failure = error
    raise OSError(f'{path.name} could not be downloaded; {url}: {str(failure)!r:.200}. Put it '
                  f'into {path.parent} by hand, or name another folder.') from failure
