"""A denoising autoencoder on MNIST: a network that learns to restore damaged images of digits.

An autoencoder gives back its own input. In between lie hidden units. Their outputs are the hidden
code, a description of the image that serves other tasks, such as recognising the digit. The code
is shorter than the image, 500 numbers for 784 pixels, but it can carry almost all of it, as most
pixels are black or like their neighbours. So a network can copy well and know little of digits.

Therefore 30 % of the pixels are set to 0, drawn anew each time, and the network must give
back the undamaged image. Copying is not enough now: a destroyed pixel is inferred from the others.
A black pixel stays as it was; the network is not told which zeros are damage. X holds N images:

    tilde_X = mask * X                  [N, 784]  the damaged images; the mask has 0s and 1s     (1)
    Y = sigmoid(tilde_X W + b)          [N, 500]  the hidden code; W is [784, 500]               (2)
    Z = sigmoid(Y W_prime + b_prime)    [N, 784]  restored; W_prime is W transposed, "tied" to W (3)
    cost = sum((X - Z)^2)               a number  compares with the clean X, not with tilde_X    (4)

`python dae_mnist.py --seed 0` prints the number of each epoch and the cost, summed over all pixels
of 10,000 test images. On MNIST the first line is `0 111713.84` (TensorFlow 2.21, CPU). After 100
epochs the cost is about 56,000, or 5.6 an image. The damaged images, as they are, would cost 26.8
each, black images 89.3. For your own images, rows of numbers from 0 to 1 (MNIST's: white on black):

    from dae_mnist import restore, train_epochs
    for i, cost, learned in train_epochs(trX, teX):  # images to train on, images to test on
        print(i, cost)
    restored = restore(learned, damaged)  # the code: sigmoid(damaged @ learned['W'] + learned['b'])

From P. Vincent and others, "Extracting and composing robust features with denoising autoencoders",
ICML 2008. In the paper each image loses equally many pixels, and the cost is the cross-entropy.
This is a port of https://github.com/nlintz/TensorFlow-Tutorials, 06_autoencoder.py. With the same
seeds, set first, that listing prints the same numbers, if the corruption level is below 0.5.
"""

import argparse
import os
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # hide TensorFlow's start-up messages
import numpy as np
import tensorflow.compat.v1 as tf
import input_data  # the loader beside this file: finds, downloads and reads MNIST

mnist_width = 28  # in pixels, of the images that the script loads
n_visible = mnist_width * mnist_width  # an image is a row of pixels from 0, black, to 1, white
n_hidden = 500  # hidden units: the length of the hidden code
corruption_level = 0.3  # the probability that a pixel is destroyed, that is, set to 0
batch_size = 128  # images per step; those left over at the end, 88 of 55,000, are never used
n_epochs = 100  # passes over the training images
learning_rate = 0.02  # the cost is a sum: for batches twice as large, halve the rate


def model(tilde_X, W, b, W_prime, b_prime):
    """Return Z [N, 784], what the network makes of damaged images tilde_X [N, 784]."""
    Y = tf.nn.sigmoid(tf.matmul(tilde_X, W) + b)  # (2) hidden state
    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)  # (3) reconstructed input
    return Z


def build_graph(n_visible, n_hidden, learning_rate, seed=None):
    """Return the graph of the network and its training, with its parts by name.

    A graph only describes a computation; a session runs the parts that it is asked for.
    Placeholders get their values anew in each run. Variables keep theirs from run to run: init_op
    sets the starting values, and train_op subtracts learning_rate times the gradient.
    """
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(seed)  # a random operation added above W_init would change its draw
        X = tf.placeholder(tf.float32, [None, n_visible], name='X')
        mask = tf.placeholder(tf.float32, [None, n_visible], name='mask')

        # The range of Glorot and Bengio (AISTATS 2010), times 4: a sigmoid's slope is at most 1/4.
        W_init_max = 4 * np.sqrt(6. / (n_visible + n_hidden))
        W_init = tf.random_uniform([n_visible, n_hidden], -W_init_max, W_init_max)
        W = tf.Variable(W_init, name='W')
        b = tf.Variable(tf.zeros([n_hidden]), name='b')
        W_prime = tf.transpose(W)  # tied: no variable of its own
        b_prime = tf.Variable(tf.zeros([n_visible]), name='b_prime')
        weights = {'W': W, 'b': b, 'W_prime': W_prime, 'b_prime': b_prime}  # all that model needs

        tilde_X = mask * X  # (1) to change it, change binomial_mask and write_pictures as well
        Z = model(tilde_X, **weights)
        cost = tf.reduce_sum(tf.square(X - Z))  # (4); the listing's tf.pow(X - Z, 2), but faster
        train_op = tf.train.GradientDescentOptimizer(learning_rate).minimize(cost)
        init_op = tf.global_variables_initializer()
    return SimpleNamespace(graph=graph, X=X, mask=mask, weights=weights, cost=cost,
                           train_op=train_op, init_op=init_op)


def binomial_mask(rng, shape, corruption_level):
    """Draw a bool mask from a RandomState: False, with probability corruption_level, destroys."""
    if not 0 <= corruption_level < 1:
        raise ValueError(f'corruption_level is {corruption_level}; must be at least 0 and below 1')
    return rng.random_sample(shape) < 1 - corruption_level  # if below 0.5, the listing's mask


def check_images(name, images):
    """Return images, a list or any array [N, width] from 0 to 1, as float32; else ValueError."""
    images = np.asarray(images, np.float32)
    if images.ndim != 2 or images.size == 0:
        raise ValueError(f'{name} has the shape {images.shape}, but must be [N, width], with a row '
                         'for each image. For bytes [N, 28, 28]: x.reshape(len(x), -1) / 255')
    if not (images.min() >= 0 and images.max() <= 1):  # true of nan as well
        raise ValueError(f'{name} has numbers from {images.min()} to {images.max()}, but they must '
                         'be from 0 to 1. For bytes: x / 255')
    return images


def train_epochs(trX, teX, *, n_epochs=n_epochs, batch_size=batch_size, n_hidden=n_hidden,
                 learning_rate=learning_rate, corruption_level=corruption_level, seed=None):
    """Train on the images trX [N, width], from 0 to 1; after each epoch yield i, cost, learned.

    A generator: nothing happens until a `for` asks for an epoch. Nothing is printed or saved. The
    epochs are numbered from 0. The cost is that of all test images teX [N, width], damaged anew.
    `learned` is a dict of float32 arrays: W [width, n_hidden], b, W_prime, b_prime. Batches are
    taken in order: shuffle sorted images. Raises ValueError for arguments that cannot be used.
    """
    trX = check_images('trX', trX)
    teX = check_images('teX', teX)
    if trX.shape[1] != teX.shape[1]:
        raise ValueError(f'trX has images of {trX.shape[1]} pixels, teX of {teX.shape[1]}')
    if not 1 <= batch_size <= len(trX):
        raise ValueError(f'batch_size is {batch_size}; must be from 1 to {len(trX)}, all images')

    rng = np.random.RandomState(seed)
    dae = build_graph(trX.shape[1], n_hidden, learning_rate, seed)
    # `with tf.Session()` would make this graph the caller's, too, between two epochs.
    with closing(tf.Session(graph=dae.graph)) as sess:
        sess.run(dae.init_op)
        for i in range(n_epochs):
            for start in range(0, len(trX) - batch_size + 1, batch_size):
                input_ = trX[start:start + batch_size]
                mask_np = binomial_mask(rng, input_.shape, corruption_level)
                sess.run(dae.train_op, feed_dict={dae.X: input_, dae.mask: mask_np})

            mask_np = binomial_mask(rng, teX.shape, corruption_level)
            cost = sess.run(dae.cost, feed_dict={dae.X: teX, dae.mask: mask_np})
            yield i, cost, sess.run(dae.weights)


def restore(learned, images):
    """Return damaged images, floats [N, width], restored: float32 [N, width], from 0 to 1.

    learned: what `train_epochs` yields, or np.load('.../learned.npz'). ValueError for other images.
    """
    images = np.asarray(images)
    if np.issubdtype(images.dtype, np.integer):
        raise ValueError(f'images are {images.dtype}, but must be floats. For bytes: x / 255')
    with tf.Graph().as_default(), tf.Session() as sess:
        tilde_X = tf.placeholder(tf.float32, [None, len(learned['W'])], name='images')
        return sess.run(model(tilde_X, **learned), feed_dict={tilde_X: images})


# The lesson ends here. What follows serves it: the images, the pictures, the flags, the run.
def load_images(data_dir=None):
    """Return training and test images, float32 [N, n_visible], from a folder, or MNIST's.

    Without MNIST they are the sample's. Raises OSError (missing), ValueError (damage, other size).
    """
    folder = Path(input_data.__file__).with_name('MNIST_data')
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(f'--data_dir: there is no folder {folder}')
    try:
        mnist = input_data.read_data_sets(folder)
    except OSError as error:
        if data_dir is not None or not (folder / 'sample').is_dir():
            raise
        print(f'{error}\nThe sample is used instead: digits that a program drew.', file=sys.stderr)
        mnist = input_data.read_data_sets(folder / 'sample')
    if mnist.test.images.shape[1] != n_visible:
        raise ValueError(f'images in {folder} do not have n_visible, {n_visible}, pixels')
    return mnist.train.images, mnist.test.images


def tile(images, columns):
    """Return a PNG of square images [N, width] from 0 to 1, `columns` to a row, twice as large."""
    side = int(np.sqrt(images.shape[1]))
    tiles = np.clip(images, 0, 1).reshape(len(images), side, side)
    tiles = tiles.repeat(2, axis=1).repeat(2, axis=2)
    tiles = np.pad(tiles, [(0, -len(tiles) % columns), (1, 1), (1, 1)])  # whole rows, black frames
    rows = [np.hstack(tiles[i:i + columns]) for i in range(0, len(tiles), columns)]
    pixels = np.uint8(np.rint(255 * np.vstack(rows)))
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(tf.image.encode_png(pixels[:, :, np.newaxis]))


def write_pictures(folder, learned, images, corruption_level):
    """Write filters.png, columns of W, and reconstructions.png: clean, damaged, restored."""
    filters = 0.5 + learned['W'].T[:100] / 2  # weight -1 is black, 0 grey, 1 white
    damaged = binomial_mask(np.random.RandomState(0), images.shape, corruption_level) * images
    rows = np.concatenate([images, damaged, restore(learned, damaged)])
    pictures = {'filters.png': tile(filters, 10), 'reconstructions.png': tile(rows, len(images))}
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
        if hasattr(sys, 'ps1') and 'ipykernel' in sys.modules:  # show it under a notebook's cell
            from IPython.display import Image, display
            display(Image(png))


def parse_flags(argv):
    """Return the values of all flags, a dict; end the script with status 2 if one is wrong."""
    parser = argparse.ArgumentParser('dae_mnist.py', usage=argparse.SUPPRESS, allow_abbrev=False)
    parser.description = 'Usage: python dae_mnist.py [--flag value] ... Train an autoencoder.'
    add = parser.add_argument
    add('--n_epochs', type=int, default=n_epochs, help='passes over the images (%(default)s)')
    add('--batch_size', type=int, default=batch_size, help='images per step (%(default)s)')
    add('--n_hidden', type=int, default=n_hidden, help='hidden units (%(default)s)')
    add('--learning_rate', type=float, default=learning_rate, help='size of a step (%(default)s)')
    add('--corruption_level', type=float, default=corruption_level,
        help='probability that a pixel is destroyed (%(default)s)')
    add('--seed', type=int, help='makes a run repeatable')
    add('--data_dir', help='folder of four files like those of MNIST (MNIST_data)')
    add('--log_dir', default=f'logs/{datetime.now():%Y%m%d-%H%M%S-%f}', help='new results folder')
    flags = parser.parse_args(argv)
    for name in 'n_epochs', 'batch_size', 'n_hidden', 'learning_rate':
        if not getattr(flags, name) > 0:
            parser.error(f'--{name} must be above 0')
    if not 0 <= flags.corruption_level < 1:
        parser.error('--corruption_level must be at least 0 and below 1')
    if flags.seed is not None and not 0 <= flags.seed < 2**32:
        parser.error('--seed must be from 0 to 4294967295')
    return vars(flags)


def keep_epochs(epochs, folder):
    """Save and print what `train_epochs` yields; return the script's exit status."""
    try:
        for i, cost, learned in epochs:
            if not np.isfinite(cost):
                print(f'Epoch {i} costs {cost}: lower --learning_rate.', file=sys.stderr)
                return 1
            folder.mkdir(parents=True, exist_ok=i > 0)
            np.savez(folder / 'part.npz', **learned)
            os.replace(folder / 'part.npz', folder / 'learned.npz')  # never half written
            print(i, cost, flush=True)
    except KeyboardInterrupt:
        (folder / 'part.npz').unlink(missing_ok=True)  # of an epoch that was not kept
        if not (folder / 'learned.npz').exists():
            raise
        print(f'Stopped. The last whole epoch is kept in {folder}.', file=sys.stderr)
        return 130
    return 0


def main(argv=()):
    """Run the script with these flags, a list of strings; return what was learned."""
    flags = parse_flags(argv)
    folder = Path(flags.pop('log_dir')).expanduser()
    if folder.exists():
        sys.exit(f'dae_mnist.py: {folder} exists already: name another folder with --log_dir')
    try:
        trX, teX = load_images(flags.pop('data_dir'))
    except ValueError as error:
        raise SystemExit(f'dae_mnist.py: {error}') from None
    if flags['batch_size'] > len(trX):
        sys.exit(f'dae_mnist.py: --batch_size must be at most {len(trX)}: '
                 '5,000 images are set apart')
    print(f'The results go to {folder}.', file=sys.stderr)
    status = keep_epochs(train_epochs(trX, teX, **flags), folder)
    if not folder.exists():  # the first epoch was not kept
        sys.exit(status)
    learned = dict(np.load(folder / 'learned.npz'))
    write_pictures(folder, learned, teX[:10], flags['corruption_level'])
    if status != 0 and not hasattr(sys, 'ps1'):  # a prompt goes on with `learned`
        sys.exit(status)
    return learned


if __name__ == '__main__':
    learned = None  # after a stop or an error, not the weights of an earlier run
    this_file = os.path.abspath(__file__) if '__file__' in globals() else ''
    hosted = hasattr(sys, 'ps1') and os.path.abspath(sys.argv[0]) != this_file
    try:
        learned = main([] if hosted else sys.argv[1:])  # a notebook's arguments are its kernel's
    except OSError as error:
        raise SystemExit(f'dae_mnist.py: {error}') from None
