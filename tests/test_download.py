"""Downloads from a real server on this machine that misbehaves on demand; other ways to fail."""

import concurrent.futures
import hashlib
import http.server
import itertools
import resource
import tempfile
import threading
import urllib.request

import pytest
from helpers import (NAMES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, gzip_idx, idx,
                     random_set, unpack, write_set)

import input_data

URLS = input_data.MNIST_URLS
MNIST, FASHION = (random_set(train=5100, test=6000, rows=4, columns=4, seed=i) for i in (1, 2))
DISTORTED = {name: 255 - MNIST[name] if 'images' in name else MNIST[name] for name in NAMES}
ARRAYS = {'mnist': MNIST, 'private': MNIST, 'fashion': FASHION, 'distorted': DISTORTED}
SENT = {name: {n: gzip_idx(a) for n, a in arrays.items()} for name, arrays in ARRAYS.items()}
FILES = SENT['mnist']
LABELS = FILES[TEST_LABELS]
SENT |= {'cut': {TEST_LABELS: LABELS[:-1]}, 'bad_checksum': {TEST_LABELS: LABELS[:-8] + bytes(8)},
         'other_labels': {TEST_LABELS: FILES[TRAIN_LABELS]}}


class Handler(http.server.BaseHTTPRequestHandler):
    """The folder in an address says how the file at its end is answered."""

    def do_GET(self):
        if self.path.startswith('http'):
            return self.do_CONNECT()
        behaviour, name = self.path.strip('/').split('/')
        self.server.asked.append((behaviour, name))
        if hasattr(self, behaviour):
            getattr(self, behaviour)(FILES[name])
        else:
            self.answer(SENT[behaviour][name])

    def do_CONNECT(self):  # of a proxy, to what is not on this machine
        self.server.outside.append(self.path)
        self.send_error(502)

    def answer(self, body, status=200):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def missing(self, content):
        self.answer(b'', 404)

    def busy_once(self, content):
        """The third file is not to be had when it is asked for the first time."""
        busy = content == FILES[TEST_IMAGES] and self.server.asked.count(self.server.asked[-1]) == 1
        self.answer(content, 503 if busy else 200)

    def half(self, content):
        self.answer(content[:len(content) // 2])
        self.server.half_sent.set()
        self.server.released.wait(30)
        self.wfile.write(content[len(content) // 2:])

    def drip(self, content):
        self.answer(b'')
        for _ in range(200):  # for ten seconds
            self.server.released.wait(0.05)
            self.wfile.write(b'x')
        self.server.asked.append('the end')

    def garbage(self, content):
        self.wfile.write(b'\x1b[31m garbage' * 1000 + b'\n')


def mnist_is_at(monkeypatch, server, *behaviours):
    """Let only these of the server be MNIST's addresses: as https, as any http: is looked up."""
    urls = [f'{server.url}/{behaviour}/' for behaviour in behaviours]
    monkeypatch.setattr(input_data, 'DEFAULT_SOURCE_URL', urls[0])
    monkeypatch.setattr(input_data, 'MIRRORS', urls)
    monkeypatch.setattr(input_data, 'MNIST_URLS', [url.replace('http', 'https') for url in urls])


@pytest.fixture
def server(monkeypatch):
    """The server, as MNIST's only address and as the proxy to all that is not on this machine."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.asked, server.outside = [], []
    server.half_sent, server.released = threading.Event(), threading.Event()
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


def read(folder, source_url=None):
    return input_data.read_data_sets(folder, source_url=source_url)


def holds(folder, files):
    return {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_the_hashes(real_mnist):
    for name, sha256 in input_data.SHA256.items():
        header = 16 if 'images' in name else 8
        assert hashlib.sha256(unpack(real_mnist / name)[header:]).hexdigest() == sha256


def test_what_is_missing_is_downloaded_once(server, tmp_path, monkeypatch, capfd):
    folder = tmp_path / 'new' / 'folder'
    read(str(folder))
    read(folder)
    assert holds(folder, FILES) and server.asked == [('mnist', name) for name in NAMES]
    out, err = capfd.readouterr()
    told = [line for line in err.splitlines() if line.startswith('Downloading')]
    assert (out, told) == ('', [f'Downloading {server.url}/mnist/{name}' for name in NAMES])
    monkeypatch.setenv('HOME', str(folder))
    monkeypatch.chdir(folder)
    for form in folder, '~', '.':  # and old scripts do path + '...'
        assert input_data.maybe_download(TEST_LABELS, form) == str(folder / TEST_LABELS)


def test_mirrors_are_tried_in_order_and_each_reason_is_told(server, tmp_path, monkeypatch):
    reasons = {'missing': "<HTTPError 404: 'Not Found'>", 'cut': 'EOFError(',
               'bad_checksum': "BadGzipFile('CRC check failed", 'garbage': 'BadStatusLine(',
               'other_labels': 'ValueError("it is not MNIST\'s")'}
    mnist_is_at(monkeypatch, server, *reasons)
    with pytest.raises(OSError, match=f'^{TEST_LABELS} could not be downloaded:\n') as caught:
        input_data.maybe_download(TEST_LABELS, tmp_path)
    _, *told, last = str(caught.value).split('\n')
    for line, (behaviour, reason) in zip(told, reasons.items(), strict=True):
        assert line.startswith(f'  {server.url}/{behaviour}/{TEST_LABELS}: {reason}')
        assert line.isprintable()
    assert str(tmp_path / TEST_LABELS) in last and holds(tmp_path, {})
    mnist_is_at(monkeypatch, server, *reasons, 'mnist')
    input_data.maybe_download(TEST_LABELS, tmp_path)
    assert holds(tmp_path, {TEST_LABELS: LABELS})


@pytest.mark.parametrize('behaviour, limit, reason', [
    ('half', 'TIMEOUT', 'timed out'), ('drip', 'DEADLINE', 'it takes more than 2 seconds')])
def test_each_mirror_has_its_own_time(server, tmp_path, monkeypatch, behaviour, limit, reason):
    monkeypatch.setattr(input_data, limit, 2)
    mnist_is_at(monkeypatch, server, behaviour)
    with pytest.raises(OSError, match=reason):
        input_data.maybe_download(TEST_LABELS, tmp_path)
    mnist_is_at(monkeypatch, server, behaviour, 'mnist')
    assert input_data.maybe_download(TEST_LABELS, tmp_path) and 'the end' not in server.asked


@pytest.mark.parametrize('source_url, first', [
    (URLS[0], 'storage.googleapis.com:443'), ('', 'storage.googleapis.com:443'),
    (URLS[1].rstrip('/'), 'ossci-datasets.s3.amazonaws.com:443'),
    ('http://yann.lecun.com/exdb/mnist', 'http://yann.lecun.com/exdb/mnist/train')])
def test_a_known_address_is_asked_before_mirrors(server, tmp_path, monkeypatch, source_url, first):
    monkeypatch.setattr(input_data, 'DEFAULT_SOURCE_URL', URLS[0])
    monkeypatch.setattr(input_data, 'MNIST_URLS', URLS)
    read(tmp_path, source_url)
    assert server.outside[0].startswith(first) and len(server.outside) == 4
    assert server.asked == [('mnist', name) for name in NAMES] and holds(tmp_path, FILES)


@pytest.mark.parametrize('names', [
    names for k in (1, 2, 3) for names in itertools.combinations(NAMES, k)], ids='+'.join)
@pytest.mark.parametrize('there, source, refused', [
    ('mnist', 'mnist', 'never'), ('mnist', 'private', 'never'),
    ('mnist', 'fashion', 'if an image is there'),
    ('mnist', 'distorted', 'if images would mix'),  # the labels are the same
    ('distorted', 'private', 'if images would mix'),
    ('fashion', 'private', 'if images would mix'),
    ('distorted', 'distorted', 'never'),
    ('fashion', 'mnist', 'always')])
def test_only_what_belongs_together_is_added(server, tmp_path, there, source, refused, names):
    """Whichever files of one set are there, the first of them unpacked."""
    missing = [name for name in NAMES if name not in names]
    write_set(tmp_path, {name: ARRAYS[there][name] for name in names[1:]})
    (tmp_path / names[0][:-3]).write_bytes(idx(ARRAYS[there][names[0]]))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    images = [name in names for name in (TRAIN_IMAGES, TEST_IMAGES)]  # which of them are there
    refusals = {'never': False, 'always': True, 'if an image is there': any(images),
                'if images would mix': images[0] != images[1]}
    if refusals[refused]:
        words = "it is (not )?MNIST's"
        if refused == 'always':
            words = f"{missing[0]} is missing.* {names[0]} is not MNIST's"
        with pytest.raises((ValueError, OSError), match=words):
            read(tmp_path, f'{server.url}/{source}')
        assert holds(tmp_path, before) and bool(server.asked) == (refused != 'always')
    else:
        read(tmp_path, f'{server.url}/{source}')
        assert server.asked == [(source, name) for name in missing]
        assert holds(tmp_path, {**before, **{name: SENT[source][name] for name in missing}})


def test_each_file_is_compared_with_mnists_of_its_name(server, tmp_path):
    write_set(tmp_path, {TRAIN_LABELS: MNIST[TRAIN_LABELS], TEST_LABELS: MNIST[TRAIN_LABELS]})
    with pytest.raises(ValueError, match=f"{TEST_LABELS} is not MNIST's"):
        read(tmp_path)
    (tmp_path / TRAIN_IMAGES).write_bytes(FILES[TRAIN_IMAGES][:-1])  # a damaged file is named
    with pytest.raises(ValueError, match=f'{tmp_path / TRAIN_IMAGES} cannot .*: Compressed file'):
        read(tmp_path, f'{server.url}/fashion')
    assert server.asked == []


def test_a_private_mirror_that_fails_in_between(server, tmp_path, monkeypatch):
    # The system's folder may be on another file system, from where no file can be moved.
    monkeypatch.setattr(tempfile, 'tempdir', '/no/such/folder')
    with pytest.raises(OSError, match=f'{TEST_IMAGES}: <HTTPError 503'):
        read(tmp_path, f'{server.url}/busy_once/')
    assert holds(tmp_path, {})  # all or none
    read(tmp_path, f'{server.url}/busy_once/')
    for name in NAMES:  # and file by file, from addresses that end in the name
        input_data.maybe_download(name, tmp_path / '2', f'{server.url}/private/{name}')
    assert holds(tmp_path / '2', FILES)


@pytest.mark.parametrize('other', ['mnist', 'fashion'])
def test_two_runs_in_one_folder(server, tmp_path, other):
    """The second has completed the folder when the first, of MNIST's files, has downloaded."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(read, tmp_path, f'{server.url}/half')
        assert server.half_sent.wait(30)
        read(tmp_path, f'{server.url}/{other}')
        server.released.set()
        error = first.exception(30)
    assert {'mnist': 'None', 'fashion': 'Another run has put another'}[other] in str(error)
    assert holds(tmp_path, SENT[other])


def test_the_limits(server, tmp_path, monkeypatch):
    assert 697932 * 784 < input_data.MAX_BYTES <= 10**9  # EMNIST's largest
    assert 5 <= input_data.TIMEOUT <= 15 and 300 <= input_data.DEADLINE <= 900
    monkeypatch.setattr(input_data, 'MAX_BYTES', len(LABELS) - 1)
    with pytest.raises(OSError, match=f'more than {len(LABELS) - 1:,} bytes'):
        input_data.maybe_download(TEST_LABELS, tmp_path)


@pytest.mark.parametrize('folder', ['file', 'file/below', '/proc/no/such', '/proc'])
def test_a_folder_that_cannot_be_is_told_before_the_download(server, tmp_path, folder):
    (tmp_path / 'file').write_bytes(b'mine')
    with pytest.raises(OSError, match=f'{tmp_path / folder} cannot be written: ') as caught:
        read(tmp_path / folder)
    assert 'download-' not in str(caught.value) and server.asked == []


def test_a_disk_that_is_full_after_two_files_is_told_as_itself(server, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (90000, limits[1]))  # between the images' sizes
    try:
        with pytest.raises(OSError, match='File too large'):
            read(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert server.asked[-1] == ('mnist', TEST_IMAGES) and holds(tmp_path, {})
