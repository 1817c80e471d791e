"""Load MNIST, with the calls of `tensorflow.examples.tutorials.mnist.input_data`, now removed.

    import input_data
    mnist = input_data.read_data_sets('MNIST_data', one_hot=True)
    images, labels = mnist.train.next_batch(128)

Names, arguments and results are those of TensorFlow 1, but NumPy is enough, and files are checked.
"""

import collections
import contextlib
import gzip
import hashlib
import io
import math
import os
import sys
import time
import urllib.request
import zlib
from pathlib import Path

import numpy as np

DEFAULT_SOURCE_URL = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
MIRRORS = DEFAULT_SOURCE_URL, 'https://ossci-datasets.s3.amazonaws.com/mnist/'
TIMEOUT, DEADLINE = 10, 600  # seconds: longest silence of a server, longest transfer of a file
SHA256 = {  # of the pixels or labels in MNIST's files: uncompressed, without the header
    'train-images-idx3-ubyte': '741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757',
    'train-labels-idx1-ubyte': '1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13',
    't10k-images-idx3-ubyte': '6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161',
    't10k-labels-idx1-ubyte': 'ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5',
}
Datasets = collections.namedtuple('Datasets', ['train', 'validation', 'test'])


def read_data_sets(train_dir, fake_data=False, one_hot=False, dtype=np.float32, reshape=True,
                   validation_size=5000, seed=None, source_url=DEFAULT_SOURCE_URL):
    """Return Datasets(train, validation, test): MNIST, or another set under the same file names.

    train_dir: the folder of the four files, gzipped or not. MNIST's are downloaded if need be.
    fake_data: if true, read nothing: all pixels are 1 and all labels 0.
    one_hot: if true, labels are float64 [N, 10], one 1 in each row; else uint8 [N].
    dtype: np.float32 scales pixels to [0, 1], np.uint8 keeps [0, 255]; or TensorFlow's own.
    reshape: if true, images are [N, rows * columns]; else [N, rows, columns, 1].
    validation_size: how many of the first training images are set apart.
    seed: decides the order of `next_batch`; None for a new order in each run.
    source_url: a server's folder with any such set, from which missing files are downloaded.

    Raises TypeError for another dtype, OSError if a file cannot be downloaded or read, ValueError
    if what is there is damaged, not of one set, or too little for validation_size.
    """
    options = dict(dtype=dtype, reshape=reshape, seed=seed)
    fake = DataSet([], [], True, one_hot, **options)  # raises TypeError before any download
    if fake_data:
        return Datasets(fake, fake, fake)

    source = (source_url or DEFAULT_SOURCE_URL).rstrip('/')
    paths = [maybe_download(f'{name}.gz', train_dir, f'{source}/{name}.gz') for name in SHA256]
    images, labels, test_images, test_labels = arrays = [_extract(path, one_hot) for path in paths]
    if (len(images) != len(labels) or len(test_images) != len(test_labels)
            or images.shape[1:] != test_images.shape[1:]):
        raise ValueError(f'{paths} do not fit: {[a.shape for a in arrays]}. Replace the wrong one.')
    if not 0 <= validation_size < len(images):
        raise ValueError(f'validation_size {validation_size} does not fit the {len(images)} images '
                         f'in {paths[0]}: it must be from 0 to {len(images) - 1}.')
    train = DataSet(images[validation_size:], labels[validation_size:], **options)
    validation = DataSet(images[:validation_size], labels[:validation_size], **options)
    return Datasets(train, validation, DataSet(test_images, test_labels, **options))


class DataSet:
    """`images` and `labels` in the order of the files, and batches of them in random order."""

    def __init__(self, images, labels, fake_data=False, one_hot=False, dtype=np.float32,
                 reshape=True, seed=None):
        """Take uint8 images [N, rows, columns, 1] and N labels; the rest as in read_data_sets."""
        dtype = np.dtype(getattr(dtype, 'as_numpy_dtype', dtype))  # TensorFlow's or NumPy's own
        if dtype not in (np.float32, np.uint8):
            raise TypeError(f'dtype is {dtype}: it must be float32 or uint8.')
        if not fake_data:
            if images.shape[:1] != labels.shape[:1] or (reshape and images.shape[3:] != (1,)):
                raise ValueError(f'images {images.shape} and labels {labels.shape} do not fit')
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
        """Return the next images and labels, copied; each epoch has a new order if shuffle is true.

        At its end it goes on in the next one. Raises ValueError unless batch_size is in [1, N].
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
    """Return uint8 [N, rows, columns, 1] from a binary IDX file, gzipped or not; or ValueError."""
    return _read_idx(f, 'images', 3)[..., np.newaxis]


def extract_labels(f, one_hot=False, num_classes=10):
    """Return uint8 [N], all below num_classes, of an IDX file; or float64 [N, num_classes]."""
    labels = _read_idx(f, 'labels', 1, num_classes)
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def dense_to_one_hot(labels_dense, num_classes):
    """Return float64 [N, num_classes]: row i is 1 in column labels_dense[i] and 0 elsewhere."""
    return np.eye(num_classes)[np.ravel(labels_dense)]


def _extract(path, one_hot=False):
    """Return the images or the labels in a file, whichever its name says it holds."""
    with open(path, 'rb') as f:
        return extract_images(f) if 'images' in Path(path).name else extract_labels(f, one_hot)


def _read_idx(f, kind, dimensions, limit=256):
    """Return uint8 [N, ...], all below limit, of an IDX file: http://yann.lecun.com/exdb/mnist/"""
    content, data = io.BytesIO(f.read()), bytearray()
    gzipped = content.getbuffer()[:2] == b'\x1f\x8b'
    try:
        stream = gzip.GzipFile(fileobj=content) if gzipped else content
        header = stream.read(4 + 4 * dimensions)
        shape = [int.from_bytes(header[i:i + 4], 'big') for i in range(4, 4 + 4 * dimensions, 4)]
        if header[:4] != bytes([0, 0, 8, dimensions]) or 0 in shape:  # 8: of unsigned bytes
            raise ValueError(f'it holds no {kind}, it starts with {header}')
        # To the end, where gzip checks its sum; in pieces, as a header may promise any size.
        while len(data) <= math.prod(shape) and (piece := stream.read(1 << 20)):
            data += piece
        array = np.frombuffer(data, np.uint8).reshape(shape)
        if array.max() >= limit:
            raise ValueError(f'a label is {array.max()}, above {limit - 1}')
    except (EOFError, ValueError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f'{getattr(f, "name", "The file")} is damaged: {error}. Put a good copy '
                         "there; or, if it is MNIST's, delete it and run again.") from error
    return array


def maybe_download(filename, work_directory, source_url=None):
    """Return the path of an IDX file in a folder, gzipped or not; download it if it is missing.

    source_url is the file's own address. Without one, MNIST's file is taken from the first of
    MIRRORS that has it, if the folder holds no other set. Raises what read_data_sets does.
    """
    folder = Path(os.path.expanduser(work_directory)).absolute()
    name = filename.removesuffix('.gz')
    if path := _find(folder, name):
        return str(path)
    own = source_url and source_url != DEFAULT_SOURCE_URL + filename  # not the default
    for mnist_name in [] if own else SHA256:
        other = _find(folder, mnist_name)
        if other and hashlib.sha256(_extract(other)).hexdigest() != SHA256[mnist_name]:
            raise ValueError(f"{folder} lacks {filename}, and {other} is not MNIST's: add its own")
    failures = []
    for url in [source_url] if own else [mirror + filename for mirror in MIRRORS]:
        try:
            return _download(url, folder / filename, None if own else SHA256.get(name))
        except Exception as error:  # servers and disks fail in many ways
            reason = str(error).replace(str(folder), 'the folder').partition('. ')[0]  # no advice
            failures.append(f'{url}: {reason!r:.200}')
    raise OSError(f'{filename} could not be downloaded ({"; ".join(failures)}). Put the four files '
                  f'into {folder} by hand, or name another folder.')


def _find(folder, name):
    """Return a file's path: .gz, or unpacked under one of two names; None if there is none."""
    for path in folder / f'{name}.gz', folder / name.replace('-idx', '.idx'), folder / name:
        if path.is_file():
            return path
        if os.path.lexists(path):
            raise ValueError(f'{path} is a folder, a pipe or a broken link. Put the file there.')


def _download(url, path, sha256):
    """Write what url sends to a file that gets its name once it is checked; return its path."""
    with contextlib.suppress(AttributeError, OSError, ValueError):  # stderr is closed or full
        sys.stderr.write(f'Downloading {url} into {path.parent}; it has {TIMEOUT} s to answer\n')
    content, end = bytearray(), time.monotonic() + DEADLINE
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        while piece := response.read1(1 << 16):
            content += piece
            if time.monotonic() > end or len(content) > 10**8:
                raise TimeoutError(f'sent more than 100 MB, or for over {DEADLINE} s')
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(f'{path.name}.*.part'):  # left by a killed process
        with contextlib.suppress(OSError):  # another process is faster, or owns it
            if time.time() - old.stat().st_mtime > 60:
                old.unlink()
    part = path.with_name(f'{path.name}.{time.time_ns()}.part')
    try:
        part.write_bytes(content)
        digest = hashlib.sha256(_extract(part)).hexdigest()
        if sha256 and digest != sha256:
            raise ValueError("sent a file that is not MNIST's")
        return str(part.replace(path))
    finally:
        part.unlink(missing_ok=True)
