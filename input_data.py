"""Load MNIST, with the calls of `tensorflow.examples.tutorials.mnist.input_data`, now removed.

    import input_data
    mnist = input_data.read_data_sets('MNIST_data', one_hot=True)
    images, labels = mnist.train.next_batch(128)

Names, arguments and results are those of TensorFlow 1. What differs: it needs only NumPy, leaves
every global random generator alone, prints nothing on stdout, and trusts no file and no server.
"""

import collections
import concurrent.futures
import gzip
import hashlib
import math
import os
import struct
import sys
import threading
import urllib.request
import zlib

import numpy as np

DEFAULT_SOURCE_URL = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
MIRRORS = DEFAULT_SOURCE_URL, 'https://ossci-datasets.s3.amazonaws.com/mnist/'
TIMEOUT, PIECE = 10, 1 << 16  # a server has 10 seconds to answer, and for each 64 KiB
DIGESTS = {name: (int(size), sha256) for size, sha256, name in map(str.split, '''\
9912422 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 train-images-idx3-ubyte.gz
28881 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c train-labels-idx1-ubyte.gz
1648877 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 t10k-images-idx3-ubyte.gz
4542 f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 t10k-labels-idx1-ubyte.gz
'''.splitlines())}  # the four files of MNIST
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = DIGESTS
Datasets = collections.namedtuple('Datasets', ['train', 'validation', 'test'])


def read_data_sets(train_dir, fake_data=False, one_hot=False, dtype=np.float32, reshape=True,
                   validation_size=5000, seed=None, source_url=DEFAULT_SOURCE_URL):
    """Return Datasets(train, validation, test): MNIST, or another set under the same file names.

    Args:
      train_dir: the folder, a string or a path. What it lacks of MNIST is downloaded into it.
      fake_data: if true, read nothing: all pixels are 1 and all labels 0.
      one_hot: if true, labels are float64 [N, 10], one 1 in each row; else uint8 [N].
      dtype: np.float32 scales pixels to [0, 1], np.uint8 keeps [0, 255]; or TensorFlow's own.
      reshape: if true, images are [N, rows * columns]; else [N, rows, columns, 1].
      validation_size: how many of the first training images are set apart; 5,000 of 60,000.
      seed: decides the order of `next_batch`; None for a new order in each run.
      source_url: a folder on a server that has MNIST, tried alone; by default all MIRRORS are.

    Raises:
      ValueError: a file is damaged, or files or validation_size do not fit together.
      TypeError: dtype is neither float32 nor uint8.
      OSError: a file is missing and cannot be downloaded, or cannot be read or written.
    """
    options = dict(dtype=dtype, reshape=reshape, seed=seed)
    fakes = [DataSet([], [], True, one_hot, **options) for _ in range(3)]  # this checks options
    if fake_data:
        return Datasets(*fakes)
    own = source_url and source_url != DEFAULT_SOURCE_URL and source_url.rstrip('/') + '/'
    paths = [maybe_download(name, train_dir, own and own + name) for name in DIGESTS]
    arrays = []
    for path in paths:
        with open(path, 'rb') as f:
            arrays.append(extract_labels(f, one_hot) if len(arrays) % 2 else extract_images(f))
    for i, j, axis in (0, 1, 0), (2, 3, 0), (0, 2, 1), (0, 2, 2):  # counts, rows, columns
        if arrays[i].shape[axis] != arrays[j].shape[axis]:
            raise ValueError(f'{paths[j]} holds {arrays[j].shape}, which does not fit {paths[i]}, '
                             f'{arrays[i].shape}. Put a good one for the wrong one and run again.')
    images, labels = arrays[:2]
    if not 0 <= validation_size <= len(images):
        raise ValueError(f'validation_size {validation_size} does not fit {len(images)} images.')
    train = DataSet(images[validation_size:], labels[validation_size:], **options)
    validation = DataSet(images[:validation_size], labels[:validation_size], **options)
    return Datasets(train, validation, DataSet(*arrays[2:], **options))


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
        dtype = np.dtype(getattr(dtype, 'as_numpy_dtype', dtype))  # TensorFlow's or NumPy's own
        if dtype not in (np.float32, np.uint8):
            raise TypeError(f'dtype is {dtype}: it must be float32 or uint8.')
        if not fake_data:
            images, labels = np.atleast_1d(images, labels)
            if images.shape[:1] != labels.shape[:1] or reshape and images.shape[3:] != (1,):
                raise ValueError(f'Images {images.shape} and labels {labels.shape} do not fit: '
                                 'they must be [N, rows, columns, 1] and [N].')
            if reshape:
                images = images.reshape(len(images), math.prod(images.shape[1:]))
            if dtype == np.float32:  # multiplying, not dividing by 255, gives TensorFlow's bits
                images = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        self.images, self.labels = images, labels
        self.num_examples = 10000 if fake_data else len(images)
        self.epochs_completed = self._index_in_epoch = 0
        self._fake_data, self._one_hot = fake_data, one_hot
        self._random = np.random.RandomState(seed)  # the global generator is the caller's
        self._order = np.arange(self.num_examples)

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
            self._order = self._random.permutation(self._order)
        chosen = self._order[self._index_in_epoch:self._index_in_epoch + batch_size]
        self._index_in_epoch += batch_size
        if self._index_in_epoch > self.num_examples:
            self.epochs_completed += 1
            self._index_in_epoch -= self.num_examples
            if shuffle:
                self._order = self._random.permutation(self._order)
            chosen = np.concatenate([chosen, self._order[:self._index_in_epoch]])
        return self.images[chosen], self.labels[chosen]


def extract_images(f):
    """Return uint8 [N, rows, columns, 1] from a binary file of gzipped IDX, else ValueError."""
    return _read_idx(f, 2051, 3, 'images')[..., np.newaxis]


def extract_labels(f, one_hot=False, num_classes=10):
    """Return uint8 [N], all below num_classes, or one-hot float64 [N, num_classes], likewise."""
    labels = _read_idx(f, 2049, 1, 'labels', num_classes)
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def dense_to_one_hot(labels_dense, num_classes):
    """Return float64 [N, num_classes]: row i is 1 in column labels_dense[i] and 0 elsewhere."""
    return np.eye(num_classes)[np.ravel(labels_dense)]


def maybe_download(filename, work_directory, source_url=None):
    """Return the path of a file in a folder; download it first if it is not there.

    source_url is the file's own address; without one, MIRRORS are tried in order. It gets its name
    once it is complete and, for MNIST's four, has the right SHA-256. Raises OSError if that fails.
    """
    folder = os.path.abspath(os.path.expanduser(work_directory))
    path = os.path.join(folder, filename)
    if os.path.isfile(path):
        return path
    part = f'{path}.{os.urandom(8).hex()}.part'  # in the same folder, to be moved in one step
    failures = []
    for url in [source_url] if source_url else [mirror + filename for mirror in MIRRORS]:
        try:
            if not os.path.exists(folder):
                os.makedirs(folder, exist_ok=True)
            with open(part, 'xb') as file:
                _download(url, file, *DIGESTS.get(filename, (None, None)))
            os.replace(part, path)
            return path
        except ConnectionError as error:
            failures.append(f'{url}: {error}')
        except OSError as error:
            raise OSError(f'Cannot write {path}: {error.strerror}. Name another folder.') from error
        finally:
            if os.path.exists(part):
                os.remove(part)
    raise OSError(f'Cannot download {filename} ({"; ".join(failures)}). Put the four files into '
                  f'{folder} by hand, name another folder, or use the drawn MNIST_data/sample.')


def _download(url, file, size, sha256):
    """Write what url answers to file; ConnectionError if that fails or is not what it should be."""
    stderr = sys.stderr or open(os.devnull, 'w')  # it is None where there is no console
    digest, count = hashlib.sha256(), 0
    response = _ask(urllib.request.urlopen, url, None, TIMEOUT)
    while (not size or count <= size) and (piece := _ask(response.read, PIECE)):
        file.write(piece)
        digest.update(piece)
        count += len(piece)
        if size and stderr.isatty():  # a line that the next one covers, whatever that is
            print(f'{os.path.basename(url)} {count / size:.0%}', end='\r', file=stderr, flush=True)
    if size and (count, digest.hexdigest()) != (size, sha256):
        raise ConnectionError(f'sent {count:,} bytes, not the {size:,} of SHA-256 {sha256[:8]}...')
    if getattr(response, 'length', None):
        raise ConnectionError(f'lost with {response.length:,} bytes to come')
    file.flush()
    os.fsync(file.fileno())
    print(f'Downloaded {url} ({count:,} bytes).', file=stderr)


def _ask(call, *args):
    """Return call(*args), which asks a server; ConnectionError if it fails or needs too long."""
    future = concurrent.futures.Future()

    def run():  # in a thread: a look-up of a name has no time-out, nor has a slow drip
        try:
            future.set_result(call(*args))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(TIMEOUT)
    except Exception as error:  # of many kinds; only a time-out says nothing
        why = str(error).strip('<>') or f'no answer, or a very slow one, for {TIMEOUT} s'
        raise ConnectionError(''.join(filter(str.isprintable, why))[:200]) from error


def _read_idx(f, magic, dimensions, what, limit=256):
    """Return uint8 [N, ...], all below limit, of an IDX file: http://yann.lecun.com/exdb/mnist/"""
    header, data = None, bytearray()
    try:
        with gzip.GzipFile(fileobj=f, mode='rb') as stream:
            header = stream.read(4 + 4 * dimensions)
            found, *shape = struct.unpack(f'>{1 + dimensions}I', header)
            size = math.prod(shape) if found == magic else 0
            # To the end, where the check sum is; in pieces, as a header may promise any size.
            while len(data) <= size and (piece := stream.read(1 << 20)):
                data += piece
    except (EOFError, struct.error):
        wrong = 'is empty' if header == b'' else 'is cut short'
    except (zlib.error, gzip.BadGzipFile) as error:
        more = header and 'Not a gzip' in str(error)  # gzip looks for a second part
        wrong = 'has more bytes after its end' if more else f'does not unpack: {error}'
    else:
        if found != magic:
            wrong = f'holds no {what}: it starts with {found}, not {magic}'
        elif size == 0:
            wrong = f'holds no {what}: its header promises {shape}'
        elif len(data) != size:
            there = 'more' if len(data) > size else f'only {len(data):,}'
            wrong = f'holds {there} bytes of {what}, its header promises {size:,}'
        elif (array := np.frombuffer(data, np.uint8)).max() >= limit:
            wrong = f'has a label {array.max()}, above {limit - 1}'
        else:
            return array.reshape(shape)
    raise ValueError(f'{getattr(f, "name", "The file")} {wrong}. Put a good copy in its place; or, '
                     "if it is MNIST's, delete it and run again.")
