"""Downloads from a real server on this machine that misbehaves on demand; other ways to fail."""

import gzip
import hashlib
import http.server
import itertools
import os
import signal
import threading
import zlib
from unittest import mock

import numpy as np
import pytest
from helpers import (NAMES, ROOT, SAMPLE, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS,
                     finish, gzip_idx, idx, python, random_set, read_idx, write_set)

import input_data

# The sample stands for MNIST here: it is smaller, and always there.
FILES = {name: (SAMPLE / name).read_bytes() for name in NAMES}
SHA256 = {name: hashlib.sha256(read_idx(SAMPLE / name)).hexdigest() for name in NAMES}
FASHION = random_set(train=5100, test=20, rows=4, columns=4)  # stands for any other set
LABELS = FILES[TEST_LABELS]
SETS = {'ok': FILES, 'fashion': {name: gzip_idx(FASHION[name]) for name in NAMES}}
ANSWERS = {  # behaviour: status and body, for the file of test labels
    'missing': (404, b''),
    'cut': (200, LABELS[:-1]),
    'bad_checksum': (200, LABELS[:-8] + bytes(8)),
    'other_labels': (200, FILES[TRAIN_LABELS]),
    'large': (200, gzip.compress(idx(np.zeros((60000, 28, 28), np.uint8)), compresslevel=0)),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """The folder in an address says how the file at its end is answered."""

    def do_GET(self):
        behaviour, name = self.path.strip('/').replace('?file=', '/').split('/')
        self.server.asked.append((behaviour, name))
        if behaviour in SETS:
            self.answer(200, SETS[behaviour][name])
        elif behaviour in ANSWERS:
            self.answer(*ANSWERS[behaviour])
        else:
            getattr(self, behaviour)(FILES[name])

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def half(self, content):
        self.answer(200, content[:len(content) // 2])
        self.server.half_sent.set()
        self.server.released.wait(30)
        self.wfile.write(content[len(content) // 2:])

    def drip(self, content):
        self.answer(200, b'')
        while not self.server.released.wait(0.05):
            self.wfile.write(b'x')

    def garbage(self, content):
        self.wfile.write(b'\x1b[31m garbage' * 1000 + b'\n')

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.asked = []
    server.handle_error = print  # where the loader has hung up
    server.half_sent, server.released = threading.Event(), threading.Event()
    server.url = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(input_data, 'SHA256', SHA256)
    monkeypatch.setattr(input_data, 'MIRRORS', [f'{server.url}/ok/'])
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def holds(folder, names=NAMES):
    """Whether the folder holds these files, complete, and nothing else."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: FILES[name] for name in names}


def test_the_constants(real_mnist):
    for name, sha256 in input_data.SHA256.items():
        assert hashlib.sha256(read_idx(real_mnist / name)).hexdigest() == sha256
    assert input_data.DEFAULT_SOURCE_URL == 'https://storage.googleapis.com/cvdf-datasets/mnist/'
    assert input_data.MIRRORS == (
        input_data.DEFAULT_SOURCE_URL, 'https://ossci-datasets.s3.amazonaws.com/mnist/')
    assert 5 <= input_data.TIMEOUT <= 15 and 300 <= input_data.DEADLINE <= 900
    sets = input_data.read_data_sets(real_mnist)
    assert [s.images.shape for s in sets] == [(55000, 784), (5000, 784), (10000, 784)]


def test_what_is_missing_is_downloaded_once(server, tmp_path, capfd):
    folder = tmp_path / 'new' / 'folder'
    with mock.patch.object(zlib, 'decompressobj', wraps=zlib.decompressobj) as unpack:
        input_data.read_data_sets(str(folder))
    assert holds(folder) and server.asked == [('ok', name) for name in NAMES]
    assert unpack.call_count <= 8  # each file twice: as it is checked, and as it is read
    (folder / 'mine').touch()  # others may read a download just as any file
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    out, err = capfd.readouterr()
    assert (out, err.splitlines()) == ('', [f'Downloading {server.url}/ok/{n}' for n in NAMES])


def test_mirrors_are_tried_in_order(server, tmp_path, monkeypatch):
    behaviours = ['missing', 'bad_checksum', 'garbage', 'other_labels', 'ok']
    monkeypatch.setattr(input_data, 'MIRRORS', [f'{server.url}/{each}/' for each in behaviours])
    input_data.maybe_download(TEST_LABELS, tmp_path)
    assert server.asked == [(each, TEST_LABELS) for each in behaviours]
    assert holds(tmp_path, [TEST_LABELS])


@pytest.mark.parametrize('source_url', [
    '', None, 'https://storage.googleapis.com/cvdf-datasets/mnist',
    'http://storage.googleapis.com/cvdf-datasets/mnist/', 'http://yann.lecun.com/exdb/mnist',
    'https://ossci-datasets.s3.amazonaws.com/mnist/', 'http://yann.lecun.com/exdb/mnist/'])
def test_the_known_addresses_are_mnist(server, tmp_path, source_url):
    input_data.read_data_sets(tmp_path, source_url=source_url)
    assert holds(tmp_path) and len(server.asked) == 4


@pytest.mark.parametrize('form', ['fashion', 'fashion/', 'fashion?file='])
def test_any_set_from_the_callers_address(server, tmp_path, form):
    sets = input_data.read_data_sets(tmp_path, source_url=f'{server.url}/{form}')
    assert np.array_equal(sets.test.labels, FASHION[TEST_LABELS])
    assert server.asked == [('fashion', name) for name in NAMES]


@pytest.mark.parametrize('names', [n for k in (1, 2, 3) for n in itertools.combinations(NAMES, k)])
def test_sets_are_not_mixed(server, tmp_path, names):
    """Whichever part of one lies there, the first of it unpacked."""
    mnist = {name: read_idx(SAMPLE / name) for name in NAMES}
    missing = [name for name in NAMES if name not in names]

    def complete(folder, arrays, source_url=None):
        write_set(folder, {name: arrays[name] for name in names})
        (folder / names[0][:-3]).write_bytes(gzip.decompress((folder / names[0]).read_bytes()))
        (folder / names[0]).unlink()
        input_data.read_data_sets(folder, source_url=source_url)

    with pytest.raises(ValueError, match=f"{missing[0]} is missing, .* is not MNIST's, so MNIST's"):
        complete(tmp_path / 'fashion', FASHION)
    if TRAIN_IMAGES in names or TEST_IMAGES in names:  # its labels may be another set's as well
        with pytest.raises(ValueError, match=f"{missing[0]} is missing, .* is MNIST's, so another"):
            complete(tmp_path / 'mnist', mnist, f'{server.url}/fashion')
    write_set(tmp_path / 'swapped', {TRAIN_LABELS: mnist[TEST_LABELS]})
    with pytest.raises(ValueError, match="is not MNIST's"):
        input_data.read_data_sets(tmp_path / 'swapped')
    assert server.asked == []
    complete(tmp_path / 'again', mnist)
    complete(tmp_path / 'other', FASHION, f'{server.url}/fashion')
    assert server.asked == [(source, name) for source in ('ok', 'fashion') for name in missing]


def test_a_set_as_large_as_fashion_mnist_and_the_limit(server, tmp_path, monkeypatch):
    write_set(tmp_path, {TRAIN_LABELS: read_idx(SAMPLE / TRAIN_LABELS)})  # a set may share labels
    url = f'{server.url}/large/{TRAIN_IMAGES}'
    assert input_data.maybe_download(TRAIN_IMAGES, tmp_path, url)  # Fashion-MNIST's has half of it
    monkeypatch.setattr(input_data, 'MAX_BYTES', 10**7)
    with pytest.raises(OSError, match='over 10000000 bytes or'):
        input_data.maybe_download(TRAIN_IMAGES, tmp_path / '2', url)


@pytest.mark.parametrize('behaviour, reason', [
    ('missing', '404'), ('cut', 'cut off'), ('bad_checksum', ''), ('large', 'holds no'),
    ('garbage', ''), ('half', 'timed out'), ('drip', '0.6 s')])
def test_a_bad_answer(server, tmp_path, monkeypatch, behaviour, reason):
    monkeypatch.setattr(input_data, 'TIMEOUT', 0.3)
    monkeypatch.setattr(input_data, 'DEADLINE', 0.6)
    url = f'{server.url}/{behaviour}/{TEST_LABELS}'
    with pytest.raises(OSError) as caught:
        input_data.maybe_download(TEST_LABELS, tmp_path, url)
    message = str(caught.value)
    assert message.startswith(f'{TEST_LABELS} could not be downloaded; {url}: ')
    assert reason in message and message.isprintable() and len(message) < 700
    assert f'into {tmp_path} by hand' in message and caught.value.__cause__
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('folder', ['file', 'file/below', '/proc/no/such'])
def test_a_folder_that_cannot_be_is_told_before_the_download(server, tmp_path, folder):
    (tmp_path / 'file').write_bytes(b'mine')
    with pytest.raises(OSError) as caught:
        input_data.read_data_sets(tmp_path / folder)
    assert caught.value.errno and server.asked == []


def child(server, folder, behaviour, before=''):
    code = f'''{before}
import input_data
input_data.SHA256, input_data.MIRRORS = {SHA256}, 2 * ['{server.url}/{behaviour}/']
input_data.maybe_download({TEST_LABELS!r}, {str(folder)!r})'''
    return python('-c', code, cwd=ROOT, no_proxy='*')


def test_a_full_disk_is_told_as_itself_and_once(server, tmp_path):
    limit = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))'
    run = finish(child(server, tmp_path, 'ok', limit))
    assert run.status == 1 and run.err.splitlines()[-1].startswith('OSError: [Errno ')
    assert len(server.asked) == 1 and list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(server, tmp_path):
    stranger = tmp_path / f'{TEST_LABELS}.1.part'  # of another process, which may be at work
    stranger.touch()
    os.utime(stranger, (0, 0))
    process = child(server, tmp_path, 'half')
    assert server.half_sent.wait(30)
    process.send_signal(signal.SIGINT)
    assert finish(process).status != 0
    assert list(tmp_path.iterdir()) == [stranger]
    input_data.maybe_download(TEST_LABELS, tmp_path)
    assert stranger.exists()
