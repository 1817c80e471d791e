"""Load MNIST, with the calls of `tensorflow.examples.tutorials.mnist.input_data`, now removed.

    import input_data
    mnist = input_data.read_data_sets('MNIST_data', one_hot=True)
    images, labels = mnist.train.next_batch(128)

Names, arguments and results are those of TensorFlow 1. What differs: it needs only NumPy, leaves
every global random generator alone, prints nothing on stdout, and trusts no file and no server.
MNIST and its file format, IDX: http://yann.lecun.com/exdb/mnist/
"""

import collections
import gzip
import hashlib
import math
import os
import queue
import struct
import sys
import threading
import urllib.request
import uuid
import zlib

import numpy as np

DEFAULT_SOURCE_URL = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
MIRRORS = DEFAULT_SOURCE_URL, 'https://ossci-datasets.s3.amazonaws.com/mnist/'
TIMEOUT, PIECE = 10, 1 << 16  # a server has 10 seconds to answer, and for each 64 KiB

TRAIN_IMAGES, TRAIN_LABELS = 'train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'
TEST_IMAGES, TEST_LABELS = 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'
DIGESTS = {  # what a download of MNIST must be: size in bytes and SHA-256
    TRAIN_IMAGES: (9912422, '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609'),
    TRAIN_LABELS: (28881, '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c'),
    TEST_IMAGES: (1648877, '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6'),
    TEST_LABELS: (4542, 'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6'),
}

Datasets = collections.namedtuple('Datasets', ['train', 'validation', 'test'])


def read_data_sets(train_dir, fake_data=False, one_hot=False, dtype=np.float32, reshape=True,
                   validation_size=5000, seed=None, source_url=DEFAULT_SOURCE_URL):
    """Read MNIST's four files, or another set's under the same names, from a folder.

    Args:
      train_dir: the folder, a string or a path. What it lacks of MNIST is downloaded into it.
      fake_data: if true, read nothing: all pixels are 1 and all labels 0.
      one_hot: if true, labels are float64 [N, 10], one 1 in each row; else uint8 [N].
      dtype: np.float32 scales pixels to [0, 1], np.uint8 keeps [0, 255]; or TensorFlow's own.
      reshape: if true, images are [N, rows * columns]; else [N, rows, columns, 1].
      validation_size: how many of the first training images are set apart.
      seed: decides the order of `next_batch`; None for a new order in each run.
      source_url: a folder on a server that has MNIST, tried alone; by default all MIRRORS are.

    Returns: Datasets(train, validation, test); for MNIST 55,000, 5,000 and 10,000 images.

    Raises:
      ValueError: a file is damaged, or files or validation_size do not fit together.
      TypeError: dtype is neither float32 nor uint8.
      OSError: a file is missing and cannot be downloaded, or cannot be read or written.
    """
    options = dict(dtype=_checked(dtype), reshape=reshape, seed=seed)
    if fake_data:
        return Datasets(*(DataSet([], [], True, one_hot, **options) for _ in range(3)))

    def read(images_name, labels_name):
        arrays = []
        for name, extract in (images_name, extract_images), (labels_name, extract_labels):
            own = source_url and source_url != DEFAULT_SOURCE_URL
            url = source_url.rstrip('/') + '/' + name if own else None
            with open(maybe_download(name, train_dir, url), 'rb') as f:
                arrays.append(extract(f))
        images, labels = arrays
        if len(images) != len(labels):
            raise _damaged(f, f'has {len(labels)} labels for {len(images)} images')
        return images, dense_to_one_hot(labels, 10) if one_hot else labels

    images, labels = read(TRAIN_IMAGES, TRAIN_LABELS)
    if not 0 <= validation_size <= len(images):
        raise ValueError(f'validation_size {validation_size} is not from 0 to {len(images)}.')
    shape = images.shape[1:]
    train = DataSet(images[validation_size:], labels[validation_size:], **options)
    validation = DataSet(images[:validation_size], labels[:validation_size], **options)
    del images  # room for the next file
    images, labels = read(TEST_IMAGES, TEST_LABELS)
    if images.shape[1:] != shape:
        raise ValueError(f'{TEST_IMAGES} in {train_dir} has images of {images.shape[1:3]} pixels, '
                         f'{TRAIN_IMAGES} of {shape[:2]}. Delete the wrong one and run again.')
    return Datasets(train, validation, DataSet(images, labels, **options))


def load_mnist(train_dir='MNIST-data'):
    """Return `read_data_sets(train_dir)`."""
    return read_data_sets(train_dir)


class DataSet:
    """`images` and `labels` in the order of the files, and batches of them in random order."""

    def __init__(self, images, labels, fake_data=False, one_hot=False, dtype=np.float32,
                 reshape=True, seed=None):
        """Take images, uint8 [N, rows, columns, 1], and N labels; the rest as in read_data_sets.

        one_hot only shapes the labels of fake_data. Raises ValueError where shapes do not fit.
        """
        dtype = _checked(dtype)
        if not fake_data:
            if len(images) != len(labels) or reshape and (images.ndim, *images.shape[3:]) != (4, 1):
                raise ValueError(f'{len(labels)} labels and images of shape {images.shape} do not '
                                 'fit: [N] and [N, rows, columns, 1] are needed.')
            if reshape:
                images = images.reshape(len(images), -1)
            if dtype == np.float32:  # multiplying, not dividing by 255, gives TensorFlow's bits
                images = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        self.images, self.labels = images, labels
        self.num_examples = 10000 if fake_data else len(images)
        self.epochs_completed = 0
        self._fake_data, self._one_hot = fake_data, one_hot
        self._random = np.random.RandomState(seed)  # the global generator is the caller's
        self._order, self._index_in_epoch = np.arange(self.num_examples), 0

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return copies of the next images and labels; each comes once an epoch.

        A batch that crosses the end takes the rest and goes on in the next epoch, which has a new
        order if shuffle is true. Raises ValueError for a batch_size outside [1, num_examples].
        """
        if fake_data or self._fake_data:
            label = [1] + [0] * 9 if self._one_hot else 0
            return [[1] * 784 for _ in range(batch_size)], [label for _ in range(batch_size)]
        if not 1 <= batch_size <= self.num_examples:
            raise ValueError(f'batch_size {batch_size} is not from 1 to {self.num_examples}.')
        if shuffle and self.epochs_completed == self._index_in_epoch == 0:
            self._shuffle()
        chosen = self._order[self._index_in_epoch:self._index_in_epoch + batch_size]
        self._index_in_epoch += batch_size
        if self._index_in_epoch > self.num_examples:
            self.epochs_completed += 1
            self._index_in_epoch -= self.num_examples
            if shuffle:
                self._shuffle()
            chosen = np.concatenate([chosen, self._order[:self._index_in_epoch]])
        return self.images[chosen], self.labels[chosen]

    def _shuffle(self):
        permutation = np.arange(self.num_examples)  # as TensorFlow did: same seed, same batches
        self._random.shuffle(permutation)
        self._order = self._order[permutation]


def extract_images(f):
    """Return the images, uint8 [N, rows, columns, 1], of an open binary file of gzipped IDX.

    Raises ValueError where the file is not exactly that.
    """
    return _read_idx(f, 2051, 3, 'images')[..., np.newaxis]


def extract_labels(f, one_hot=False, num_classes=10):
    """Return the labels, uint8 [N] or one-hot, of an open binary file of gzipped IDX.

    Raises ValueError where the file is not exactly that, or a label is not below num_classes.
    """
    labels = _read_idx(f, 2049, 1, 'labels')
    if labels.max() >= num_classes:
        raise _damaged(f, f'has a label {labels.max()}, above {num_classes - 1}')
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def dense_to_one_hot(labels_dense, num_classes):
    """Return float64 [N, num_classes]: row i is 1 in column labels_dense[i] and 0 elsewhere."""
    return np.eye(num_classes)[np.ravel(labels_dense)]


def maybe_download(filename, work_directory, source_url=None):
    """Return the path of a file in a folder; download it first if it is not there.

    source_url is the file's own address; without one, MIRRORS are tried in order. A file gets its
    name when it is complete and, for MNIST's four, has the right SHA-256. Raises OSError, which
    says what was tried and what to do.
    """
    folder = os.path.expanduser(work_directory)
    path = os.path.join(folder, filename)
    if os.path.isfile(path):
        return path
    part = f'{path}.{uuid.uuid4().hex}.part'  # in the same folder: from there a move is one step
    failures = []
    for url in [source_url] if source_url else [mirror + filename for mirror in MIRRORS]:
        try:
            os.makedirs(folder, exist_ok=True)
            with open(part, 'xb') as file:
                _download(url, file, *DIGESTS.get(filename, (None, None)))
            os.replace(part, path)
            return path
        except ConnectionError as error:
            failures.append(f'{url}: {error}')
        except OSError as error:
            raise OSError(f'Cannot write {path}: {error.strerror or error}. Make that possible, or '
                          'name another folder.') from error
        finally:
            if os.path.exists(part):
                os.remove(part)
    raise OSError(f'Cannot download {filename} ({"; ".join(failures)}). Put the four files of MNIST '
                  f'into {folder}, name another folder, or use the drawn one, MNIST_data/sample.')


def _download(url, file, size, sha256):
    """Write what url answers to file; ConnectionError if that fails or is not what it should be."""
    pieces = queue.Queue(maxsize=64)

    def read():  # in a thread: a look-up of a name, or a row of dead addresses, keeps no time-out
        try:
            request = urllib.request.Request(url, headers={'User-Agent': 'input_data.py'})
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                while piece := response.read(PIECE):
                    pieces.put(piece, timeout=TIMEOUT)
                if response.length:
                    raise ConnectionError(f'lost with {response.length:,} bytes to come')
            pieces.put(b'')
        except Exception as error:  # of many kinds, all told below
            pieces.put(error)

    threading.Thread(target=read, daemon=True).start()
    line = '\r\033[K{} {:,} bytes' if sys.stderr.isatty() else ''
    digest, count = hashlib.sha256(), 0
    try:
        for piece in iter(lambda: pieces.get(timeout=TIMEOUT), b''):
            if isinstance(piece, Exception):
                raise ConnectionError(str(piece).strip('<>') or type(piece).__name__)
            file.write(piece)
            digest.update(piece)
            count += len(piece)
            print(line.format(url, count), end='', file=sys.stderr, flush=True)
            if size and count > size:
                break
    except queue.Empty:
        raise ConnectionError(f'no answer, or a very slow one, for {TIMEOUT} s') from None
    finally:
        print(line[:4], end='', file=sys.stderr, flush=True)
    if size and (count, digest.hexdigest()) != (size, sha256):
        raise ConnectionError(f'sent {count:,} bytes, not the {size:,} of SHA-256 {sha256[:8]}...')
    file.flush()
    os.fsync(file.fileno())
    print(f'Downloaded {url} ({count:,} bytes).', file=sys.stderr)


def _read_idx(f, magic, dimensions, what):
    """Return the uint8 array [N, ...] that f, a gzipped IDX file, holds."""
    try:
        with gzip.GzipFile(fileobj=f) as stream:
            found, *shape = struct.unpack(f'>{1 + dimensions}I', stream.read(4 + 4 * dimensions))
            size, data = math.prod(shape), bytearray()
            # To the end or one piece too far, where the file's check sum stands. The header may
            # claim any size: room is taken only for what is there.
            while len(data) <= size and (piece := stream.read(1 << 20)):
                data += piece
    except (EOFError, struct.error, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(f, f'is cut short or is not in gzip format ({error})') from None
    if found != magic or size == 0 or len(data) != size:
        raise _damaged(f, f'does not hold {what}: its header says {found}, {shape} (not {magic}, or '
                          f'a 0, or not the {len(data):,} bytes that follow)')
    return np.frombuffer(data, np.uint8).reshape(shape)


def _damaged(f, what):
    return ValueError(f'{getattr(f, "name", "The file")} {what}. Delete it and run again.')


def _checked(dtype):
    """Return np.dtype float32 or uint8 from NumPy's or TensorFlow's name of it."""
    checked = np.dtype(getattr(dtype, 'as_numpy_dtype', dtype))
    if checked not in (np.float32, np.uint8):
        raise TypeError(f'dtype is {checked}: it must be float32 or uint8.')
    return checked
