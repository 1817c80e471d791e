"""Downloads from a real server on this machine that misbehaves on demand; other ways to fail."""

import gzip
import hashlib
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import (NAMES, ROOT, SAMPLE, TEST_LABELS, TRAIN_IMAGES, environment, gzip_idx,
                     random_set, read_idx, write_set)

import input_data

PAGE = b'<!DOCTYPE html>\n<html><body>Please log in</body></html>\n'
# The sample stands for MNIST here: it is smaller, and always there.
FILES = {name: (SAMPLE / name).read_bytes() for name in NAMES}
SHA256 = {name[:-3]: hashlib.sha256(read_idx(SAMPLE / name)).hexdigest() for name in NAMES}
FASHION = random_set(train=5100, test=20, rows=4, columns=4)  # stands for any other set
LABELS = FILES[TEST_LABELS]
FIXED = {  # behaviour: status, announced length or None, body, for the file of test labels
    'missing': (404, len(PAGE), PAGE),
    'page': (200, len(PAGE), PAGE),
    'nothing': (200, 0, b''),
    'cut': (200, len(LABELS), LABELS[:-1]),
    'cut_without_length': (200, None, LABELS[:-1]),
    'bad_checksum': (200, len(LABELS), LABELS[:-8] + bytes(8)),
    'wrong_kind': (200, None, FILES[TRAIN_IMAGES]),
    'other_labels': (200, None, gzip_idx(np.zeros(2000, np.uint8))),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of an address says how the file in its second part is answered."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        _, behaviour, name = self.path.split('/')
        self.server.asked.append((behaviour, name))
        self.close_connection = True
        try:
            if behaviour in FIXED:
                self.answer(*FIXED[behaviour])
            else:
                getattr(self, behaviour)(name, FILES[name])
        except ConnectionError:
            pass  # the loader has hung up

    def answer(self, status, length, body, **headers):
        self.send_response(status)
        if length is not None:
            headers['Content-Length'] = length
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def ok(self, name, content):
        self.answer(200, len(content), content)

    def fashion(self, name, content):
        self.answer(200, None, gzip_idx(FASHION[name]))

    def redirect(self, name, content):
        self.answer(302, 0, b'', Location=f'/ok/{name}')

    def circle(self, name, content):
        self.answer(302, 0, b'', Location=f'/circle/{name}')

    def stall(self, name, content):
        self.server.released.wait(30)

    def half(self, name, content):
        """Send the second half when the test says so."""
        self.answer(200, len(content), content[:len(content) // 2])
        self.server.half_sent.release()
        self.server.released.wait(30)
        self.wfile.write(content[len(content) // 2:])

    def drip(self, name, content):
        self.answer(200, len(content), b'')
        while not self.server.released.wait(0.05):
            self.wfile.write(b'x')

    def hang_up(self, name, content):
        pass

    def garbage(self, name, content):
        self.wfile.write(b'\x1b[31m garbage' * 1000 + b'\n')

    def endless(self, name, content):
        self.answer(200, None, b'')
        while self.server.sent < 1 << 28:  # for a test that fails, endless enough
            self.server.sent += self.wfile.write(bytes(1 << 16))

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server that answers as the address asks, for a loader that takes the sample for MNIST."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.asked, server.sent = [], 0
    server.half_sent, server.released = threading.Semaphore(0), threading.Event()
    server.url = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(input_data, 'SHA256', SHA256)
    monkeypatch.setattr(input_data, 'MIRRORS', [f'{server.url}/ok/'])
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def mirrors(server, *behaviours):
    return [f'{server.url}/{behaviour}/' for behaviour in behaviours]


def holds(folder, names=NAMES):
    """Whether the folder holds these files, complete, and nothing else."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: FILES[name] for name in names}


def failure(folder, url, name=TEST_LABELS, error=OSError):
    """Return the message of the error that a download must end with; it may leave nothing."""
    with pytest.raises(error) as caught:
        input_data.maybe_download(name, folder, url)
    assert not folder.exists() or holds(folder, [])
    message = str(caught.value)
    assert message.isprintable() and name in message and str(folder) in message
    return message


def start(code, server, folder, behaviour='ok', **options):
    """Start a Python that runs code with the loader, this folder and this behaviour of MIRRORS."""
    setup = (f'import os, sys, time, signal, input_data\nfolder = {str(folder)!r}\n'
             f'signal.signal(signal.SIGINT, signal.default_int_handler)\n'
             f'input_data.SHA256, input_data.MIRRORS = {SHA256}, {mirrors(server, behaviour)}\n')
    options = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, '-c', setup + code], cwd=ROOT, text=True,
                            env=environment(no_proxy='*'), **options)


READ = 'print(len(input_data.read_data_sets(folder).train.images))'
GET = f'input_data.maybe_download({TEST_LABELS!r}, folder)'


def finish(process):
    """Return the exit status, stdout and stderr of a process."""
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


# What works


def test_the_constants(real_mnist):
    digests = {name[:-3]: hashlib.sha256(read_idx(real_mnist / name)).hexdigest() for name in NAMES}
    assert digests == input_data.SHA256
    assert len(set(input_data.MIRRORS)) == 2
    assert all(re.fullmatch('https://.*/', url) for url in input_data.MIRRORS)
    assert input_data.TIMEOUT <= 15 and input_data.DEADLINE <= 900


def test_what_is_missing_is_downloaded_once(server, tmp_path, capfd):
    folder = tmp_path / 'new' / 'folder'
    assert input_data.read_data_sets(str(folder)).train.num_examples == 10000
    assert holds(folder) and server.asked == [('ok', name) for name in NAMES]
    out, err = capfd.readouterr()
    assert (out, err.splitlines()) == ('', [
        f'Downloading {server.url}/ok/{name} into {folder}; it has 10 s to answer'
        for name in NAMES])
    (folder / TEST_LABELS).unlink()
    assert input_data.maybe_download(TEST_LABELS, folder) == str(folder / TEST_LABELS)
    input_data.read_data_sets(folder)
    assert server.asked[4:] == [('ok', TEST_LABELS)] and holds(folder)


def test_mirrors_are_tried_in_order(server, tmp_path, monkeypatch):
    behaviours = ['missing', 'page', 'cut', 'bad_checksum', 'other_labels', 'redirect', 'stall']
    monkeypatch.setattr(input_data, 'MIRRORS', mirrors(server, *behaviours))
    input_data.maybe_download(TEST_LABELS, tmp_path)
    assert [behaviour for behaviour, _ in server.asked] == [*behaviours[:-1], 'ok']
    assert holds(tmp_path, [TEST_LABELS])


@pytest.mark.parametrize('source_url', ['', None, input_data.DEFAULT_SOURCE_URL.rstrip('/')])
def test_no_address_means_the_mirrors(server, tmp_path, source_url):
    input_data.read_data_sets(tmp_path, source_url=source_url)
    assert holds(tmp_path) and len(server.asked) == 4


@pytest.mark.parametrize('slash', ['', '/'])
def test_any_set_from_the_callers_address(server, tmp_path, monkeypatch, slash):
    monkeypatch.setattr(input_data, 'MIRRORS', mirrors(server, 'missing'))
    sets = input_data.read_data_sets(tmp_path, source_url=f'{server.url}/fashion{slash}')
    assert np.array_equal(sets.test.labels, FASHION[TEST_LABELS])
    assert server.asked == [('fashion', name) for name in NAMES]


def test_a_file_on_this_machine_has_an_address_too(tmp_path):
    input_data.maybe_download(TEST_LABELS, tmp_path, (SAMPLE / TEST_LABELS).as_uri())
    assert holds(tmp_path, [TEST_LABELS])


# Never mix


@pytest.mark.parametrize('missing', NAMES)
@pytest.mark.parametrize('plain', [False, True])
def test_another_set_is_not_filled_up_with_mnist(server, tmp_path, missing, plain):
    write_set(tmp_path, {name: FASHION[name] for name in NAMES if name != missing})
    for path in list(tmp_path.iterdir()) if plain else []:
        path.with_suffix('').write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=f"lacks {missing}, and {tmp_path}/.* is not MNIST's"):
        input_data.read_data_sets(tmp_path)
    assert server.asked == [] and sorted(tmp_path.iterdir()) == before
    input_data.read_data_sets(tmp_path, source_url=f'{server.url}/fashion')
    assert server.asked == [('fashion', missing)]


@pytest.mark.parametrize('plain', [False, True])
def test_mnist_and_strange_files_are_no_hindrance(server, tmp_path, plain):
    (tmp_path / 'README').write_bytes(b'mine')
    content = gzip.decompress(LABELS)  # packed again, it is MNIST still
    (tmp_path / TEST_LABELS[:-3 if plain else None]).write_bytes(
        content if plain else gzip.compress(content, compresslevel=1))
    input_data.read_data_sets(tmp_path)
    assert server.asked == [('ok', name) for name in NAMES[:3]]


# What fails, and says so


@pytest.mark.parametrize('behaviour, reason', [
    ('missing', '404'), ('page', 'holds no labels'),
    ('nothing', 'is damaged'), ('cut', 'ended before the end-of-stream'),
    ('cut_without_length', 'ended before the end-of-stream'), ('bad_checksum', 'CRC'),
    ('wrong_kind', 'no labels'), ('circle', 'redirect'), ('hang_up', 'closed connection'),
    ('garbage', 'garbage'), ('endless', 'more than 100 MB')])
def test_a_bad_answer(server, tmp_path, behaviour, reason):
    url = f'{server.url}/{behaviour}/{TEST_LABELS}'
    message = failure(tmp_path / ('a long. name' * 20), url)  # it must not hide the reason
    assert f'({url}: ' in message and reason in message and len(message) < 800
    assert 'good copy' not in message  # there is no file to replace
    assert server.sent < 1 << 27


@pytest.mark.parametrize('behaviour', ['stall', 'half', 'drip'])
def test_waiting_ends(server, tmp_path, monkeypatch, behaviour):
    monkeypatch.setattr(input_data, 'TIMEOUT', 0.3)
    monkeypatch.setattr(input_data, 'DEADLINE', 0.6)
    message = failure(tmp_path, f'{server.url}/{behaviour}/{TEST_LABELS}')
    assert ('0.6 s' if behaviour == 'drip' else 'timed out') in message


@pytest.mark.parametrize('url, reason', [
    ('http://127.0.0.1:9/x', 'refused'), ('no address at all', 'unknown url type'),
    ('http://a b/', ''), ('gopher://127.0.0.1/', 'unknown url type')])
def test_no_server(server, tmp_path, url, reason):
    assert reason in failure(tmp_path, url)


def test_when_all_fail_the_message_says_what_to_do(server, tmp_path, monkeypatch):
    first, second = mirrors(server, 'missing', 'other_labels')
    monkeypatch.setattr(input_data, 'MIRRORS', [first, second])
    message = failure(tmp_path, None)
    assert f'{first}{TEST_LABELS}: ' in message and f'{second}{TEST_LABELS}: ' in message
    assert "not MNIST's" in message and f'Put the four files into {tmp_path} by hand' in message


# The folder


@pytest.mark.parametrize('below', ['', 'below'])
def test_a_folder_that_is_a_file(server, tmp_path, below):
    (tmp_path / 'file').write_bytes(b'mine')
    folder = tmp_path / 'file' / below
    with pytest.raises(OSError, match=f'(exists|Not a directory).* into {folder} by hand'):
        input_data.read_data_sets(folder)
    assert (tmp_path / 'file').read_bytes() == b'mine'


@pytest.mark.skipif(os.name != 'posix', reason='takes rights away')
@pytest.mark.parametrize('limit', ['import encodings.idna; os.getuid() or os.setuid(65534)', '''
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
'''], ids=['no right', 'no room'])
def test_a_folder_that_cannot_be_written(server, tmp_path, limit):
    tmp_path.chmod(0o555 if 'setuid' in limit else 0o755)
    for parent in tmp_path.parents[:2]:  # pytest's own, closed to other users
        parent.chmod(parent.stat().st_mode | 0o055)
    status, out, err = finish(start(f'{limit}\n{GET}', server, tmp_path))
    assert (status, out) == (1, '')
    assert re.search(f'(Permission denied|File too large).* into {tmp_path} by hand, or name '
                     'another folder', err.splitlines()[-1])
    assert holds(tmp_path, [])


# Interruptions


@pytest.mark.skipif(os.name != 'posix', reason='sends an interrupt')
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_download_starts_again(server, tmp_path, number):
    process = start(READ, server, tmp_path, 'half')
    assert server.half_sent.acquire(timeout=30)
    process.send_signal(number)
    assert finish(process)[0] != 0 and holds(tmp_path, [])
    assert finish(start(READ, server, tmp_path))[:2] == (0, '10000\n') and holds(tmp_path)


def test_a_part_that_a_killed_process_left_is_removed(server, tmp_path):
    """The child hangs where its part is complete but has not got its name."""
    hang = ("import pathlib\npathlib.Path.replace = "
            "lambda *paths: (print('written', flush=True), time.sleep(60))\n")
    process = start(hang + GET, server, tmp_path)
    assert process.stdout.readline() == 'written\n'
    part, = tmp_path.iterdir()
    assert part.name.endswith('.part') and part.read_bytes() == LABELS
    input_data.maybe_download(TEST_LABELS, tmp_path)
    assert part.exists()  # it could be a live one's, and it is
    process.kill()
    finish(process)
    (tmp_path / TEST_LABELS).unlink()
    os.utime(part, (time.time() - 3600,) * 2)
    stuck = part.with_name(f'{TEST_LABELS}.1.part')  # what cannot be removed does no harm
    stuck.mkdir()
    os.utime(stuck, (time.time() - 3600,) * 2)
    input_data.maybe_download(TEST_LABELS, tmp_path)
    stuck.rmdir()
    assert holds(tmp_path, [TEST_LABELS])


def test_a_file_is_moved_into_place(server, tmp_path, monkeypatch):
    parts, replace = [], Path.replace
    monkeypatch.setattr(Path, 'replace', lambda *paths: (parts.append(paths[0].stat()),
                                                         replace(*paths))[1])
    path = Path(input_data.maybe_download(TEST_LABELS, tmp_path))
    assert [(part.st_ino, part.st_size) for part in parts] == [(path.stat().st_ino, len(LABELS))]


def test_two_processes_at_once(server, tmp_path):
    processes = [start(GET, server, tmp_path, 'half') for _ in range(2)]
    assert server.half_sent.acquire(timeout=30) and server.half_sent.acquire(timeout=30)
    server.released.set()
    assert [finish(process)[0] for process in processes] == [0, 0]
    assert holds(tmp_path, [TEST_LABELS]) and len(server.asked) == 2


# What a person sees


def test_a_person_sees_what_is_being_waited_for(server, tmp_path):
    process = start(GET, server, tmp_path, 'stall')
    assert process.stderr.readline() == (  # while the server has not answered
        f'Downloading {server.url}/stall/{TEST_LABELS} into {tmp_path}; it has 10 s to answer\n')
    process.kill()
    finish(process)


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='has no /dev/full')
def test_a_console_that_takes_nothing(server, tmp_path):
    with open('/dev/full', 'w') as full:  # Python itself may exit with 120, as it cannot flush
        assert finish(start(READ, server, tmp_path, stderr=full))[1] == '10000\n'
    for i, closed in enumerate(['sys.stderr = None', 'sys.stderr.close()']):
        code = f"folder += '/{i}'\n{closed}\n{READ}"
        assert finish(start(code, server, tmp_path)) == (0, '10000\n', '')
