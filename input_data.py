"""Load MNIST, or another set in its format, as TensorFlow 1's `input_data` did.

Save this file beside your script. It needs NumPy and Python 3.10 or later.
Write `import input_data` in place of `from tensorflow.examples.tutorials.mnist import input_data`.

What differs from TensorFlow's:
- A batch longer than the set is a ValueError. TensorFlow's gave fewer images than asked for.
- `np.random.seed` has no effect. The argument `seed` decides the order of the batches.
- `images` and `labels` keep the order of the files. TensorFlow's `next_batch` reordered them.
"""

import collections
import hashlib
import http.client
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
MAX_BYTES = 10**9  # of a download, and of what gzip unpacks to; MNIST's largest has 47 million
TRAIN_IMAGES, TRAIN_LABELS = 'train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'
TEST_IMAGES, TEST_LABELS = 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'
SHA256 = {  # of MNIST's pixels and labels: unpacked, without the header
    TRAIN_IMAGES: '741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757',
    TRAIN_LABELS: '1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13',
    TEST_IMAGES: '6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161',
    TEST_LABELS: 'ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5',
}
# Which files may be added to a folder:
ANYTHING, ONLY_MNIST, NO_MNIST_IMAGES = 'anything', 'only MNIST', 'no images of MNIST'

Datasets = collections.namedtuple('Datasets', ['train', 'validation', 'test'])


def read_data_sets(train_dir, fake_data=False, one_hot=False, dtype=np.float32, reshape=True,
                   validation_size=5000, seed=None, source_url=DEFAULT_SOURCE_URL):
    """Return Datasets(train, validation, test) of MNIST, or of another set under its file names.

    Example: images, labels = read_data_sets('MNIST_data').train.next_batch(100)

    train_dir: the folder of the four files, gzipped or not. Missing files are downloaded, all or
        none. Four files that are there are taken as they are.
    fake_data: if true, nothing is read; `next_batch` gives lists: pixels of 1 and labels of 0.
    one_hot: if true, labels are float64 [N, 10], one 1 in each row; else uint8 [N].
    dtype: np.float32 for pixels in [0, 1], np.uint8 for [0, 255]; or TensorFlow's of that name.
    reshape: if true, images are [N, rows * columns]; else [N, rows, columns, 1].
    validation_size: how many of the first training images are set apart, from 0 to all.
    seed: decides the order of `next_batch`; None for a new order in each run.
    source_url: where missing files come from. If it is MNIST's own, its mirrors are asked as well.

    Arrays of uint8 are read-only. All others can be written to.
    Raises OSError (network, disk), TypeError (dtype, seed) and ValueError (another argument, a
    damaged file, files that do not belong together).
    """
    # What can be wrong with the arguments is told before a download.
    if validation_size < 0:
        raise ValueError(f'validation_size {validation_size} is not from 0 to the number of images')
    options = dict(one_hot=one_hot, dtype=dtype, reshape=reshape, seed=seed)
    fake = DataSet([], [], fake_data=True, **options)  # raises if dtype or seed is wrong
    if fake_data:
        return Datasets(fake, fake, fake)

    names = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS]
    paths = _complete(train_dir, names, source_url or DEFAULT_SOURCE_URL)
    images, labels = extract_images(paths[0]), extract_labels(paths[1], one_hot)
    test_images, test_labels = extract_images(paths[2]), extract_labels(paths[3], one_hot)
    _check_numbers(paths[0], images, paths[1], labels)
    _check_numbers(paths[2], test_images, paths[3], test_labels)
    if images.shape[1:] != test_images.shape[1:]:
        raise ValueError(f'{paths[0]} has images of shape {images.shape[1:3]}, {paths[2]} of '
                         f'{test_images.shape[1:3]}: one is of another set. Replace it.')
    if validation_size > len(images):
        raise ValueError(f'{paths[0]} has {len(images):,} images: at least {validation_size} are '
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
        if len(images) != len(labels):
            raise ValueError(f'{len(images):,} images cannot have {len(labels):,} labels.')
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
        """Return the next batch_size images and labels, copied.

        If shuffle is false, an epoch keeps the order of the epoch before it, shuffled or not.
        Raises ValueError if batch_size is not from 1 to num_examples.
        """
        if fake_data or self._fake_data:
            label = [1] + [0] * 9 if self._one_hot else 0
            return [[1] * 784 for _ in range(batch_size)], [label for _ in range(batch_size)]
        if not 1 <= batch_size <= self.num_examples:
            raise ValueError(f'batch_size {batch_size} is not from 1 to {self.num_examples}.')

        start = self._index_in_epoch
        end = start + batch_size
        # Shuffle for the first epoch: no other batch starts at 0.
        if shuffle and start == 0:
            self._order = self._random.permutation(self._order)
        if end <= self.num_examples:
            chosen = self._order[start:end]
        else:
            # Take the rest of this epoch.
            rest = self._order[start:]
            self.epochs_completed += 1
            # Shuffle for the next epoch.
            if shuffle:
                self._order = self._random.permutation(self._order)
            # Take what the batch still lacks from the start of the next epoch.
            end -= self.num_examples
            chosen = np.concatenate([rest, self._order[:end]])
        self._index_in_epoch = end
        return self.images[chosen], self.labels[chosen]


def extract_images(f):
    """Return uint8 [N, rows, columns, 1] of an IDX file, a path or open; or ValueError."""
    return _read(f, 3)[..., np.newaxis]


def extract_labels(f, one_hot=False, num_classes=10):
    """Return uint8 [N] of an IDX file, a path or open; if one_hot, float64 [N, num_classes]."""
    labels = _read(f, 1)
    if one_hot and labels.max() >= num_classes:
        raise ValueError(f'{f} has labels up to {labels.max()}, one_hot takes those below '
                         f'{num_classes}. Leave one_hot off, or call extract_labels with a larger '
                         'num_classes.')
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def dense_to_one_hot(labels_dense, num_classes=10):
    """Return float64 [N, num_classes]: row i is 1 in column labels_dense[i] and 0 elsewhere."""
    labels = np.ravel(labels_dense)
    if np.any(labels < 0) or np.any(labels >= num_classes):
        raise ValueError(f'The labels are from {labels.min()} to {labels.max()}. They must be '
                         f'from 0 to {num_classes - 1}, below num_classes.')
    return np.eye(num_classes)[labels]


def maybe_download(filename, work_directory, source_url=None):
    """Return the path of an IDX file; if missing, download it from source_url, its own address."""
    source_url = (source_url or DEFAULT_SOURCE_URL).removesuffix(filename)
    return str(_complete(work_directory, [filename], source_url)[0])


def _check_numbers(images_path, images, labels_path, labels):
    """Raise a ValueError unless one file has as many images as the other has labels."""
    if len(images) != len(labels):
        raise ValueError(f'{images_path} has {len(images):,} images, {labels_path} has '
                         f'{len(labels):,} labels: one is cut or of another set. Replace it.')


def _read(f, dimensions):
    """Return the array in an IDX file, a path or open; a ValueError names the file."""
    content = f.read() if hasattr(f, 'read') else Path(f).read_bytes()
    try:
        return _parse(_unpack(content), dimensions)
    except (ValueError, zlib.error) as error:
        raise ValueError(f'{f} cannot be used: {error}. Replace it or delete it.') from error


def _unpack(content):
    """Return the bytes in a gzip file, of one member or several; other bytes as they are."""
    if content[:2] != b'\x1f\x8b':
        return content
    unpacked = b''
    while content:
        if content[:2] != b'\x1f\x8b':
            raise ValueError('other bytes follow its gzip data')
        member = zlib.decompressobj(wbits=31)  # 31 is for gzip's header and check sum
        unpacked += member.decompress(content, MAX_BYTES + 1)
        if len(unpacked) > MAX_BYTES:
            raise ValueError(f'it has more than {MAX_BYTES:,} bytes unpacked')
        if not member.eof:
            raise ValueError('it is cut off')
        content = member.unused_data
    return unpacked


def _parse(content, dimensions):
    """Return the array in IDX: 0, 0, 8, number of dimensions, each size in 4 bytes, the values."""
    if content[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(f'it starts with {content[:16]}, not with bytes 0, 0, 8, {dimensions}')
    start = 4 + 4 * dimensions
    shape = [int.from_bytes(content[i:i + 4], 'big') for i in range(4, start, 4)]
    needed = start + math.prod(shape)
    if len(content) != needed:
        raise ValueError(f'its header needs {needed:,} bytes, it has {len(content):,}')
    if needed == start:
        raise ValueError('it is empty')
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _find(folder, name):
    """Return the path of a file, gzipped or unpacked under one of two names; None if missing."""
    unpacked = name.removesuffix('.gz')
    paths = folder / name, folder / unpacked.replace('-idx', '.idx'), folder / unpacked
    return next((path for path in paths if path.is_file()), None)


def _complete(folder, names, source_url):
    """Return the paths of files in a folder; those that are missing are downloaded, all or none."""
    folder = Path(folder).expanduser().absolute()
    missing = [name for name in names if not _find(folder, name)]
    if missing:
        addresses, allowed = _decide(folder, missing, source_url)
        _store(folder, {})  # fails now, not after a download, if nothing can be written
        _store(folder, {name: _download(folder / name, addresses, allowed) for name in missing})
    return [_find(folder, name) for name in names]


def _decide(folder, missing, source_url):
    """Return the addresses to ask for missing files, and what may come from them: the rule.

    From MNIST's own addresses come only MNIST's files, and only to MNIST's, labels included.
    From another address:
    where an image file of MNIST's is there, only MNIST's files may come;
    where other images are there, no image file of MNIST's may come;
    where no images are there, anything may come: sets made from MNIST share its labels.
    """
    if '?' not in source_url and not source_url.endswith('/'):
        source_url += '/'
    there = [name for name in SHA256 if _find(folder, name)]
    mnist = []
    for name in there:
        array = _read(_find(folder, name), 3 if 'images' in name else 1)
        if _is_mnist(name, array):
            mnist.append(name)
    if source_url.replace('http:', 'https:', 1) in MNIST_URLS:
        for name in there:
            if name not in mnist:
                raise ValueError(f"{folder / missing[0]} is missing. MNIST's was not downloaded, "
                                 f"since {name} is not MNIST's. Put the set's own file there, or "
                                 'name another folder.')
        return list(dict.fromkeys([source_url, *MIRRORS])), ONLY_MNIST  # each address once
    if TRAIN_IMAGES in mnist or TEST_IMAGES in mnist:
        return [source_url], ONLY_MNIST
    if TRAIN_IMAGES in there or TEST_IMAGES in there:
        return [source_url], NO_MNIST_IMAGES
    return [source_url], ANYTHING


def _is_mnist(name, array):
    """Return whether these are the values in MNIST's file of this name."""
    return hashlib.sha256(array).hexdigest() == SHA256.get(name)


def _download(path, addresses, allowed):
    """Return the bytes for a path from the first address that sends a good file; else OSError."""
    failures = []
    for address in addresses:
        url = address + path.name
        print(f'Downloading {url}', file=sys.stderr)
        try:
            content = _fetch(url)
            _check(path.name, content, allowed)
            return content
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            failures.append(f'  {url}: {error!r}')  # !r, as a server may send control characters
    reasons = '\n'.join(failures)
    raise OSError(f'{path.name} could not be downloaded:\n{reasons}\n'
                  f'Put {path.name} into {path.parent} by hand, or name another folder.')


def _fetch(url):
    """Return the bytes at an address; ValueError if they are too many, OSError if too slow."""
    content = bytearray()
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        end = time.monotonic() + DEADLINE
        while piece := response.read1(1 << 16):
            content += piece
            if len(content) > MAX_BYTES:
                raise ValueError(f'it has more than {MAX_BYTES:,} bytes')
            if time.monotonic() > end:
                raise TimeoutError(f'it takes more than {DEADLINE} seconds')
    return bytes(content)


def _check(name, content, allowed):
    """Raise a ValueError or zlib.error if a download is damaged, or may not come."""
    array = _parse(_unpack(content), 3 if 'images' in name else 1)
    is_mnist = _is_mnist(name, array)
    if allowed == ONLY_MNIST and not is_mnist:
        raise ValueError("it is not MNIST's")
    if allowed == NO_MNIST_IMAGES and is_mnist and array.ndim == 3:
        raise ValueError("it is MNIST's, and the folder has images of another set")


def _store(folder, files):
    """Write {file name: bytes} into a folder, new or not; an OSError names the folder."""
    try:
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
        # A run that is killed may leave this folder in the user's. No run removes another's.
        with tempfile.TemporaryDirectory(prefix='download-', dir=folder) as new:
            for name, content in files.items():
                Path(new, name).write_bytes(content)
            for name, content in files.items():
                path = folder / name
                if not path.exists():
                    Path(new, name).replace(path)
                elif path.read_bytes() != content:  # another run has put it there meanwhile
                    raise ValueError(f'{path} was put there by another run, and is another file. '
                                     'Name another folder.')
    except OSError as error:
        raise OSError(f'Nothing can be written into {folder}: {error.strerror}. Name another '
                      'folder.') from error
