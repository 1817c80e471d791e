"""A denoising autoencoder on MNIST: a network that learns what digits look like by restoring them.

An autoencoder is asked to give back its own input. 500 hidden units can copy 784 pixels almost
exactly without learning how digits are built. So 30 % of the pixels are set to 0 first, and the
network must give back the undamaged image. A lost pixel can only be inferred from those that are
kept, by knowing how strokes run. Each hidden unit learns a piece of that knowledge, a column of W.

    tilde_X = mask * X                  [N, 784]  the images, damaged: the mask holds 0s and 1s  (1)
    Y = sigmoid(tilde_X W + b)          [N, 500]  the hidden code; W is [784, 500]               (2)
    Z = sigmoid(Y W_prime + b_prime)    [N, 784]  restored; W_prime is W transposed, "tied" to W (3)
    cost = sum((X - Z)^2)               a number  compared with the clean X, not with tilde_X    (4)

On MNIST, `python dae_mnist.py --seed 0` prints each epoch's number and the cost of all 10,000 test
images, damaged anew: first `0 111713.84` (TensorFlow 2.21, CPU), after 100 epochs about 56,000, or
5.6 an image. Left damaged, with Z = tilde_X, the images cost 267,800, or 26.8 each.
Your own images, [N, 784] from 0 to 1: learned = train(trX, teX), then restore(learned, damaged).

From P. Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML
2008, where a fixed number of pixels is lost and the cost is the cross-entropy. A port of a listing,
https://github.com/nlintz/TensorFlow-Tutorials, which prints the same costs if it is seeded first.
"""

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # hide TensorFlow's own messages
import numpy as np
import tensorflow.compat.v1 as tf
import input_data  # the loader beside this file: finds, downloads and reads MNIST

mnist_width = 28
n_visible = mnist_width * mnist_width  # an image is a row of pixels from 0, black, to 1, white
n_hidden = 500  # hidden units, each with a feature to learn
corruption_level = 0.3  # the probability that a pixel is destroyed, that is, set to 0
batch_size = 128  # images per step; those left over at the end, 88 of 55,000, are never used
n_epochs = 100  # passes over the training images
learning_rate = 0.02  # the cost is a sum: for batches twice as large, halve the rate


def model(X, mask, W, b, W_prime, b_prime):
    """Return Z [N, 784], what the network makes of the images X [N, 784] under the mask."""
    tilde_X = mask * X  # (1) corrupted X
    Y = tf.nn.sigmoid(tf.matmul(tilde_X, W) + b)  # (2) hidden state
    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)  # (3) reconstructed input
    return Z


def build_graph(n_hidden, learning_rate, seed=None):
    """Add the network and its training to the current graph; return the parts by name.

    A graph only describes a computation; a session runs the parts asked for. A placeholder is fed
    anew in each run. A variable keeps its value; train_op subtracts learning_rate * gradient.
    """
    tf.set_random_seed(seed)  # a random operation added above W_init would change its draw
    X = tf.placeholder(tf.float32, [None, n_visible], name='X')
    mask = tf.placeholder(tf.float32, [None, n_visible], name='mask')

    # The range of Glorot and Bengio (AISTATS 2010), times 4, as a sigmoid has slope 1/4 at 0.
    W_init_max = 4 * np.sqrt(6. / (n_visible + n_hidden))
    W_init = tf.random_uniform([n_visible, n_hidden], -W_init_max, W_init_max)
    W = tf.Variable(W_init, name='W')
    b = tf.Variable(tf.zeros([n_hidden]), name='b')
    W_prime = tf.transpose(W)  # tied: the pattern that a unit looks for is also what it draws
    b_prime = tf.Variable(tf.zeros([n_visible]), name='b_prime')
    Z = model(X, mask, W, b, W_prime, b_prime)
    cost = tf.reduce_sum(tf.square(X - Z))  # (4); the listing's tf.pow(X - Z, 2), faster
    train_op = tf.train.GradientDescentOptimizer(learning_rate).minimize(cost)
    weights = {'W': W, 'b': b, 'b_prime': b_prime}
    return SimpleNamespace(X=X, mask=mask, weights=weights, cost=cost, train_op=train_op)


def binomial_mask(rng, shape, corruption_level):
    """Draw a bool mask from a RandomState: False, with probability corruption_level, is a loss."""
    return rng.random_sample(shape) < 1 - corruption_level  # level < 0.5: the bits of rng.binomial


def train(trX, teX, n_epochs=n_epochs, batch_size=batch_size, learning_rate=learning_rate,
          corruption_level=corruption_level, n_hidden=n_hidden, seed=None, start=None, folder=None):
    """Train on images trX; after each epoch print its number and the cost of the test images teX.

    Both are float32 [N, 784] from 0 to 1. Batches are taken in order: shuffle sorted images first.
    start=np.load('.../learned.npz') goes on from those weights, with their n_hidden, from epoch 0.
    Returns a dict of float32 arrays: W [784, n_hidden], b, b_prime and costs [epochs]. Ctrl-C ends
    the training with the last whole epoch. Given a folder, a Path, learned.npz in it holds the
    latest epoch. Raises ValueError if batch_size does not fit.
    """
    if not 1 <= batch_size <= len(trX):
        raise ValueError(f'batch_size is {batch_size}, but there are {len(trX)} training images')
    if start is not None:
        n_hidden = len(start['b'])
    rng = np.random.RandomState(seed)
    with tf.Graph().as_default(), tf.Session() as sess:
        dae = build_graph(n_hidden, learning_rate, seed)
        sess.run(tf.global_variables_initializer())
        if start is not None:
            sess.run([tf.assign(dae.weights[name], start[name]) for name in dae.weights])
        learned = {**sess.run(dae.weights), 'costs': np.zeros(0, np.float32)}
        try:
            for i in range(n_epochs):
                for begin in range(0, len(trX) - batch_size + 1, batch_size):
                    input_ = trX[begin:begin + batch_size]
                    mask_np = binomial_mask(rng, input_.shape, corruption_level)
                    sess.run(dae.train_op, feed_dict={dae.X: input_, dae.mask: mask_np})

                mask_np = binomial_mask(rng, teX.shape, corruption_level)
                cost = sess.run(dae.cost, feed_dict={dae.X: teX, dae.mask: mask_np})
                epoch = {**sess.run(dae.weights), 'costs': np.append(learned['costs'], cost)}
                if folder:
                    np.savez(folder / 'part.npz', **epoch)
                    os.replace(folder / 'part.npz', folder / 'learned.npz')  # never half written
                learned = epoch
                print(i, cost, flush=True)
        except KeyboardInterrupt:
            print(f'Stopped after {len(learned["costs"])} epochs.', file=sys.stderr)
    return learned


def restore(learned, images):
    """Return images [N, 784], restored by what `train` returned or np.load('.../learned.npz')."""
    W, b, b_prime = learned['W'], learned['b'], learned['b_prime']
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(model(np.float32(images), 1., W, b, W.T, b_prime))  # mask 1: no more damage


# The lesson ends here. What follows serves it: the images, the pictures, the flags, the run.
def load_images(data_dir=None):
    """Return training and test images, float32 [N, 784]: of data_dir, MNIST, or else the sample."""
    folder = Path(data_dir or Path(input_data.__file__).with_name('MNIST_data'))
    try:
        mnist = input_data.read_data_sets(folder)
    except ValueError as error:  # a damaged file, say
        raise SystemExit(f'dae_mnist.py: {error}') from None
    except OSError as error:
        if data_dir or not (folder / 'sample').is_dir():
            raise
        print(f'{error}\nThe sample is used instead: digits that a program drew.', file=sys.stderr)
        return load_images(folder / 'sample')
    if mnist.train.images.shape[1] != n_visible:
        sys.exit(f'dae_mnist.py: the images in {folder} are not 28 x 28 pixels')
    return mnist.train.images, mnist.test.images


def tile(images, columns):
    """Return a PNG of images [N, 784] from 0 to 1, `columns` to a row, each twice as large."""
    tiles = np.kron(images.reshape(-1, mnist_width, mnist_width), np.ones([2, 2]))
    tiles = np.pad(tiles, [(0, -len(tiles) % columns), (1, 1), (1, 1)])  # whole rows, black frames
    grid = np.vstack([np.hstack(row) for row in np.split(tiles, len(tiles) // columns)])
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(tf.image.encode_png(np.uint8(np.rint(255 * grid[:, :, np.newaxis]))))


def write_pictures(folder, learned, images, corruption_level):
    """Write filters.png, 100 columns of W, and reconstructions.png: clean, damaged, restored."""
    filters = np.clip(0.5 + learned['W'].T[:100] / 2, 0, 1)  # weight -1 is black, 0 grey, 1 white
    mask = binomial_mask(np.random.RandomState(0), images.shape, corruption_level)  # always alike
    rows = np.concatenate([images, mask * images, restore(learned, mask * images)])
    pictures = {'filters.png': tile(filters, 10), 'reconstructions.png': tile(rows, len(images))}
    for name, png in pictures.items():
        (folder / 'part.png').write_bytes(png)
        os.replace(folder / 'part.png', folder / name)
        if 'get_ipython' in globals():  # pasted into a notebook: show it under the cell
            from IPython.display import Image, display
            display(Image(png))


def parse_flags(argv):
    """Return the parser, for later errors, and the flags, a dict."""
    parser = argparse.ArgumentParser('dae_mnist.py', usage=argparse.SUPPRESS, allow_abbrev=False)
    add = parser.add_argument
    add('--n_epochs', type=int, default=n_epochs, help='passes over the images (%(default)s)')
    add('--batch_size', type=int, default=batch_size, help='images per step (%(default)s)')
    add('--learning_rate', type=float, default=learning_rate, help='size of a step (%(default)s)')
    add('--corruption_level', type=float, default=corruption_level, help='pixel loss (%(default)s)')
    add('--n_hidden', type=int, default=n_hidden, help='hidden units (%(default)s)')
    add('--seed', type=int, help='makes a run repeatable')
    add('--data_dir', help='folder of four files like those of MNIST (MNIST_data)')
    add('--log_dir', help='folder to make for the results (a new one in logs)')
    args = parser.parse_args(argv)
    if min(args.n_epochs, args.batch_size, args.n_hidden) < 1:
        parser.error('--n_epochs, --batch_size and --n_hidden must be at least 1')
    if not 0 < args.learning_rate < np.inf:
        parser.error('--learning_rate must be above 0 and finite')
    if not 0 <= args.corruption_level < 1:
        parser.error('--corruption_level must be at least 0 and below 1')
    if args.seed is not None and not 0 <= args.seed < 2**32:
        parser.error('--seed must be from 0 to 4294967295')
    return parser, vars(args)


def main(argv=()):
    """Run the script with these flags, a list of strings; return what `train` returns."""
    parser, flags = parse_flags(argv)
    trX, teX = load_images(flags.pop('data_dir'))
    if flags['batch_size'] > len(trX):
        parser.error(f'--batch_size must be at most {len(trX)}, all images but the first 5,000')
    folder = Path(flags.pop('log_dir') or f'logs/{datetime.now():%Y%m%d-%H%M%S-%f}').expanduser()
    folder.mkdir(parents=True)  # fails if it exists: no run writes over another
    print(f'The results go to {folder}.', file=sys.stderr)
    learned = train(trX, teX, folder=folder, **flags)  # the other flags are named like parameters
    if len(learned['costs']) > 0:
        write_pictures(folder, learned, teX[:10], flags['corruption_level'])
    if len(learned['costs']) < flags['n_epochs'] and not hasattr(sys, 'ps1'):
        sys.exit(130)  # stopped by Ctrl-C, and not in a notebook, where `learned` is of use
    return learned


if __name__ == '__main__':
    try:
        learned = main([] if 'get_ipython' in globals() else sys.argv[1:])
    except OSError as error:
        raise SystemExit(f'dae_mnist.py: {error}') from None
