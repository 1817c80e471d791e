"""Downloads from a real server on this machine that misbehaves on demand; other ways to fail."""

import hashlib
import http.server
import itertools
import tempfile
import threading
import urllib.request

import numpy as np
import pytest
from helpers import (NAMES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, gzip_idx, idx,
                     random_set, unpack, write_set)

import input_data

read, MIRRORS = input_data.read_data_sets, input_data.MIRRORS
MNIST, FASHION = (random_set(train=5100, test=6000, rows=4, columns=4, seed=i) for i in (1, 2))
FILES = {name: gzip_idx(array) for name, array in MNIST.items()}
FASHION_FILES = {name: gzip_idx(array) for name, array in FASHION.items()}
LABELS = FILES[TEST_LABELS]
OTHER = {'other.gz': gzip_idx(MNIST[TRAIN_IMAGES][0])}  # no name of MNIST's; two dimensions
SENT = {'mnist': FILES, 'fashion': FASHION_FILES, 'private': OTHER,
        'cut': {TEST_LABELS: LABELS[:-1]}, 'swapped': {TEST_LABELS: FILES[TRAIN_LABELS]}}


class Handler(http.server.BaseHTTPRequestHandler):
    """The folder in an address says how the file at its end is answered."""

    def do_GET(self):
        behaviour, name = self.path.strip('/').split('/')
        self.server.asked.append((behaviour, name))
        if hasattr(self, behaviour):
            getattr(self, behaviour)(FILES[name])
        else:
            self.answer(SENT[behaviour][name])

    def do_CONNECT(self):  # of a proxy, to what is not on this machine
        self.server.outside.append(self.path)
        self.send_error(502)

    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def busy_once(self, content):
        if len(self.server.asked) == 3:  # the third file is not to be had at first
            return self.send_error(503)
        self.answer(content)

    def half(self, content):  # and then silence
        self.answer(content[:len(content) // 2])
        self.server.released.wait(30)
        self.wfile.write(content[len(content) // 2:])

    def garbage(self, content):
        self.wfile.write(b'\x1b[31m garbage' * 1000 + b'\n')


def mnist_is_at(monkeypatch, server, *behaviours):
    """Let these of the server be MNIST's mirrors."""
    monkeypatch.setattr(input_data, 'MIRRORS', [f'{server.url}/{name}/' for name in behaviours])


@pytest.fixture
def server(monkeypatch):
    """The server, as MNIST's only mirror and as the proxy to all that is not on this machine."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.asked, server.outside = [], []
    server.released = threading.Event()
    server.url = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    monkeypatch.setenv('http_proxy', server.url)
    monkeypatch.setenv('https_proxy', server.url)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    urllib.request.install_opener(None)  # the next download reads the proxies again
    sha256 = {name: hashlib.sha256(MNIST[name]).hexdigest() for name in NAMES}
    monkeypatch.setattr(input_data, 'SHA256', sha256)
    mnist_is_at(monkeypatch, server, 'mnist')
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def holds(folder, files):
    return {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_the_hashes(real_mnist):
    for name, sha256 in input_data.SHA256.items():
        values = unpack(real_mnist / name)[16 if 'images' in name else 8:]
        assert hashlib.sha256(values).hexdigest() == sha256


def test_all_files_are_downloaded_once_in_order(server, tmp_path, monkeypatch, capfd):
    folder = tmp_path / 'new' / 'folder'
    read(str(folder))
    read(folder)
    assert holds(folder, FILES) and server.asked == [('mnist', name) for name in NAMES]
    out, err = capfd.readouterr()
    told = [line for line in err.splitlines() if line.startswith('Downloading')]
    assert (out, told) == ('', [f'Downloading {server.url}/mnist/{name}' for name in NAMES])
    monkeypatch.setenv('HOME', str(folder))
    monkeypatch.chdir(folder)
    for form in '~', '.':  # a string, since old scripts do path + '...'
        assert input_data.maybe_download(TEST_LABELS, form) == str(folder / TEST_LABELS)


@pytest.mark.parametrize('there', [
    names for k in (1, 2, 3) for names in itertools.combinations(NAMES, k)], ids='+'.join)
@pytest.mark.parametrize('source', [MIRRORS[0], 'http://127.0.0.1/private', None])
def test_nothing_is_added_to_some_of_the_files(server, tmp_path, there, source):
    write_set(tmp_path, {name: MNIST[name] for name in there[1:]})
    (tmp_path / there[0][:-3]).write_bytes(idx(MNIST[there[0]]))  # also if unpacked
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    missing = [name for name in NAMES if name not in there]
    with pytest.raises(ValueError) as caught:
        read(tmp_path, source_url=source)
    told = f'{tmp_path} lacks {", ".join(missing)}. Put what is missing there'
    more = ', or move the other files away: then all are downloaded' if source else ''
    assert str(caught.value) == f'{told}{more}.'
    assert server.asked == [] and holds(tmp_path, before)


def test_without_an_address_nothing_is_downloaded(server, tmp_path):
    folder = tmp_path / 'new'
    with pytest.raises(FileNotFoundError) as caught:
        read(folder, source_url=None)
    assert str(caught.value) == f'{folder} lacks {", ".join(NAMES)}. Put what is missing there.'
    assert server.asked == [] and not folder.exists()
    for source in f'{server.url}/fashion', None:  # now four files are there
        assert np.array_equal(read(folder, source_url=source).test.labels, FASHION[TEST_LABELS])
    assert holds(folder, FASHION_FILES)  # from an address that is not MNIST's any set is taken


def test_one_file_whatever_else_is_there(server, tmp_path):
    write_set(tmp_path, {TRAIN_IMAGES: FASHION[TRAIN_IMAGES]})
    input_data.maybe_download(TRAIN_LABELS, tmp_path)
    for address in '', '/', '/other.gz':
        (tmp_path / 'other.gz').unlink(missing_ok=True)
        input_data.maybe_download('other.gz', tmp_path, f'{server.url}/private{address}')
    assert server.asked == [('mnist', TRAIN_LABELS)] + 3 * [('private', 'other.gz')]
    with pytest.raises(ValueError, match=f'MNIST has no no.gz: its files are {", ".join(NAMES)}'):
        input_data.maybe_download('no.gz', tmp_path)
    assert len(server.asked) == 4 and holds(tmp_path, {
        TRAIN_IMAGES: FASHION_FILES[TRAIN_IMAGES], TRAIN_LABELS: FILES[TRAIN_LABELS], **OTHER})


@pytest.mark.parametrize('host', [
    'storage.googleapis.com/cvdf-datasets/mnist', 'ossci-datasets.s3.amazonaws.com/mnist',
    'yann.lecun.com/exdb/mnist'])
def test_mnists_own_addresses_ask_the_same_two_mirrors(server, tmp_path, monkeypatch, host):
    monkeypatch.setattr(input_data, 'MIRRORS', MIRRORS)
    for scheme, end in itertools.product(['http', 'https'], ['', '/']):
        with pytest.raises(OSError, match='could not be downloaded'):
            read(tmp_path, source_url=f'{scheme}://{host}{end}')
    asked = [address.split('.')[0] for address in server.outside]
    assert asked == ['storage', 'ossci-datasets'] * 4


def test_mirrors_are_tried_in_order_and_each_reason_is_told(server, tmp_path, monkeypatch):
    reasons = {'garbage': 'BadStatusLine(', 'cut': "ValueError('gzip says: Compressed file ended",
               'swapped': 'ValueError("it is not MNIST\'s")'}
    mnist_is_at(monkeypatch, server, *reasons)
    with pytest.raises(OSError, match=f'^{TEST_LABELS} could not be downloaded:\n') as caught:
        input_data.maybe_download(TEST_LABELS, tmp_path)
    _, *told, last = str(caught.value).split('\n')
    for line, (behaviour, reason) in zip(told, reasons.items(), strict=True):
        start = f'  {server.url}/{behaviour}/{TEST_LABELS}: {reason}'
        assert line.startswith(start) and line.isprintable()
    assert last == f'{tmp_path} lacks {TEST_LABELS}. Put what is missing there.'
    with pytest.raises(OSError, match='cut/.*gzip says'):  # other addresses are checked, too
        input_data.maybe_download(TEST_LABELS, tmp_path, f'{server.url}/cut')
    assert holds(tmp_path, {})
    mnist_is_at(monkeypatch, server, *reasons, 'mnist', 'half')
    input_data.maybe_download(TEST_LABELS, tmp_path)
    assert holds(tmp_path, {TEST_LABELS: LABELS}) and server.asked[-1][0] == 'mnist'


def test_a_silent_server_is_left_for_the_next(server, tmp_path, monkeypatch):
    assert 5 <= input_data.TIMEOUT <= 15
    monkeypatch.setattr(input_data, 'TIMEOUT', 1)
    mnist_is_at(monkeypatch, server, 'half', 'mnist')
    input_data.maybe_download(TEST_LABELS, tmp_path)
    assert server.asked == [('half', TEST_LABELS), ('mnist', TEST_LABELS)]


def test_a_download_that_fails_in_between_leaves_nothing(server, tmp_path, monkeypatch):
    # The system's folder may be on another file system, from where no file can be moved.
    monkeypatch.setattr(tempfile, 'tempdir', '/no/such/folder')
    with pytest.raises(OSError, match=f'{TEST_IMAGES}: <HTTPError 503') as caught:
        read(tmp_path, source_url=f'{server.url}/busy_once/')
    assert f'\n{tmp_path} lacks {", ".join(NAMES)}. Put ' in str(caught.value)  # all, not one
    assert holds(tmp_path, {})
    read(tmp_path, source_url=f'{server.url}/busy_once/')
    assert holds(tmp_path, FILES)
