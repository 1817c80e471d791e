"""A denoising autoencoder on MNIST: a network that learns what digits look like by mending them.

Part of each image is destroyed, and the network must give back all of it. A lost pixel can be put
back only by someone who knows strokes: how wide they are, where they go on, how they bend. Nobody
tells the network, so it has to find the strokes itself, and it keeps them in the columns of W.

    tilde_x = mask * x              corrupt: the mask is 1 where a pixel is kept, 0 elsewhere    (1)
    y = sigmoid(tilde_x W + b)      encode: the hidden code                                      (2)
    z = sigmoid(y W' + b')          decode: W' is W transposed, "tied" to it                     (3)
    cost = sum((x - z)^2)           compare with the clean image, not with the corrupted one     (4)

From P. Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML
2008, which masks a fixed number of pixels and takes the cross-entropy. This is a port of nlintz's
TensorFlow listing of 2016 (http://www.chinasem.cn/article/962140), which masks each pixel by itself
and takes the squared error. On a CPU, with the same release and seeds, both print the same digits.
"""

import argparse
import contextlib
import os
import shlex
import sys
import time
import zlib
from collections import namedtuple
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # hide its log; what matters is raised
import numpy as np
import tensorflow.compat.v1 as tf

import input_data

mnist_width = 28
n_visible = mnist_width * mnist_width  # an image is a row of pixels, from 0, black, to 1, white
n_hidden = 500  # how many features there are to learn
corruption_level = 0.3  # the probability that a pixel is destroyed: it becomes 0, black
batch_size = 128
n_epochs = 100
learning_rate = 0.02  # small: the cost is a sum, so its gradient grows with the batch
Autoencoder = namedtuple('Autoencoder', 'graph X mask W b W_prime b_prime Z cost train_op init_op')


def model(X, mask, W, b, W_prime, b_prime):
    """Return Z [N, 784], what the network makes of the images X [N, 784] under the mask."""
    tilde_X = mask * X  # (1)
    Y = tf.nn.sigmoid(tf.matmul(tilde_X, W) + b)  # (2)
    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)  # (3)
    return Z


def build_graph(n_hidden, learning_rate, seed=None):
    """Return the Autoencoder: a graph, with its tensors and operations by the listing's names."""
    with tf.Graph().as_default() as graph:  # a new one: TensorFlow's default graph stays empty
        tf.set_random_seed(seed)  # seeds each random op by those before it: W_init stays the first
        X = tf.placeholder(tf.float32, [None, n_visible], name='X')
        mask = tf.placeholder(tf.float32, [None, n_visible], name='mask')

        # The range of Glorot and Bengio (AISTATS 2010), times 4 as a sigmoid has slope 1/4 at 0.
        W_init_max = 4 * np.sqrt(6. / (n_visible + n_hidden))
        W_init = tf.random_uniform([n_visible, n_hidden], -W_init_max, W_init_max)
        W = tf.Variable(W_init, name='W')
        b = tf.Variable(tf.zeros([n_hidden]), name='b')
        W_prime = tf.transpose(W)  # tied: the pattern that a unit detects is also what it paints
        b_prime = tf.Variable(tf.zeros([n_visible]), name='b_prime')

        Z = model(X, mask, W, b, W_prime, b_prime)
        cost = tf.reduce_sum(tf.square(X - Z))  # (4)
        train_op = tf.train.GradientDescentOptimizer(learning_rate).minimize(cost)
        init_op = tf.global_variables_initializer()
    return Autoencoder(graph, X, mask, W, b, W_prime, b_prime, Z, cost, train_op, init_op)


def train(sess, dae, trX, teX, rng, epochs, batch_size, corruption_level):
    """Train in a session of dae.graph; after each epoch yield its number and its test cost.

    trX, teX: training and test images, float32 [N, 784]. rng: np.random.RandomState, for the masks.
    epochs: say range(n_epochs). Raises ValueError if the training images do not fill a batch.
    """
    if not 0 < batch_size <= len(trX):
        raise ValueError(f'batch_size is {batch_size}, but there are {len(trX)} training images')
    for i in epochs:
        for start in range(0, len(trX) - batch_size + 1, batch_size):  # whole batches, in order
            input_ = trX[start:start + batch_size]
            mask_np = rng.random_sample(input_.shape) < 1 - corruption_level  # a faster binomial
            sess.run(dae.train_op, feed_dict={dae.X: input_, dae.mask: mask_np})

        mask_np = rng.random_sample(teX.shape) < 1 - corruption_level  # for all test images
        yield i, sess.run(dae.cost, feed_dict={dae.X: teX, dae.mask: mask_np})


# The lesson ends here. What follows serves it: data, flags, the kept file, pictures, and main.
def say(text, end='\n'):
    """Print to stderr. With end='' only to a terminal, where the next text takes its place."""
    if sys.stderr and (end or sys.stderr.isatty()):  # it is None where it is closed
        try:
            print('\r\033[K' * sys.stderr.isatty() + text, end=end, file=sys.stderr, flush=True)
        except OSError:
            sys.stderr = None  # a full disk, say: the run goes on, and Python must not try again


def load_data(data_dir):
    """Return trX, teX and their name: the set in data_dir, or else MNIST, or else the sample."""
    folder = Path(input_data.__file__).resolve().parent / 'MNIST_data'
    try:
        mnist = input_data.read_data_sets(data_dir or folder)
    except (OSError, ValueError) as error:
        if data_dir or isinstance(error, ValueError) or not (folder / 'sample').is_dir():
            sys.exit(f'dae_mnist.py: {error}')
        say(f'{error}\nThis run trains on the sample instead, digits that a program drew.')
        mnist = input_data.read_data_sets(folder / 'sample')
    trX, teX = mnist.train.images, mnist.test.images
    if trX.shape[1] != n_visible:
        sys.exit(f'dae_mnist.py: the images in {data_dir or folder} are not 28 x 28 pixels')
    crc = zlib.crc32(teX, zlib.crc32(trX))  # the same data have the same, wherever they lie
    return trX, teX, {0xd26026c4: 'MNIST', 0xf9368f25: 'the sample'}.get(crc, hex(crc))


def parse(argv):
    """Return the flags in argv; a wrong one ends the script with one line and status 2."""
    def flag(name, low, high, text):
        def number(value):
            if not low <= float(value) <= high:
                raise argparse.ArgumentTypeError(f'{value} is not from {low} to {high}')
            return type(low)(value)
        parser.add_argument(f'--{name}', type=number, default=globals().get(name),
                            help=f'{text} (%(default)s)')

    parser = argparse.ArgumentParser('dae_mnist.py', usage=argparse.SUPPRESS, allow_abbrev=False)
    flag('n_epochs', 1, 10**9, 'passes over the training images')
    flag('batch_size', 1, 10**9, 'images per step')
    flag('learning_rate', 1e-30, 1e38, 'length of a step per unit of gradient')
    flag('corruption_level', 0., 0.999, 'probability that a pixel is destroyed')
    flag('n_hidden', 1, 10**6, 'hidden units')
    flag('seed', 0, 2**32 - 1, 'makes a run repeatable')
    parser.add_argument('--data_dir', help='of the images (MNIST_data)')
    parser.add_argument('--log_dir', type=os.path.expanduser, help='of the results (new, in logs)')
    return parser.parse_args(argv)


def load(path, flags):
    """Return what learned.npz keeps, {name: array}, if it was trained with these flags."""
    try:
        with np.load(path) as file:  # closed again: Windows cannot replace an open file
            kept = dict(file)
        if others := set(kept['flags']) - set(flags):
            raise ValueError(f'it was trained with {" ".join(sorted(others))}')
        return kept
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds
        sys.exit(f'dae_mnist.py: {path} does not fit ({error}): name another --log_dir')


def write_pictures(log_dir, sess, dae, W, X, corruption_level):
    """Write filters.png, the columns of W, and reconstructions.png, what becomes of images X."""
    W = W[:, np.argsort(-W.std(axis=0))[:500]]  # units that learned most have the widest spread
    filters = (W - W.min(axis=0)) / np.maximum(np.ptp(W, axis=0), 1e-9)  # each scaled for itself
    mask_np = np.random.RandomState(0).random_sample(X.shape) < 1 - corruption_level
    Z = sess.run(dae.Z, feed_dict={dae.X: X, dae.mask: mask_np})
    rows = np.concatenate([X, mask_np * X, Z])
    for name, images, columns in ('filters', filters.T, 25), ('reconstructions', rows, len(X)):
        tiles = images.reshape(-1, mnist_width, mnist_width).repeat(2, axis=1).repeat(2, axis=2)
        tiles = np.pad(tiles, [(0, -len(tiles) % columns), (1, 1), (1, 1)])  # fill the last row
        grid = np.vstack([np.hstack(tiles[i:i + columns]) for i in range(0, len(tiles), columns)])
        png = sess.run(tf.image.encode_png(np.rint(255 * grid).astype(np.uint8)[..., np.newaxis]))
        part = log_dir / f'{name}.{os.getpid()}.part'
        part.write_bytes(png)
        part.replace(log_dir / f'{name}.png')
        if 'ipykernel' in sys.modules and hasattr(sys, 'ps1'):  # under the cell of a notebook
            from IPython.display import Image, display
            display(Image(png))


def main(argv=()):
    """Run the script with these flags; return what learned.npz keeps, W among it, as attributes."""
    args = parse(argv)
    trX, teX, data = load_data(args.data_dir)
    if args.batch_size > len(trX):
        say(f'dae_mnist.py: --batch_size is above {len(trX)}, the number of training images')
        sys.exit(2)
    log_dir = Path(args.log_dir or time.strftime('logs/%Y%m%d-%H%M%S-') + str(time.time_ns())[-9:])
    path, part = log_dir / 'learned.npz', log_dir / f'learned.{os.getpid()}.part.npz'
    flags = [f'--{name} {value}' for name, value in {**vars(args), 'data_dir': data}.items()
             if name not in ('n_epochs', 'log_dir')]
    kept = load(path, flags) if path.exists() else {'costs': np.zeros(0, np.float32)}
    log_dir.mkdir(parents=True, exist_ok=True)
    os.access(log_dir, os.W_OK) or sys.exit(f'dae_mnist.py: {log_dir} cannot be written')
    say(f'Training on {data}. What is learned goes to {log_dir}.')
    dae = build_graph(args.n_hidden, args.learning_rate, args.seed)
    rng, weights = np.random.RandomState(args.seed), dict(W=dae.W, b=dae.b, b_prime=dae.b_prime)
    with tf.Session(graph=dae.graph) as sess:
        first, begin = len(kept['costs']), time.monotonic()
        sess.run(dae.init_op, {w.initial_value: kept[k] for k, w in weights.items() if k in kept})
        if first:
            rng.set_state(('MT19937', kept['rng'][:-1], kept['rng'][-1]))
        writer = tf.summary.FileWriter(str(log_dir), dae.graph, filename_suffix=f'.{first}')
        with writer, contextlib.suppress(KeyboardInterrupt):
            for i, cost in train(sess, dae, trX, teX, rng, range(first, args.n_epochs),
                                 args.batch_size, args.corruption_level):
                say('', end='')  # clears the progress
                if not np.isfinite(cost):
                    sys.exit(f'dae_mnist.py: epoch {i} costs {cost}: lower the --learning_rate')
                writer.add_summary(tf.Summary(value=[{'tag': 'cost', 'simple_value': cost}]), i)
                writer.flush()
                learned = {**sess.run(weights), 'costs': np.append(kept['costs'], cost),
                           'rng': np.append(*rng.get_state()[1:3]), 'flags': flags}
                np.savez(part, **learned)
                part.replace(path)
                kept = learned
                print(i, cost, flush=True)
                left = (time.monotonic() - begin) / (i + 1 - first) * (args.n_epochs - i - 1)
                say(f'{i + 1} of {args.n_epochs} epochs, {left:.0f} seconds left', end='')
    if n := len(kept['costs']):
        dae = build_graph(args.n_hidden, args.learning_rate)  # Ctrl-C can leave the first locked
        with tf.Session(graph=dae.graph) as sess:
            sess.run(dae.init_op, {getattr(dae, k).initial_value: kept[k] for k in weights})
            write_pictures(log_dir, sess, dae, kept['W'], teX[:10], args.corruption_level)
    say(f'{n} epochs on {data} are safe. To go on, give the same flags, or more --n_epochs, and '
        f'--log_dir {log_dir}. Their curve: tensorboard --logdir={shlex.quote(str(log_dir))}')
    if n < args.n_epochs and not hasattr(sys, 'ps1'):  # Ctrl-C, in a script
        sys.exit(130)
    return namedtuple('Learned', kept)(**kept)


if __name__ == '__main__':
    try:
        learned = main(sys.argv[1:] if '__file__' in globals() else [])  # a notebook has its own
    except (KeyboardInterrupt, OSError) as error:  # `| head`, for one, closes stdout early
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python prints to it again at its end
        silent = {KeyboardInterrupt: 130, BrokenPipeError: 1}
        sys.exit(silent.get(type(error), f'dae_mnist.py: {error}'))
