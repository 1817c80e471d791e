"""Load MNIST, or another set in its format, as TensorFlow 1's `input_data` did.

Save this file as input_data.py beside your script, and write `import input_data`. What differs:
- It needs Python 3.9 or later and NumPy, but not TensorFlow.
- If only some of the four files are there, that is a ValueError. TensorFlow's added the others.
- `source_url=None` downloads nothing.
- `fake_data=True` is a ValueError. `DataSet(...)` takes no `fake_data` and no `one_hot`.
- A batch longer than the set is a ValueError. TensorFlow's repeated images, or gave too few.
- `np.random.seed` has no effect. The argument `seed` decides the order of the batches.
- `images` and `labels` keep the order of the files. TensorFlow's `next_batch` reordered them.
"""

import collections
import gzip
import hashlib
import http.client
import math
import sys
import tempfile
import urllib.request
import zlib
from pathlib import Path

import numpy as np

DEFAULT_SOURCE_URL = 'https://storage.googleapis.com/cvdf-datasets/mnist/'
MIRRORS = (DEFAULT_SOURCE_URL, 'https://ossci-datasets.s3.amazonaws.com/mnist/')
MNIST_URLS = (*MIRRORS, 'https://yann.lecun.com/exdb/mnist/')  # mean MNIST; files come from MIRRORS
TIMEOUT = 10  # seconds: the longest silence of a server
NAMES = ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz',
         't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz')
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES
SHA256 = {  # of MNIST's pixels and labels: unpacked, without the header
    TRAIN_IMAGES: '741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757',
    TRAIN_LABELS: '1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13',
    TEST_IMAGES: '6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161',
    TEST_LABELS: 'ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5',
}

Datasets = collections.namedtuple('Datasets', ['train', 'validation', 'test'])


def read_data_sets(train_dir, fake_data=False, one_hot=False, dtype=np.float32, reshape=True,
                   validation_size=5000, seed=None, source_url=DEFAULT_SOURCE_URL):
    """Return Datasets(train, validation, test) of four files that are named as MNIST's are.

    Example: images, labels = read_data_sets('MNIST_data').train.next_batch(100)
    train_dir: a folder of four files, or of none of them: then all are downloaded.
    fake_data: must be false; it is here for old scripts, which pass it.
    one_hot: if true, labels are float64 [N, 10], one 1 in each row; else uint8 [N], read-only.
    dtype: np.float32 for pixels in [0, 1], np.uint8 for [0, 255], read-only; tf's, too.
    reshape: if true, images are [N, rows * columns]; else [N, rows, columns, 1].
    validation_size: how many of the first training images are set apart, from 0 to all.
    seed: decides the order of `next_batch`; None for a new order in each run.
    source_url: the address to download from, MNIST's or another; None to download nothing.
    Raises OSError (no files, network, disk), TypeError (dtype), ValueError (arguments, files).
    """
    if fake_data:
        raise ValueError('fake_data=True is not supported. Leave it out.')
    paths = _find_or_download(train_dir, NAMES, source_url)
    images = extract_images(paths[TRAIN_IMAGES])
    labels = extract_labels(paths[TRAIN_LABELS], one_hot)
    test_images = extract_images(paths[TEST_IMAGES])
    test_labels = extract_labels(paths[TEST_LABELS], one_hot)
    _check_pair(paths[TRAIN_IMAGES], images, paths[TRAIN_LABELS], labels)
    _check_pair(paths[TEST_IMAGES], test_images, paths[TEST_LABELS], test_labels)
    if images.shape[1:] != test_images.shape[1:]:
        raise ValueError(f'{paths[TRAIN_IMAGES]} and {paths[TEST_IMAGES]} have images of different '
                         'sizes. Replace one.')
    if not 0 <= validation_size <= len(images):
        raise ValueError(f'{paths[TRAIN_IMAGES]} has {len(images)} images, but validation_size '
                         f'sets {validation_size} apart. It must be from 0 to {len(images)}.')
    train = DataSet(images[validation_size:], labels[validation_size:], dtype, reshape, seed)
    validation = DataSet(images[:validation_size], labels[:validation_size], dtype, reshape, seed)
    test = DataSet(test_images, test_labels, dtype, reshape, seed)
    return Datasets(train, validation, test)


class DataSet:
    """Batches of images, uint8 [N, rows, columns, 1] from 0 to 255, and of their N labels."""

    def __init__(self, images, labels, dtype=np.float32, reshape=True, seed=None):
        dtype = np.dtype(getattr(dtype, 'as_numpy_dtype', dtype))  # TensorFlow's or NumPy's own
        if dtype not in (np.float32, np.uint8):
            raise TypeError(f'dtype is {dtype}, but must be float32 or uint8.')
        if len(images) != len(labels):
            raise ValueError(f'{len(images)} images cannot have {len(labels)} labels.')
        if reshape:
            images = images.reshape(len(images), images.shape[1] * images.shape[2])
        if dtype == np.float32:  # multiplied, as in TensorFlow's: dividing rounds differently
            images = np.multiply(images, np.float32(1 / 255), dtype=np.float32)
        self.images, self.labels = images, labels
        self.num_examples = len(images)
        self.epochs_completed = self._index_in_epoch = 0
        self._order = np.arange(len(images))
        self._random = np.random.RandomState(seed)

    def next_batch(self, batch_size, fake_data=False, shuffle=True):
        """Return images and labels, copied. If shuffle, each epoch has an order of its own."""
        if fake_data:
            raise ValueError('fake_data=True is not supported. Leave it out.')
        if not 1 <= batch_size <= self.num_examples:
            raise ValueError(f'batch_size is {batch_size}, not from 1 to {self.num_examples}.')
        if shuffle and self._index_in_epoch == 0:  # only before the first batch
            self._order = self._random.permutation(self._order)
        chosen = self._order[self._index_in_epoch:self._index_in_epoch + batch_size]
        self._index_in_epoch += batch_size
        if self._index_in_epoch > self.num_examples:  # the batch goes on in the next epoch
            self.epochs_completed += 1
            self._index_in_epoch -= self.num_examples  # at least 1: no first batch again
            if shuffle:
                self._order = self._random.permutation(self._order)
            chosen = np.concatenate([chosen, self._order[:self._index_in_epoch]])
        return self.images[chosen], self.labels[chosen]


def extract_images(f):
    """Return uint8 [N, rows, columns, 1] of IDX: a path or an open binary file; or ValueError."""
    return _read(f, dimensions=3)[..., np.newaxis]


def extract_labels(f, one_hot=False, num_classes=10):
    """Return uint8 [N] of IDX: a path or an open binary file; if one_hot, as dense_to_one_hot."""
    labels = _read(f, dimensions=1)
    return dense_to_one_hot(labels, num_classes) if one_hot else labels


def dense_to_one_hot(labels_dense, num_classes=10):
    """Return float64 [N, num_classes]: row i is 1 in column labels_dense[i] and 0 elsewhere."""
    labels = np.asarray(labels_dense)
    if labels.size != len(labels):
        raise ValueError(f'labels have shape {labels.shape}, not [N]. If one-hot, leave them so.')
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f'labels are {labels.dtype}, not integers. Use labels.astype(int).')
    if np.any(labels < 0) or np.any(labels >= num_classes):
        raise ValueError(f'labels go from {labels.min()} to {labels.max()}, but must be from 0 to '
                         f'{num_classes - 1}. Leave one_hot off, or set num_classes.')
    return np.eye(num_classes)[labels.ravel()]


def maybe_download(filename, work_directory, source_url=DEFAULT_SOURCE_URL):
    """Return the path of an IDX file, downloaded if missing. Other files are not looked at.

    source_url: 'http://host/folder' or 'http://host/folder/filename'; None for no download.
    """
    return str(_find_or_download(work_directory, [filename], source_url)[filename])


def _check_pair(images_path, images, labels_path, labels):
    """Raise a ValueError that names both files if there is not one label for each image."""
    if len(images) != len(labels):
        raise ValueError(f'{images_path} has {len(images)} images, but {labels_path} has '
                         f'{len(labels)} labels. One of them is of another set or cut: replace it.')


def _read(f, dimensions):
    """Return the array in IDX, a path or an open binary file; a ValueError names the file."""
    content = f.read() if hasattr(f, 'read') else Path(f).read_bytes()
    try:
        array = _parse(content)
    except ValueError as error:
        raise ValueError(f'{f} cannot be used: {error}. Replace it.') from error
    if array.ndim != dimensions:
        raise ValueError(f'{f} has {array.ndim} dimensions, not {dimensions}. Replace it.')
    return array


def _parse(content):
    """Return the array in IDX: 0, 0, 8, number of dimensions, each size in 4 bytes, the values."""
    if content.startswith(b'\x1f\x8b'):  # gzipped
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f'gzip says: {error}') from error
    if len(content) < 4 or content[:3] != bytes([0, 0, 8]):
        raise ValueError(f'it starts with {content[:20]}, not with bytes 0, 0, 8 as an IDX file')
    header_length = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i:i + 4], 'big') for i in range(4, header_length, 4)]
    needed = header_length + math.prod(shape)
    if len(content) != needed:
        raise ValueError(f'its header needs {needed} bytes, but {len(content)} were found')
    if 0 in shape:
        raise ValueError(f'it is empty: its shape is {shape}')
    return np.frombuffer(content, np.uint8, offset=header_length).reshape(shape)


def _find_or_download(folder, names, source_url):
    """Return {name: path} of files in a folder; if none of them is there, all are downloaded."""
    folder = Path(folder).expanduser().absolute()
    paths = {name: _find(folder, name) for name in names}
    missing = [name for name in names if paths[name] is None]
    if not missing:
        return paths
    advice = f'{folder} lacks {", ".join(missing)}. Put what is missing there'
    if any(paths.values()):  # nothing is added to files that may be of another set
        if source_url is not None:
            advice += ', or move the other files away: then all are downloaded'
        raise ValueError(f'{advice}.')
    if source_url is None:
        raise FileNotFoundError(f'{advice}.')
    folder.mkdir(parents=True, exist_ok=True)
    # The folder download-... is removed after use. If the run is killed, it stays: delete it.
    with tempfile.TemporaryDirectory(prefix='download-', dir=folder) as new:
        for name in names:
            Path(new, name).write_bytes(_download(name, source_url, f'{advice}.'))
        for name in names:
            Path(new, name).replace(folder / name)
    return {name: folder / name for name in names}


def _find(folder, name):
    """Return the path of a file, gzipped or unpacked; None if it is not there."""
    unpacked = name.removesuffix('.gz')
    for form in name, unpacked, unpacked.replace('-idx', '.idx'):  # 7-Zip writes the last
        if (folder / form).is_file():
            return folder / form
    return None


def _download(name, source_url, advice):
    """Return the bytes of a file from the first address that sends a good one; or raise OSError."""
    source = source_url.removesuffix(name).rstrip('/') + '/'  # old scripts add the name
    is_mnist = source.replace('http:', 'https:', 1) in MNIST_URLS
    if is_mnist and name not in NAMES:
        raise ValueError(f'MNIST has no {name}: its files are {", ".join(NAMES)}.')
    addresses = MIRRORS if is_mnist else [source]  # all of MNIST's mean the same mirrors
    reasons = ''
    for address in addresses:
        url = address + name
        print(f'Downloading {url}', file=sys.stderr)
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
                content = response.read()
            values = _parse(content)
            if is_mnist and hashlib.sha256(values).hexdigest() != SHA256[name]:
                raise ValueError("it is not MNIST's")
            return content
        except (OSError, http.client.HTTPException, ValueError) as error:
            reasons += f'  {url}: {error!r}\n'  # !r, as a server may send control characters
    raise OSError(f'{name} could not be downloaded:\n{reasons}{advice}')
