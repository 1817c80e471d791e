"""Downloads from a real server on this machine that misbehaves on demand; other ways to fail."""

import hashlib
import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import input_data
from conftest import DATA, NAMES, ROOT

IMAGES, LABELS = NAMES[0], NAMES[3]  # the largest and the smallest file
PAGE = b'<!DOCTYPE html>\n<html><body>Please log in</body></html>\n'
REAL = all((DATA / name).is_file() for name in NAMES)
FILES = {name: (DATA / ('' if REAL else 'sample') / name).read_bytes() for name in NAMES}
DIGESTS = {name: (len(content), hashlib.sha256(content).hexdigest())
           for name, content in FILES.items()}  # of MNIST where it is there, else of the sample


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of an address says how the file in its second part is answered."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        _, manner, name = self.path.split('/')
        self.server.asked.append((manner, name))
        self.close_connection = True
        try:
            getattr(self, manner)(name, FILES.get(name, b'some other file'))
        except ConnectionError:
            pass  # the loader had enough

    def head(self, status, length=None, **headers):
        self.send_response(status)
        if length is not None:
            self.send_header('Content-Length', str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def ok(self, name, content):
        self.head(200, len(content))
        self.wfile.write(content)

    def missing(self, name, content):
        self.send_error(404)

    def forbidden(self, name, content):
        self.head(403, len(PAGE))
        self.wfile.write(PAGE)

    def page(self, name, content):
        self.head(200, len(PAGE))
        self.wfile.write(PAGE)

    def redirect(self, name, content):
        self.head(302, 0, Location=f'/ok/{name}')

    def circle(self, name, content):
        self.head(302, 0, Location=f'/circle/{name}')

    def stall(self, name, content):
        self.server.released.wait(10)

    def stall_half_way(self, name, content):
        self.head(200, len(content))
        self.wfile.write(content[:len(content) // 2])
        self.server.half.set()
        self.server.released.wait(10)

    def pause(self, name, content):
        self.stall_half_way(name, content)
        self.wfile.write(content[len(content) // 2:])

    def meet(self, name, content):
        self.head(200, len(content))
        self.wfile.write(content[:len(content) // 2])
        self.server.barrier.wait(30)  # until the other one is as far
        self.wfile.write(content[len(content) // 2:])

    def drip(self, name, content):
        self.head(200, len(content))
        for byte in content[:500]:
            self.wfile.write(bytes([byte]))
            if self.server.released.wait(0.02):
                break

    def drip_of_headers(self, name, content):
        self.wfile.write(b'HTTP/1.1 200 OK\r\nX: ')
        for _ in range(500):
            self.wfile.write(b'x')
            if self.server.released.wait(0.02):
                break

    def cut(self, name, content):
        self.head(200, len(content))
        self.wfile.write(content[:len(content) // 2])

    def cut_without_length(self, name, content):
        self.head(200)
        self.wfile.write(content[:len(content) // 2])

    def nothing(self, name, content):
        self.head(200, 0)

    def hang_up(self, name, content):
        pass

    def garbage(self, name, content):
        self.wfile.write(b'\x1b[31m garbage' * 1000 + b'\n')

    def wrong(self, name, content):
        self.head(200, len(content))
        self.wfile.write(content[:-1] + bytes([content[-1] ^ 1]))

    def endless(self, name, content):
        self.head(200)
        while self.server.sent < 1 << 28:  # for a test that fails, endless enough
            self.wfile.write(content)
            self.server.sent += len(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server that answers as the address asks; the loader's digests are those of its files."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.asked, server.sent = [], 0
    server.half, server.released = threading.Event(), threading.Event()
    server.barrier = threading.Barrier(2)
    server.url = f'http://127.0.0.1:{server.server_port}'
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(input_data, 'DIGESTS', DIGESTS)
    monkeypatch.setattr(input_data, 'TIMEOUT', 5)
    monkeypatch.setattr(input_data, 'MIRRORS', [f'{server.url}/ok/'])
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()


def mirrors(server, *manners):
    return [f'{server.url}/{manner}/' for manner in manners]


def complete(folder, names=NAMES):
    """Whether the folder holds these files, all of each, and nothing else."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: FILES[name] for name in names}


def failure(folder, name=LABELS, url=None):
    """The message of the OSError that a download must end with; no trace of it may stay."""
    start = time.monotonic()
    with pytest.raises(OSError) as caught:
        input_data.maybe_download(name, folder, url)
    assert time.monotonic() - start < 4
    assert not folder.exists() or list(folder.iterdir()) == []
    message = str(caught.value)
    assert '\n' not in message and message.isprintable() and name in message
    return message


CHILD = '''
import signal, sys, threading
import input_data
signal.signal(signal.SIGINT, signal.default_int_handler)
folder, mirror = sys.argv[1:3]
input_data.DIGESTS, input_data.MIRRORS, input_data.TIMEOUT = eval(sys.argv[3]), [mirror], 20
'''


def child(code, folder, mirror, **options):
    """A Python of its own that runs the code, with this server and no other."""
    return subprocess.Popen([sys.executable, '-c', CHILD + code, folder, mirror, repr(DIGESTS)],
                            cwd=ROOT, text=True, **{'stdout': subprocess.PIPE,
                                                    'stderr': subprocess.PIPE, **options})


READ = "print(len(input_data.read_data_sets(folder).train.images))"
GET = f"input_data.maybe_download('{IMAGES}', folder)"


# What works


def test_the_digests_are_those_of_mnist():
    assert input_data.DIGESTS == {
        'train-images-idx3-ubyte.gz':
            (9912422, '440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609'),
        'train-labels-idx1-ubyte.gz':
            (28881, '3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c'),
        't10k-images-idx3-ubyte.gz':
            (1648877, '8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6'),
        't10k-labels-idx1-ubyte.gz':
            (4542, 'f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6'),
    }
    assert not REAL or DIGESTS == input_data.DIGESTS


def test_the_mirrors_are_two_and_safe():
    assert len(set(input_data.MIRRORS)) == 2
    for url in input_data.MIRRORS:
        assert url.startswith('https://') and url.endswith('/')
    assert 5 <= input_data.TIMEOUT <= 15


def test_what_is_missing_is_downloaded_once(server, tmp_path, capfd):
    folder = tmp_path / 'new' / 'folder'
    sets = input_data.read_data_sets(str(folder))
    assert sets.train.num_examples in (55000, 10000) and complete(folder)
    assert sorted(server.asked) == sorted(('ok', name) for name in NAMES)
    out, err = capfd.readouterr()
    assert out == '' and '\r' not in err
    assert [line.rsplit('/', 1)[1] for line in err.splitlines()] == [
        f'{name} ({len(FILES[name]):,} bytes).' for name in NAMES]
    (folder / LABELS).unlink()
    input_data.read_data_sets(folder)
    input_data.read_data_sets(folder)
    assert server.asked[4:] == [('ok', LABELS)] and complete(folder)


def test_the_path_is_returned(server, tmp_path):
    for _ in range(2):
        path = input_data.maybe_download(LABELS, str(tmp_path))
        assert path == os.path.join(tmp_path, LABELS)
    assert len(server.asked) == 1


def test_a_home_folder_and_a_path(server, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    input_data.maybe_download(LABELS, '~/digits')
    assert complete(tmp_path / 'digits', [LABELS])
    input_data.maybe_download(LABELS, Path('~') / 'other digits')
    assert complete(tmp_path / 'other digits', [LABELS])


def test_a_redirect_is_followed(server, tmp_path, monkeypatch):
    monkeypatch.setattr(input_data, 'MIRRORS', mirrors(server, 'redirect'))
    input_data.maybe_download(LABELS, tmp_path)
    assert server.asked == [('redirect', LABELS), ('ok', LABELS)] and complete(tmp_path, [LABELS])


def test_mirrors_are_tried_in_order(server, tmp_path, monkeypatch):
    manners = ['missing', 'forbidden', 'page', 'cut', 'wrong', 'ok', 'stall']
    monkeypatch.setattr(input_data, 'MIRRORS', mirrors(server, *manners))
    input_data.maybe_download(LABELS, tmp_path)
    assert server.asked == [(manner, LABELS) for manner in manners[:-1]]
    assert complete(tmp_path, [LABELS])


@pytest.mark.parametrize('slash', ['', '/'])
def test_the_callers_address_is_tried_alone(server, tmp_path, monkeypatch, slash):
    monkeypatch.setattr(input_data, 'MIRRORS', mirrors(server, 'missing'))
    input_data.read_data_sets(tmp_path, source_url=f'{server.url}/ok{slash}')
    assert server.asked == [('ok', name) for name in NAMES] and complete(tmp_path)


@pytest.mark.parametrize('manner, answer', [('missing', '404'), ('wrong', 'SHA-256')])
def test_the_callers_address_is_checked_and_not_helped_out(server, tmp_path, manner, answer):
    with pytest.raises(OSError, match=answer) as caught:
        input_data.read_data_sets(tmp_path, source_url=f'{server.url}/{manner}/')
    assert '/ok/' not in str(caught.value)
    assert {asked for asked, _ in server.asked} == {manner} and complete(tmp_path, [])


@pytest.mark.parametrize('source_url', ['', None, input_data.DEFAULT_SOURCE_URL])
def test_no_address_means_the_mirrors(server, tmp_path, source_url):
    input_data.read_data_sets(tmp_path, source_url=source_url)
    assert complete(tmp_path) and server.asked


def test_the_address_of_one_file(server, tmp_path):
    path = input_data.maybe_download('notes', tmp_path, f'{server.url}/ok/notes')
    assert Path(path).read_bytes() == b'some other file'


def test_an_address_in_the_file_system(server, tmp_path):
    (tmp_path / LABELS).write_bytes(FILES[LABELS])
    input_data.maybe_download(LABELS, tmp_path / 'here', (tmp_path / LABELS).as_uri())
    assert complete(tmp_path / 'here', [LABELS])


# What fails, and says so in seconds


@pytest.mark.parametrize('manner, answer', [
    ('missing', 'HTTP Error 404'),
    ('forbidden', 'HTTP Error 403'),
    ('page', f'sent {len(PAGE)} bytes, not the '),
    ('nothing', 'sent 0 bytes, not the '),
    ('cut', 'bytes'),
    ('cut_without_length', f'sent {len(FILES[LABELS]) // 2:,} bytes, not the '),
    ('wrong', f'of SHA-256 {DIGESTS[LABELS][1][:8]}'),
    ('circle', 'redirect'),
    ('hang_up', 'closed connection'),
    ('garbage', 'garbage'),
    ('endless', 'sent '),
])
def test_a_bad_answer(server, tmp_path, manner, answer):
    url = f'{server.url}/{manner}/{LABELS}'
    message = failure(tmp_path / 'new', url=url)
    assert f'{url}: ' in message and answer in message and len(message) < 1000


@pytest.mark.parametrize('manner', ['stall', 'stall_half_way', 'drip', 'drip_of_headers'])
def test_waiting_ends(server, tmp_path, monkeypatch, manner):
    monkeypatch.setattr(input_data, 'TIMEOUT', 0.5)
    url = f'{server.url}/{manner}/{LABELS}'
    assert re.search(f'{url}: .*(timed out|no answer)', failure(tmp_path, url=url))


def test_an_endless_answer_is_cut_off(server, tmp_path):
    failure(tmp_path, IMAGES, f'{server.url}/endless/{IMAGES}')
    assert server.sent < 1 << 27  # the file, and what the system buffers


@pytest.mark.parametrize('url, answer', [
    ('http://127.0.0.1:9/x', 'refused'),
    ('no address at all', 'unknown url type'),
    ('http://a b/', ''),
    ('gopher://127.0.0.1/', 'unknown url type'),
])
def test_no_server(server, tmp_path, url, answer):
    assert answer in failure(tmp_path, url=url)


def test_a_dead_look_up_of_a_name_ends(server, tmp_path, monkeypatch):
    monkeypatch.setattr(input_data, 'TIMEOUT', 0.5)
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *args, **kw: server.released.wait(10))
    assert 'no answer' in failure(tmp_path, url='http://name.invalid/x')


def test_waiting_does_not_keep_the_process(server, tmp_path):
    """The interpreter ends at once, although a thread of it still waits for the server."""
    start = time.monotonic()
    process = child('input_data.TIMEOUT = 0.5\n' + GET, tmp_path, *mirrors(server, 'drip'))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1 and 'Cannot download' in err.splitlines()[-1]
    assert time.monotonic() - start < 10 and complete(tmp_path, [])


@pytest.mark.parametrize('manner', ['cut', 'missing'])
def test_a_file_of_another_name_is_complete_or_absent_too(server, tmp_path, manner):
    failure(tmp_path, 'notes', f'{server.url}/{manner}/notes')


def test_when_all_fail_the_message_says_what_to_do(server, tmp_path, monkeypatch):
    addresses = mirrors(server, 'missing', 'forbidden')
    monkeypatch.setattr(input_data, 'MIRRORS', addresses)
    message = failure(tmp_path, IMAGES)
    assert f'{addresses[0]}{IMAGES}: HTTP Error 404: Not Found' in message
    assert f'{addresses[1]}{IMAGES}: HTTP Error 403: Forbidden' in message
    assert f'Put the four files into {tmp_path} by hand' in message
    assert 'name another folder' in message and 'MNIST_data/sample' in message


# The folder


def test_a_folder_that_is_a_file(server, tmp_path):
    (tmp_path / 'file').write_bytes(b'mine')
    for folder in tmp_path / 'file', tmp_path / 'file' / 'below':
        with pytest.raises(OSError, match=re.escape(str(folder))) as caught:
            input_data.read_data_sets(folder)
        assert 'Not a directory. Name another folder.' in str(caught.value)
    assert (tmp_path / 'file').read_bytes() == b'mine' and server.asked == []


@pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='no folder that even root cannot write')
def test_a_folder_that_cannot_be_written(server):
    for folder in '/proc/digits', '/proc/self':
        with pytest.raises(OSError, match=f'^Cannot write {folder}/.*Name another') as caught:
            input_data.read_data_sets(folder)
        assert '\n' not in str(caught.value)
    assert server.asked == []


@pytest.mark.skipif(os.name != 'posix', reason='limits the size of files')
def test_a_full_disk(server, tmp_path):
    process = child('''
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
''' + GET, tmp_path, *mirrors(server, 'ok'))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and out == ''
    assert err.splitlines()[-1] == (
        f'OSError: Cannot write {tmp_path / IMAGES}: File too large. Name another folder.')
    assert complete(tmp_path, []) and server.asked == [('ok', IMAGES)]


# Interruptions


def part_of(folder):
    """Wait for the half that the server has sent; return the file that holds it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for path in folder.iterdir():
            if path.stat().st_size > len(FILES[IMAGES]) // 4:
                return path
        time.sleep(0.01)
    raise AssertionError('no half download came')


def test_a_killed_download_starts_again(server, tmp_path):
    process = child(GET, tmp_path, *mirrors(server, 'pause'))
    part = part_of(tmp_path)
    process.kill()
    process.communicate()
    assert part.name.endswith('.part') and not (tmp_path / IMAGES).exists()
    process = child(READ, tmp_path, *mirrors(server, 'ok'))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and int(out) in (55000, 10000), err
    part.unlink()
    assert complete(tmp_path)


@pytest.mark.skipif(os.name != 'posix', reason='sends an interrupt')
def test_an_interrupt_leaves_nothing(server, tmp_path):
    process = child(GET, tmp_path, *mirrors(server, 'pause'))
    part_of(tmp_path)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode != 0 and 'KeyboardInterrupt' in err
    assert complete(tmp_path, [])


def test_two_processes_at_once(server, tmp_path):
    processes = [child(READ, tmp_path, *mirrors(server, 'meet')) for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and int(out) in (55000, 10000), err
    assert complete(tmp_path)
    assert sorted(server.asked) == sorted(('meet', name) for name in 2 * NAMES)


# What a person sees


def test_the_live_line_of_a_terminal(server, tmp_path):
    pty = pytest.importorskip('pty')
    ours, theirs = pty.openpty()
    process = child(READ, tmp_path, *mirrors(server, 'ok'), stderr=theirs)
    os.close(theirs)
    shown = b''
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # so Linux tells the end
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and out.strip().isdigit()
    shown = shown.decode().replace('\r\n', '\n')
    percents = [int(number) for number in re.findall(f'{re.escape(IMAGES)} (\\d+)%\r', shown)]
    assert len(percents) > 10 and percents == sorted(percents) and percents[-1] == 100
    stays = [line.rsplit('\r', 1)[-1] for line in shown.split('\n')]
    assert stays == [f'Downloaded {server.url}/ok/{name} ({len(FILES[name]):,} bytes).'
                     for name in NAMES] + ['']
    assert all(len(line) <= 34 for line in re.findall('[^\r\n]*\r', shown))  # short: covered


def test_no_console_at_all(server, tmp_path):
    """With stderr closed, print would turn to stdout."""
    process = child('sys.stderr = None\n' + READ, tmp_path, *mirrors(server, 'ok'))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out.strip().isdigit() and err == ''
