"""What a run leaves in its folder, and how the next run goes on from there."""

import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from helpers import TEST_IMAGES, call_main, forward, learned, random_set, write_set

import dae_mnist

pytestmark = pytest.mark.usefixtures('current_folder')


@pytest.fixture(scope='module')
def undisturbed(flags, tmp_path_factory):
    """A run from the first epoch to the last, with its folder."""
    run = call_main(*flags, '--log_dir', tmp_path_factory.mktemp('undisturbed'))
    run.folder = Path(run.err.split('--logdir=')[1].strip())
    return run


def assert_same(kept, expected):
    assert list(kept) == list(expected) == ['W', 'b', 'b_prime', 'costs', 'rng', 'flags']
    for name, array in expected.items():
        np.testing.assert_array_equal(kept[name], array)


def logged(folder):
    """Return [(step, cost)] of all that TensorBoard shows of a folder."""
    events = [event for path in Path(folder).glob('events.out.tfevents.*')
              for event in tf.train.summary_iterator(str(path))]
    assert any(event.graph_def for event in events)
    return sorted((event.step, np.float32(value.simple_value)) for event in events
                  for value in event.summary.value if value.tag == 'cost')


def content(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob('*') if path.is_file()}


def tiles(path, columns):
    """Decode a picture; return its images [N, 28, 28], having checked what is around them."""
    with tf.Graph().as_default(), tf.Session() as sess:
        pixels = sess.run(tf.image.decode_png(Path(path).read_bytes()))
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 1 and pixels.shape[1] == 58 * columns
    framed = pixels.reshape(-1, 58, columns, 58).swapaxes(1, 2).reshape(-1, 58, 58)
    small = framed[:, 1:-1:2, 1:-1:2].copy()
    np.testing.assert_array_equal(
        framed, np.pad(small.repeat(2, axis=1).repeat(2, axis=2), [(0, 0), (1, 1), (1, 1)]))
    return small


def interrupt_in_epoch(monkeypatch, epoch):
    """Let the next training hear Ctrl-C after the steps of this epoch, before its cost."""
    train = dae_mnist.train

    def interrupted(sess, *args):
        for i, cost in train(sess, *args):
            if i == epoch:
                sess.graph._session_run_lock().__enter__()  # left so by an interrupt in it
                signal.raise_signal(signal.SIGINT)
            yield i, cost
    monkeypatch.setattr(dae_mnist, 'train', interrupted)


def test_each_epoch_is_kept_and_logged_before_it_is_printed(flags, monkeypatch):
    seen = []

    def look(*args, file=None, **_):
        if file is None:
            seen.append(args)
            assert list(enumerate(learned('run')['costs'])) == logged('run') == seen
    monkeypatch.setattr(dae_mnist, 'print', look, raising=False)
    assert call_main(*flags, '--log_dir', 'run').status == 0
    assert len(seen) == 4


@pytest.mark.parametrize('folder', ['run', "it's [my] run* $HOME"])
def test_going_on_gives_what_an_undisturbed_run_gives(flags, undisturbed, folder):
    first = call_main(*flags, '--n_epochs', 2, '--log_dir', folder)
    stub = 'tensorboard() { printf "<%s>" "$@"; }\n' + first.err.partition(' Their curve: ')[2]
    assert subprocess.check_output(['sh', '-c', stub], text=True) == f'<--logdir={folder}>'
    shutil.copytree(flags[1], 'moved')  # data are known by what they hold
    second = call_main(*flags, '--data_dir', 'moved', '--log_dir', folder)
    assert first.status == second.status == 0
    assert first.out + second.out == undisturbed.out and len(second.out.splitlines()) == 2
    assert_same(learned(folder), learned(undisturbed.folder))
    assert logged(folder) == logged(undisturbed.folder)


def test_a_finished_run_draws_its_pictures_again(flags, undisturbed):
    call_main(*flags, '--log_dir', 'run')
    before = content('run')
    for name in 'filters.png', 'reconstructions.png':
        (Path('run') / name).unlink()
    for n_epochs in 4, 2:
        run = call_main(*flags, '--n_epochs', n_epochs, '--log_dir', 'run')
        assert run.status == 0 and not run.out and '\n4 epochs on ' in run.err
        assert_same(run.learned._asdict(), learned('run'))
        after = content('run')
        assert all(after[path] == before[path] for path in before)


def test_other_flags_and_other_data_are_refused(flags, undisturbed, tmp_path):
    other = random_set()
    other[TEST_IMAGES][-1, -1, -1] ^= 1
    write_set(tmp_path / 'other', other)
    before = content(undisturbed.folder)
    for name, old, new in [
            ('n_hidden', 9, 10), ('seed', 3, 4), ('batch_size', 64, 128),
            ('learning_rate', 0.02, 0.03), ('corruption_level', 0.3, 0.25),
            ('data_dir', learned(undisturbed.folder)['flags'][-1].split()[1], tmp_path / 'other')]:
        run = call_main(*flags, f'--{name}', new, '--log_dir', undisturbed.folder)
        assert (run.status, run.out) == (1, '')
        assert run.err == (
            f'dae_mnist.py: {undisturbed.folder}/learned.npz does not fit (it was trained with '
            f'--{name} {old}): name another --log_dir\n')
    assert content(undisturbed.folder) == before


def test_a_damaged_or_foreign_file_is_refused_and_left(flags, undisturbed):
    good = (undisturbed.folder / 'learned.npz').read_bytes()
    Path('run').mkdir()
    path = Path('run') / 'learned.npz'
    flipped = bytearray(good)
    flipped[len(good) // 3] ^= 4
    np.savez('foreign.npz', x=1)
    np.savez('pickle.npz', **{**learned(undisturbed.folder), 'flags': np.array([{}, None])})
    np.save('array.npy', np.zeros(3))
    for damage in (b'', b'garbage', good[:-1], good[:1000], flipped, *(
            Path(name).read_bytes() for name in ('foreign.npz', 'pickle.npz', 'array.npy'))):
        path.write_bytes(damage)
        run = call_main(*flags, '--log_dir', 'run')
        assert (run.status, run.out, len(run.err.splitlines())) == (1, '', 1), run.err
        assert run.err.startswith('dae_mnist.py: run/learned.npz does not fit (')
        assert content('run') == {path: damage}


@pytest.mark.parametrize('interactive', [False, True])
def test_ctrl_c_keeps_and_draws_the_last_finished_epoch(
        flags, undisturbed, monkeypatch, interactive):
    with monkeypatch.context() as patch:
        if interactive:
            patch.setattr('sys.ps1', '>>> ', raising=False)
            patch.delitem(sys.modules, 'ipykernel', raising=False)  # from the notebooks' tests
        interrupt_in_epoch(patch, 2)
        run = call_main(*flags, '--log_dir', 'run')
    assert run.status == (0 if interactive else 130)
    assert run.out == ''.join(undisturbed.out.splitlines(True)[:2])
    assert '\n2 epochs on 0x' in run.err and run.err.endswith('tensorboard --logdir=run\n')
    if interactive:
        assert_same(run.learned._asdict(), learned('run'))
    call_main(*flags, '--n_epochs', 2, '--log_dir', 'two')
    for name in 'filters.png', 'reconstructions.png', 'learned.npz':
        assert Path('run', name).read_bytes() == Path('two', name).read_bytes()
    assert call_main(*flags, '--log_dir', 'run').status == 0
    assert_same(learned('run'), learned(undisturbed.folder))


def test_ctrl_c_in_the_first_epoch_leaves_nothing_learned(flags, monkeypatch):
    interrupt_in_epoch(monkeypatch, 0)
    run = call_main(*flags, '--log_dir', 'run')
    assert run.status == 130 and not run.out and '\n0 epochs on 0x' in run.err
    assert [path.name.split('.')[0] for path in Path('run').iterdir()] == ['events']


def test_two_runs_started_in_the_same_second_have_folders_of_their_own(flags, monkeypatch):
    monkeypatch.setattr(time, 'strftime', lambda text, *_: text.replace('%', ''))
    runs = [call_main(*flags, '--n_epochs', 1) for _ in range(2)]
    assert runs[0].out == runs[1].out != ''
    assert len(list(Path('logs').glob('*/learned.npz'))) == 2


def test_thirty_trainings_leave_no_descriptor_and_no_thread(flags):
    counts = []
    for i in range(30):
        call_main(*flags, '--n_epochs', 1, '--log_dir', f'run{i}')
        counts.append([len(os.listdir(f'/proc/self/{name}')) for name in ('fd', 'task')])
    assert counts[1] == counts[-1], counts


def test_filters_are_the_columns_of_w_by_their_spread(undisturbed):
    W = undisturbed.learned.W.astype(np.float64)
    order = sorted(range(9), key=lambda j: -W[:, j].std())
    assert order != list(range(9))
    filters = tiles(undisturbed.folder / 'filters.png', 25)
    assert len(filters) == 25 and not filters[9:].any()
    for tile, j in zip(filters, order, strict=False):
        expected = 255 * (W[:, j] - W[:, j].min()) / (W[:, j].max() - W[:, j].min())
        assert abs(tile.ravel() - expected).max() < 0.51 and {tile.min(), tile.max()} == {0, 255}


def test_an_even_filter_is_black_and_more_than_500_are_cut(tmp_path):
    dae, X = dae_mnist.build_graph(2, 0.1), np.zeros([1, 784], np.float32)
    with tf.Session(graph=dae.graph) as sess, warnings.catch_warnings():
        warnings.simplefilter('error')
        sess.run(dae.init_op)
        for units in 3, 510:
            W = np.outer(np.linspace(0, 1, 784), np.arange(1, units + 1)).astype(np.float32)
            W[:, 1] = 0.5
            dae_mnist.write_pictures(tmp_path, sess, dae, W, X, 0.3)
            filters = tiles(tmp_path / 'filters.png', 25)
            assert [bool(tile.any()) for tile in filters] == [i < min(units - 1, 500) for i in
                                                             range(25 if units == 3 else 500)]


@pytest.mark.parametrize('edited', [False, True])
def test_reconstructions_are_made_by_the_graph(flags, edited, monkeypatch):
    if edited:
        model = dae_mnist.model
        monkeypatch.setattr(dae_mnist, 'model', lambda *args: model(*args) / 2)
    run = call_main(*flags, '--log_dir', 'run')
    clean, corrupted, restored = tiles('run/reconstructions.png', 10).reshape(3, 10, 784)
    np.testing.assert_array_equal(clean, random_set()[TEST_IMAGES][:10].reshape(10, 784))
    lost = corrupted != clean
    assert not corrupted[lost].any() and 0.28 < lost.mean() < 0.32
    W, b, b_prime = run.learned.W, run.learned.b, run.learned.b_prime
    Z = forward(corrupted / 255, 1, W, b, W.T, b_prime)[1] / (1 + edited)
    assert abs(restored - 255 * Z).max() < 0.51
