"""What a run leaves in its folder, and how the next run goes on from there."""

import builtins
import contextlib
import datetime
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import dae_mnist
from conftest import DATA, NAMES

SAMPLE = DATA / 'sample'
N_EPOCHS, N_HIDDEN = 5, 30  # 30 filters leave a part of the last row of the picture empty
FLAGS = '--data_dir', SAMPLE, '--n_hidden', N_HIDDEN, '--seed', 3
LIVE = re.compile(r'epoch (\d+): (\d+)%, ([\d,]+) images/s, (\d+):(\d\d) to go')


class Terminal(io.StringIO):
    def isatty(self):
        return True


class EachLine(io.StringIO):
    """A stdout that calls `see` with each line, as soon as it is complete."""

    def __init__(self, see):
        super().__init__()
        self.see = see

    def write(self, text):
        super().write(text)
        if text.endswith('\n'):
            self.see(self.getvalue().splitlines()[-1])
        return len(text)


def call(*flags, out=None, err=None):
    """Call main here; return Learned or the exit status, then what came on stdout and stderr."""
    out, err = out or io.StringIO(), err or io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            result = dae_mnist.main([str(flag) for flag in flags])
        except SystemExit as stop:
            result = stop.code
    return result, out.getvalue(), err.getvalue()


def weights(folder):
    """Return W, b, b_prime of the last checkpoint in a folder, or of one named by its path."""
    reader = tf.train.load_checkpoint(str(folder))
    return [reader.get_tensor(name) for name in ('W', 'b', 'b_prime')]


def kept(folder):
    """Return the epochs of which there is a checkpoint, complete, and no other file of one."""
    epochs = sorted({int(path.name.split('-')[1].split('.')[0]) for path in folder.glob('model*')})
    assert sorted(path.name for path in folder.glob('model*')) == sorted(
        f'model.ckpt-{i}.{end}' for i in epochs for end in ('data-00000-of-00001', 'index', 'meta'))
    return epochs


def logged(folder, tag):
    """Return {step: value} of what TensorBoard shows under a tag: a cost, or a picture."""
    found = {}
    for path in sorted(Path(folder).glob('events.out.tfevents.*')):
        with contextlib.suppress(tf.errors.DataLossError):  # its end, in a run that was killed
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    if value.tag == tag:
                        found[event.step] = (value.image if value.HasField('image') else
                                             np.float32(value.simple_value))
    return found


def tiles(path, columns, scale):
    """Decode a PNG grid; return its images [N, 28, 28], having checked what is around them."""
    pixels = tf.io.decode_png(Path(path).read_bytes()).numpy()
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 1
    small = pixels[::scale, ::scale, 0]
    np.testing.assert_array_equal(small.repeat(scale, axis=0).repeat(scale, axis=1), pixels[..., 0])
    assert small.shape[0] % 30 == 0 and small.shape[1] == 30 * columns
    framed = small.reshape(-1, 30, columns, 30).swapaxes(1, 2).reshape(-1, 30, 30)
    inner = framed[:, 1:-1, 1:-1].copy()
    framed[:, 1:-1, 1:-1] = 0
    assert not framed.any()
    return inner


def screen(text):
    """Return the lines that a terminal shows after this text: it obeys \\r, \\n and "erase"."""
    lines, column = [''], 0
    for piece in re.findall(r'\r|\n|\x1b\[K|[^\r\n\x1b]+|\x1b', text):
        if piece == '\x1b[K':
            lines[-1] = lines[-1][:column]
        elif piece in '\r\n':
            column = 0
            lines += [''] * (piece == '\n')
        else:
            assert piece.isprintable()
            lines[-1] = lines[-1][:column] + piece + lines[-1][column + len(piece):]
            column += len(piece)
    return lines


def snapshot(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run of 5 epochs that was left alone: its folder, Learned, stdout, stderr."""
    folder = tmp_path_factory.mktemp('whole')
    return folder, *call(*FLAGS, '--n_epochs', N_EPOCHS, '--log_dir', folder)


def test_default_folder_is_new_and_named_by_the_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begin, costs = datetime.datetime.now(), []
    for count in (1, 2):
        learned, out, err = call(*FLAGS, '--n_epochs', 1)
        costs.append(out)
        folders = sorted(os.listdir('logs'))
        assert os.listdir() == ['logs'] and len(folders) == count
        line, = err.splitlines()
        assert f'logs/{folders[-1]}.' in line and line.endswith('tensorboard --logdir logs')
        told = datetime.datetime.strptime(folders[-1][:15], '%Y%m%d-%H%M%S')
        assert begin.replace(microsecond=0) <= told <= datetime.datetime.now()
    assert costs[0] == costs[1]
    for folder in folders:  # two curves side by side, each from its own folder
        assert logged(f'logs/{folder}', 'cost') == {0: learned.costs[0]}


def test_the_last_line_names_the_folder_and_how_to_look_at_it(whole):
    folder, _, out, err = whole
    line, = err.splitlines()
    assert f' {folder}.' in line and f'tensorboard --logdir {folder.parent}' in line
    assert re.fullmatch(r'(\d \d+\.?\d*\n){5}', out) and out.split()[::2] == list('01234')


@pytest.mark.parametrize('log_dir', ['file/run', 'file', '/proc', '/proc/run', None])
def test_folder_that_cannot_be_written_is_told_before_training(log_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('file', 'logs'):
        Path(name).write_text('no folder')
    monkeypatch.setattr(dae_mnist, 'progress', lambda *args: pytest.fail('the training began'))
    status, out, err = call(*FLAGS, *(['--log_dir', log_dir] if log_dir else []))
    assert status == 1 and out == ''
    line, = err.splitlines()
    assert (log_dir or 'logs/') in line and '--log_dir' in line
    assert {path.name: text for path, text in snapshot('.').items()} == {
        'file': b'no folder', 'logs': b'no folder'}


def test_another_process_reads_the_weights(whole, tmp_path):
    folder, learned, _, _ = whole
    program = ('import sys, numpy, tensorflow as tf\n'
               'reader = tf.train.load_checkpoint(sys.argv[1])\n'
               'numpy.savez("w.npz", *[reader.get_tensor(name) for name in sys.argv[2:]])')
    subprocess.run([sys.executable, '-c', program, folder, 'W', 'b', 'b_prime'], cwd=tmp_path,
                   check=True, stderr=subprocess.DEVNULL)
    with np.load(tmp_path / 'w.npz') as arrays:
        read = list(arrays.values())
    assert [array.shape for array in read] == [(784, N_HIDDEN), (N_HIDDEN,), (784,)]
    for one, other in zip(read, learned):
        np.testing.assert_array_equal(one, other, strict=True)


def test_the_newest_checkpoints_are_kept(whole):
    folder, learned, _, _ = whole
    assert kept(folder) == [2, 3, 4]
    assert not np.array_equal(weights(folder / 'model.ckpt-3')[0], learned.W)
    np.testing.assert_array_equal(weights(folder / 'model.ckpt-4')[0], learned.W)
    names = {path.name for path in folder.iterdir() if not path.name.startswith(('mod', 'events'))}
    assert names == {'checkpoint', 'filters.png', 'reconstructions.png'}


def test_each_epoch_is_safe_before_the_next_one_ends(whole, tmp_path):
    """At each line on stdout the last epoch's checkpoint is there, and its cost for TensorBoard."""
    lines = []

    def see(line):
        i = len(lines)
        lines.append(line)
        if i:
            assert sorted(logged(tmp_path, 'cost'))[:i] == list(range(i))
            assert kept(tmp_path) == list(range(i))
            assert tf.train.latest_checkpoint(str(tmp_path)).endswith(f'-{i - 1}')

    call(*FLAGS, '--n_epochs', 3, '--log_dir', tmp_path, out=EachLine(see))
    assert lines == whole[2].splitlines()[:3]
    for one, other in zip(weights(tmp_path), weights(whole[0] / 'model.ckpt-2')):
        np.testing.assert_array_equal(one, other)


def test_going_on_several_times_gives_the_same_digits(whole, tmp_path):
    _, alone, expected, _ = whole
    printed = ''
    for n_epochs, flags in (1, FLAGS), (2, FLAGS), (4, FLAGS[:-2]), (5, FLAGS[:-1] + (8,)):
        learned, out, err = call(*flags, '--n_epochs', n_epochs, '--log_dir', tmp_path)
        printed += out
        assert len(err.splitlines()) == 1 and learned.costs.shape == (n_epochs,)
        assert sorted(logged(tmp_path, 'cost')) == list(range(n_epochs))
    assert printed == expected
    for one, other in zip(learned, alone):
        np.testing.assert_array_equal(one, other, strict=True)
    assert kept(tmp_path) == [2, 3, 4]
    assert logged(tmp_path, 'cost') == dict(enumerate(alone.costs))
    for name in 'filters.png', 'reconstructions.png':
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes()


@pytest.mark.parametrize('absolute', [True, False])
def test_a_folder_can_be_moved(absolute, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (tmp_path / name if absolute else name for name in ('first', 'second'))
    _, out, _ = call(*FLAGS, '--n_epochs', 2, '--log_dir', first)
    shutil.move(first, second)
    more = call(*FLAGS, '--n_epochs', 3, '--log_dir', second)[1]
    assert out + more == ''.join(whole[2].splitlines(True)[:3])
    np.testing.assert_array_equal(weights(second)[0], weights(whole[0] / 'model.ckpt-2')[0])
    assert not os.path.exists(first) and kept(tmp_path / 'second') == [0, 1, 2]


@pytest.mark.parametrize('n_epochs', [5, 2])
def test_a_complete_run_says_so(n_epochs, whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / 'copy')
    learned, out, err = call(*FLAGS, '--n_epochs', n_epochs, '--log_dir', folder)
    assert out == ''
    said, line = err.splitlines()
    assert '5 epochs' in said and '--n_epochs' in said and str(folder) in line
    for one, other in zip(learned, whole[1]):
        np.testing.assert_array_equal(one, other, strict=True)
    assert kept(folder) == [2, 3, 4] and len(logged(folder, 'cost')) == 5


@pytest.mark.parametrize('n_hidden', [29, 31, 784])
def test_another_shape_is_refused_and_nothing_is_touched(n_hidden, whole):
    before = snapshot(whole[0])
    status, out, err = call(*FLAGS, '--n_hidden', n_hidden, '--n_epochs', 9, '--log_dir', whole[0])
    assert status == 1 and out == '' and snapshot(whole[0]) == before
    line, = err.splitlines()
    assert '--n_hidden' in line and '30' in line and str(n_hidden) in line


def test_half_a_checkpoint_is_passed_over(whole, tmp_path):
    """All that a run may leave that is killed while it saves epoch 3, at once."""
    call(*FLAGS, '--n_epochs', 3, '--log_dir', tmp_path)
    for end in 'data-00000-of-00001', 'index', 'meta':
        content = (whole[0] / f'model.ckpt-3.{end}').read_bytes()
        (tmp_path / f'model.ckpt-3.{end}').write_bytes(content[:len(content) // 2])
        (tmp_path / f'model.ckpt-3.{end}.tempstate123').write_bytes(content[:9])
    (tmp_path / 'checkpoint.tmp0123456789').write_text('model_check')
    (tmp_path / 'filters.png.part').write_bytes(b'\x89PNG')
    learned, out, _ = call(*FLAGS, '--n_epochs', N_EPOCHS, '--log_dir', tmp_path)
    assert out == ''.join(whole[2].splitlines(True)[3:])
    for one, other in zip(weights(tmp_path), whole[1]):
        np.testing.assert_array_equal(one, other)
    assert not list(tmp_path.glob('*.part'))


def test_a_damaged_checkpoint_is_named(whole, tmp_path):
    folder = shutil.copytree(whole[0], tmp_path / 'copy')
    data = folder / 'model.ckpt-4.data-00000-of-00001'
    data.write_bytes(data.read_bytes()[:1000])
    status, out, err = call(*FLAGS, '--n_epochs', 9, '--log_dir', folder)
    assert status == 1 and out == ''
    line, = err.splitlines()
    assert str(folder / 'model.ckpt-4') in line and 'damaged' in line and '--log_dir' in line


def test_what_tensorflow_cannot_do_is_told_with_its_reason(tmp_path):
    """The first line of its message names no reason. A limit stands in for a full disk."""
    resource = pytest.importorskip('resource')
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))  # bytes; W alone has 94,080
    try:
        status, out, err = call(*FLAGS, '--n_epochs', 1, '--log_dir', tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 1 and len(out.splitlines()) == 1
    line, = err.splitlines()
    assert str(tmp_path / 'model.ckpt-0') in line and 'File too large' in line


def test_an_interrupt_right_after_a_checkpoint_loses_nothing(whole, tmp_path, monkeypatch):
    printed, save = '', dae_mnist.tf.train.Saver.save

    def save_and_stop(*args, **kwargs):
        save(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(dae_mnist.tf.train.Saver, 'save', save_and_stop)
    for i in range(3):
        status, out, err = call(*FLAGS, '--n_epochs', 3, '--log_dir', tmp_path)
        assert status == 130 and len(err.splitlines()) == 1 and f'epoch {i} is safe' in err
        printed += out
    assert call(*FLAGS, '--n_epochs', 3, '--log_dir', tmp_path)[1] == ''
    assert printed == ''.join(whole[2].splitlines(True)[:3])
    assert logged(tmp_path, 'cost') == dict(enumerate(whole[1].costs[:3]))


def check_filters(path, W):
    """Each tile is a column of W, scaled for itself to 0..255; those too many are black."""
    images = tiles(path, 25, 2)
    assert len(images) == -(-W.shape[1] // 25) * 25 and not images[W.shape[1]:].any()
    W = W.astype(np.float64)
    scaled = 255 * (W - W.min(axis=0)) / (W.max(axis=0) - W.min(axis=0))
    assert abs(images[:W.shape[1]].reshape(-1, 784) - scaled.T).max() < 0.501


def check_reconstructions(path, W, b, b_prime, corruption_level):
    """The rows are the first ten test digits, what the mask left of them, and what W makes of it.

    The second row is all that the network saw, so the third follows from it.
    """
    clean, corrupted, mended = tiles(path, 10, 4).reshape(3, 10, 784).astype(np.float64)
    raw = gzip.decompress((SAMPLE / NAMES[2]).read_bytes())[16:]
    np.testing.assert_array_equal(clean, np.frombuffer(raw, np.uint8)[:7840].reshape(10, 784))
    lost = corrupted != clean
    assert not corrupted[lost].any()
    assert abs(lost.sum(axis=1) / (clean > 0).sum(axis=1) - corruption_level).max() < 0.2
    assert abs(lost.sum() / (clean > 0).sum() - corruption_level) < 0.05

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    W, b, b_prime = (array.astype(np.float64) for array in (W, b, b_prime))
    expected = 255 * sigmoid(sigmoid(corrupted / 255 @ W + b) @ W.T + b_prime)
    assert abs(mended - expected).max() < 0.51


def test_pictures_show_the_weights(whole):
    folder, learned, _, _ = whole
    check_filters(folder / 'filters.png', learned.W)
    check_reconstructions(folder / 'reconstructions.png', *learned[:3], corruption_level=0.3)


@pytest.mark.parametrize('n_hidden, corruption_level', [(1, 0.6), (50, 0)])
def test_pictures_of_other_runs(n_hidden, corruption_level, tmp_path):
    learned, _, _ = call('--data_dir', SAMPLE, '--n_hidden', n_hidden, '--corruption_level',
                         corruption_level, '--n_epochs', 1, '--log_dir', tmp_path)
    check_filters(tmp_path / 'filters.png', learned.W)
    check_reconstructions(tmp_path / 'reconstructions.png', *learned[:3], corruption_level)


@pytest.mark.parametrize('name', ['filters.png', 'reconstructions.png'])
def test_no_half_picture_gets_the_name_of_a_whole_one(name, whole, tmp_path, monkeypatch):
    """The disk is full in the middle of a picture: the older one stays, and a next run mends it."""
    folder = shutil.copytree(whole[0], tmp_path / 'copy')
    before, real_open = (folder / name).read_bytes(), builtins.open

    def full(path, *args, **kwargs):
        file = real_open(path, *args, **kwargs)
        if name not in str(path):
            return file
        file.write(b'\x89PNG')
        file.close()
        raise OSError(28, 'No space left on device', str(path))

    more = *FLAGS, '--n_epochs', N_EPOCHS + 1, '--log_dir', folder
    with monkeypatch.context() as patch:
        patch.setattr(builtins, 'open', full)
        status, out, err = call(*more)
    assert status == 1 and out.startswith('5 ') and len(err.splitlines()) == 1
    assert 'No space left' in err and (folder / name).read_bytes() == before
    learned, out, _ = call(*more)
    assert out == '' and not list(folder.glob('*.part'))
    check_filters(folder / 'filters.png', learned.W)
    check_reconstructions(folder / 'reconstructions.png', *learned[:3], corruption_level=0.3)


def test_tensorboard_has_the_costs_and_the_pictures(whole):
    folder, learned, out, _ = whole
    costs = logged(folder, 'cost')
    assert costs == dict(enumerate(learned.costs))
    assert out == ''.join(f'{i} {cost!s}\n' for i, cost in costs.items())
    for name in 'filters', 'reconstructions':
        (step, image), = logged(folder, name).items()
        assert step == N_EPOCHS - 1
        assert image.encoded_image_string == (folder / f'{name}.png').read_bytes()
        assert tf.io.decode_png(image.encoded_image_string).shape == (
            image.height, image.width, image.colorspace)


def test_tensorboard_has_the_graph_in_readable_parts(whole):
    path, = whole[0].glob('events*')
    graphs = [event.graph_def for event in tf.compat.v1.train.summary_iterator(str(path))
              if event.graph_def]
    nodes = tf.compat.v1.GraphDef.FromString(graphs[0]).node
    part = {node.name: node.op for node in nodes}

    def ops(scope):
        return [op for name, op in part.items() if name.startswith(f'{scope}/')]

    assert ops('encoder').count('MatMul') == ops('decoder').count('MatMul') == 1
    assert ops('encoder').count('Sigmoid') == ops('decoder').count('Sigmoid') == 1
    assert 'Sum' in ops('cost') and 'MatMul' not in ops('cost')
    assert {'X', 'mask', 'W', 'b', 'b_prime'} <= set(part)
    assert not [name for name in part if name.startswith(('save', 'Variable'))]  # Log's own


def test_progress_shows_and_is_gone(whole, tmp_path):
    """With a screen for both streams: in the end it shows what a run without one writes."""
    terminal = Terminal()
    call(*FLAGS, '--n_epochs', N_EPOCHS, '--log_dir', tmp_path, out=terminal, err=terminal)
    live = [[float(number.replace(',', '')) for number in found]
            for found in LIVE.findall(terminal.getvalue())]
    assert {0, 4} <= {i for i, *_ in live} <= set(range(5))
    assert live == sorted(live, key=lambda line: line[:2])
    assert all(0 < done < 100 and pace > 0 and seconds < 60 for _, done, pace, _, seconds in live)
    written = whole[2] + whole[3].replace(str(whole[0].parent), str(tmp_path.parent)).replace(
        whole[0].name, tmp_path.name)
    assert screen(terminal.getvalue()) == [*written.splitlines(), '']


def test_progress_tells_the_truth(tmp_path, monkeypatch):
    """With a clock on which each step takes 0.71 seconds."""
    now, run, terminal = [100.0], dae_mnist.tf.Session.run, Terminal()

    def slow(*args, **kwargs):
        now[0] += 0.71
        return run(*args, **kwargs)

    monkeypatch.setattr(dae_mnist.tf.Session, 'run', slow)
    monkeypatch.setattr(dae_mnist.time, 'monotonic', lambda: now[0])
    out = call(*FLAGS, '--n_epochs', 2, '--log_dir', tmp_path, err=terminal)[1]
    assert not LIVE.search(out)
    live = LIVE.findall(terminal.getvalue())
    assert len(live) == 2 * 77 and LIVE.search(terminal.getvalue()).end() < 80  # columns
    for line, (i, k) in zip(live, ((i, k) for i in range(2) for k in range(1, 78))):
        left = 0.71 * (78 * (2 - i) - k)
        assert line[:3] == (f'{i}', f'{100 * k / 78:.0f}', '180') and int(line[4]) < 60
        assert abs(60 * int(line[3]) + int(line[4]) - left) < 1, (line, left)
