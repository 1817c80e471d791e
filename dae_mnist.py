"""A denoising autoencoder on MNIST: a network that learns by repairing damaged images of digits.

An autoencoder is trained to give back its own input. Its hidden units turn an image into 500
numbers, the hidden code, and a second layer turns the code back into an image. We want the code,
because a good description of an image helps in other tasks, such as recognising the digit. But a
network can give back its input without a good description: 500 numbers are enough to copy 784
pixels, because most pixels are black or like their neighbours.

Here each pixel of the input is set to 0 with a probability of 30 %, but the target is the clean
image. A network that copies would copy the damage, too, and be wrong. It has to work out a
destroyed pixel from the other pixels, and it is not told which zeros are damage. So its weights
must hold how the pixels of digits depend on each other, and a code that captures this helps most.
For N clean images X, where * goes pixel by pixel and @ is the product of matrices:

    tilde_X = mask * X                  [N, 784]  damaged images; a mask has a 0 or 1 per pixel  (1)
    Y = sigmoid(tilde_X @ W + b)        [N, 500]  the hidden code; W is [784, 500]               (2)
    Z = sigmoid(Y @ W_prime + b_prime)  [N, 784]  restored images; W_prime is W transposed       (3)
    cost = sum((X - Z)^2)               a number  compares with the clean X, not with tilde_X    (4)

`python dae_mnist.py --seed 0` prints a line after each epoch, one pass over the training images:
its number, and the cost of all 10,000 test images together. On MNIST the first is
`0 111713.84` (TensorFlow 2.21, CPU). After 100 epochs the cost is about 56,000, or 5.6 an image.
Damaged images left as they are would cost 26.8 each, black images 89.3. The run makes a folder with
learned.npz, the weights; filters.png, the weights of 100 hidden units as images; and
reconstructions.png, ten test images clean, damaged and restored. The same in Python:

    import numpy as np
    from dae_mnist import binomial_mask, corrupt, encode, load_images, restore, train_epochs

    trX, teX = load_images()  # to train and to test; or your own arrays [N, pixels], from 0 to 1
    for i, cost, learned in train_epochs(trX, teX):
        print(i, cost)

    damaged = corrupt(teX, binomial_mask(np.random.RandomState(0), teX.shape, 0.3))
    restored = restore(learned, damaged)
    code = encode(learned, 0.7 * teX)  # as dark as in training, where 30 % was missing

The network is that of P. Vincent and others, "Extracting and composing robust features with
denoising autoencoders", ICML 2008. There each image loses equally many pixels, and the cost is the
cross-entropy. The program is a port of https://github.com/nlintz/TensorFlow-Tutorials,
06_autoencoder.py, and prints the same if the generators of NumPy and TensorFlow get the same seed.
"""

import argparse
import os
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # hide TensorFlow's messages
import numpy as np
import tensorflow.compat.v1 as tf
import input_data  # the loader beside this file: finds, downloads and reads MNIST

# Functions below take these as defaults. So in a notebook run the whole cell again after a change.
mnist_width = 28  # in pixels, of the images that the script loads; your arrays may have any width
n_visible = mnist_width * mnist_width  # an image is a row of pixels from 0, black, to 1, white
n_hidden = 500  # hidden units: the length of the hidden code
corruption_level = 0.3  # the probability that a pixel is destroyed, that is, set to 0
batch_size = 128  # images per step
n_epochs = 100  # passes over the training images
learning_rate = 0.02  # suits this cost, noise, batch and size; after a change try 0.005, 0.001
noise_limit = 9  # noisy images stay within -9 to 9 (Gaussian of 0.5: -2.5, 3.3), bytes do not


def binomial_mask(rng, shape, corruption_level):
    """Draw a bool mask: False, with probability corruption_level, destroys a pixel."""
    return rng.random_sample(shape) < 1 - corruption_level


def corrupt(X, mask):
    """Return images X [N, width] with a 0 for each pixel that the mask destroys.

    For another noise change two functions. binomial_mask draws its random numbers, and runs for
    each batch. This one combines them with X, and runs once in training, when the graph is built:
    a number that NumPy drew here would stay the same for all batches. X and mask are parts of the
    graph then, so use only + - * /, because == and np.where do not work on them.
    """
    tilde_X = mask * X  # (1) corrupted input
    return tilde_X


def model(tilde_X, W, b, W_prime, b_prime):
    """Return Y [N, n_hidden], the code, and Z [N, width], for damaged images tilde_X [N, width]."""
    Y = tf.nn.sigmoid(tf.matmul(tilde_X, W) + b)  # (2) hidden code
    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)  # (3) reconstructed input
    return Y, Z


def build_graph(n_visible, n_hidden, learning_rate, seed=None):
    """Return the graph of the network and its training, with its parts by name.

    A graph only describes a computation; a session runs the parts that it is asked for.
    Placeholders get their values anew in each run. Variables keep theirs from run to run: init_op
    sets the starting values, and train_op subtracts learning_rate times the gradient.
    """
    with tf.Graph().as_default() as graph:
        # A random operation that is added above W_init would change the start of W.
        tf.set_random_seed(seed)
        X = tf.placeholder(tf.float32, [None, n_visible], name='X')
        mask = tf.placeholder(tf.float32, [None, n_visible], name='mask')

        # Glorot and Bengio (AISTATS 2010) give a range for tanh; for a sigmoid it is 4 times that.
        W_init_max = 4 * np.sqrt(6. / (n_visible + n_hidden))
        W_init = tf.random_uniform([n_visible, n_hidden], -W_init_max, W_init_max)
        W = tf.Variable(W_init, name='W')
        b = tf.Variable(tf.zeros([n_hidden]), name='b')
        W_prime = tf.transpose(W)  # tied: no variable of its own
        b_prime = tf.Variable(tf.zeros([n_visible]), name='b_prime')
        # These are kept, and are the arguments of model: add the weights of a new layer to both.
        weights = {'W': W, 'b': b, 'W_prime': W_prime, 'b_prime': b_prime}

        Y, Z = model(corrupt(X, mask), **weights)
        # A sum over pixels and images: a mean needs a learning rate about 100,000 times as large.
        cost = tf.reduce_sum(tf.square(X - Z))  # (4) minimize squared error
        if None in tf.gradients(cost, tf.trainable_variables()):
            raise ValueError('a variable does not change the cost: is it in weights and in model?')
        train_op = tf.train.GradientDescentOptimizer(learning_rate).minimize(cost)
        init_op = tf.global_variables_initializer()
    return SimpleNamespace(graph=graph, X=X, mask=mask, weights=weights, cost=cost,
                           train_op=train_op, init_op=init_op)


def check_images(name, images, low, high):
    """Return images, a list or array, as float32; ValueError if not [N, width] from low to high."""
    images = np.asarray(images, np.float32)
    if images.ndim != 2 or images.size == 0:
        raise ValueError(f'{name} has the shape {images.shape}, but must be [N, width], with a row '
                         'for each image: x.reshape(len(x), -1)')
    if np.isnan(images).any():
        raise ValueError(f'{name} has numbers that are nan')
    if images.min() < low or images.max() > high:
        raise ValueError(f'{name} has numbers from {images.min()} to {images.max()}, but they must '
                         f'be from {low} to {high}. Divide by the largest possible: bytes by 255')
    return images


def train_epochs(trX, teX, *, n_epochs=n_epochs, batch_size=batch_size, n_hidden=n_hidden,
                 learning_rate=learning_rate, corruption_level=corruption_level, seed=None):
    """Train a new network on images trX [N, width]; after each epoch yield i, cost, learned.

    Images go from 0 to 1, epochs from 0. The cost is that of all test images teX, damaged anew.
    `learned` is a dict of float32 arrays: W [width, n_hidden], b, W_prime, b_prime. Batches are
    taken in order, so shuffle sorted images. Images that do not fill a batch are not used (of 255
    images 127). Nothing is printed or saved. Raises ValueError at the call for an argument that
    cannot be used, and FloatingPointError in the loop for a cost that is not finite.
    """
    trX = check_images('trX', trX, 0, 1)
    teX = check_images('teX', teX, 0, 1)
    if trX.shape[1] != teX.shape[1]:
        raise ValueError(f'trX has images of {trX.shape[1]} pixels, but teX of {teX.shape[1]}')
    if not 1 <= batch_size <= len(trX):
        raise ValueError(f'batch_size is {batch_size}, but must be from 1 to {len(trX)} images')
    settings = {'n_epochs': n_epochs, 'n_hidden': n_hidden, 'learning_rate': learning_rate}
    for name, value in settings.items():
        if not value > 0:  # true of nan as well
            raise ValueError(f'{name} is {value}, but must be above 0')
    if not 0 <= corruption_level < 1:
        raise ValueError(f'corruption_level is {corruption_level}, but must be from 0 to below 1')
    rng = np.random.RandomState(seed)

    def epochs():  # a generator of its own, so that the checks above do not wait for the loop
        dae = build_graph(trX.shape[1], n_hidden, learning_rate, seed)
        # `with tf.Session()` would make this graph the caller's default graph at each yield.
        with closing(tf.Session(graph=dae.graph)) as sess:
            sess.run(dae.init_op)
            for i in range(n_epochs):
                for start in range(0, len(trX) - batch_size + 1, batch_size):
                    input_ = trX[start:start + batch_size]
                    mask_np = binomial_mask(rng, input_.shape, corruption_level)
                    sess.run(dae.train_op, feed_dict={dae.X: input_, dae.mask: mask_np})

                mask_np = binomial_mask(rng, teX.shape, corruption_level)
                cost = sess.run(dae.cost, feed_dict={dae.X: teX, dae.mask: mask_np})
                if not np.isfinite(cost):
                    raise FloatingPointError(f'epoch {i} costs {cost}: lower the learning_rate, '
                                             'or add 1e-7 inside a log of the cost')
                yield i, cost, sess.run(dae.weights)
    return epochs()


def run_model(learned, images):
    """Return Y and Z, arrays, of `model` with learned weights for damaged images [N, width]."""
    images = check_images('images', images, -noise_limit, noise_limit)
    with tf.Graph().as_default(), tf.Session() as sess:
        tilde_X = tf.placeholder(tf.float32, [None, len(learned['W'])], name='tilde_X')
        return sess.run(model(tilde_X, **learned), feed_dict={tilde_X: images})


def restore(learned, images):
    """Restore damaged images [N, width], numbers from -9 to 9; return float32 from 0 to 1.

    learned: the weights that `train_epochs` yields, or np.load('.../learned.npz'). Raises
    ValueError for other numbers, and for images with more or fewer pixels than in the training.
    """
    _, Z = run_model(learned, images)
    return Z


def encode(learned, images):
    """Return the hidden code, float32 [N, n_hidden] from 0 to 1; arguments as in `restore`.

    Multiply undamaged images by 1 - corruption_level first, because in training only this share of
    the brightness was left. After another noise take the mean code of 20 damaged copies of each.
    """
    Y, _ = run_model(learned, images)
    return Y


# The lesson ends here. What follows serves it: the images, the pictures, the flags, the run.
interactive = hasattr(sys, 'ps1')  # at a prompt or in a notebook, where Python goes on afterwards


def load_images(data_dir=None):
    """Return training and test images, float32 [N, n_visible] from 0 to 1.

    With data_dir they are read from that folder, which has files named as MNIST's. Without it they
    are MNIST's, downloaded the first time; if that fails, the sample's. Raises OSError (files are
    missing) or ValueError (damaged files, images of another size).
    """
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        mnist = input_data.read_data_sets(folder, source_url=None)  # None: nothing is downloaded
    else:
        folder = Path(input_data.__file__).with_name('MNIST_data')
        try:
            mnist = input_data.read_data_sets(folder)
        except OSError as error:
            print(error, file=sys.stderr)
            print('The sample is used instead: digits that a program drew.', file=sys.stderr)
            mnist = input_data.read_data_sets(folder / 'sample', source_url=None)
    if mnist.test.images.shape[1] != n_visible:
        raise ValueError(f'images in {folder} do not have n_visible, {n_visible}, pixels')
    return mnist.train.images, mnist.test.images


def tile(images, columns):
    """Return the bytes of a PNG: square grey images [N, width], from -9 to 9, in `columns`.

    They are drawn twice as large, 0 and below as black, 1 and above as white. Raises ValueError.
    """
    images = check_images('images', images, -noise_limit, noise_limit)
    side = int(np.sqrt(images.shape[1]))
    tiles = np.clip(images, 0, 1).reshape(len(images), side, side)
    tiles = tiles.repeat(2, axis=1).repeat(2, axis=2)
    empty = int(np.ceil(len(tiles) / columns)) * columns - len(tiles)  # places in the last row
    tiles = np.pad(tiles, [(0, empty), (1, 1), (1, 1)])  # with a black frame around each
    rows = [np.hstack(tiles[i:i + columns]) for i in range(0, len(tiles), columns)]
    pixels = np.uint8(np.rint(255 * np.vstack(rows)))
    with tf.Graph().as_default(), tf.Session() as sess:
        return sess.run(tf.image.encode_png(pixels[:, :, np.newaxis]))


def write_pictures(folder, learned, images, damaged):
    """Write filters.png, 100 columns of W, and reconstructions.png: clean, damaged, restored."""
    filters = np.clip(0.5 + learned['W'].T[:100] / 2, 0, 1)  # weight -1 is black, 0 grey, 1 white
    rows = np.concatenate([images, damaged, restore(learned, damaged)])
    pictures = {'filters.png': tile(filters, 10), 'reconstructions.png': tile(rows, len(images))}
    for name, png in pictures.items():
        (folder / name).write_bytes(png)
        if interactive and 'ipykernel' in sys.modules:  # show it under a notebook's cell
            from IPython.display import Image, display
            display(Image(png))


def parse_flags(argv):
    """Return the values of all flags, a dict. An unknown flag ends the script."""
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
    add('--data_dir', help='folder of the images (default: MNIST, or else the sample)')
    add('--log_dir', default=f'logs/{datetime.now():%Y%m%d-%H%M%S-%f}',
        help='folder of the results (default: a new one in logs)')
    return vars(parser.parse_args(argv))


def keep_epochs(epochs, folder):
    """Save and print each epoch. Return None, or the exception that ended the training early.

    If no epoch was kept, the exception is raised.
    """
    part = folder / 'part.npz'
    kept = False
    try:
        for i, cost, learned in epochs:
            if not kept:  # a run that ends before leaves no folder
                folder.mkdir(parents=True)
            np.savez(part, **learned)
            os.replace(part, folder / 'learned.npz')  # so this file is never half written
            kept = True
            print(i, cost, flush=True)
    except (KeyboardInterrupt, FloatingPointError, OSError) as stop:
        if part.exists():  # the epoch was cut off
            part.unlink()
        if not kept:
            raise
        return stop
    return None


def main(argv=()):
    """Run the script with these flags, a list of strings; return what was learned."""
    flags = parse_flags(argv)
    folder = Path(flags.pop('log_dir')).expanduser()
    if folder.exists():
        sys.exit(f'dae_mnist.py: {folder} exists already: name another folder with --log_dir')
    try:
        trX, teX = load_images(flags.pop('data_dir'))
        epochs = train_epochs(trX, teX, **flags)
    except ValueError as error:
        raise SystemExit(f'dae_mnist.py: {error}') from None

    print(f'The results go to {folder}.', file=sys.stderr)
    rng = np.random.RandomState(0)  # the same damage in each run, so that pictures compare
    damaged = corrupt(teX, binomial_mask(rng, teX.shape, flags['corruption_level']))
    damage = np.sum(np.square(teX - damaged), dtype=float)
    if damage > 0:
        print(f'Left as they are, the damaged test images have a squared error of {damage:.0f}.',
              file=sys.stderr)
    stop = keep_epochs(epochs, folder)
    learned = dict(np.load(folder / 'learned.npz'))
    write_pictures(folder, learned, teX[:10], damaged[:10])
    if stop is not None:
        stopped = isinstance(stop, KeyboardInterrupt)  # by Ctrl-C, which has no message
        reason = 'stopped' if stopped else stop
        print(f'dae_mnist.py: {reason}. The last whole epoch is kept in {folder}.', file=sys.stderr)
        if not interactive:
            sys.exit(130 if stopped else 1)
    return learned


if __name__ == '__main__':
    learned = None  # so that a run that fails does not leave the weights of an earlier one
    arguments = sys.argv[1:]
    if interactive:  # unless %run has started this file, these arguments are the notebook's own
        this_file = __file__ if '__file__' in globals() else ''
        if os.path.abspath(this_file) != os.path.abspath(sys.argv[0]):
            arguments = []
    try:
        learned = main(arguments)
    except (OSError, FloatingPointError) as error:
        raise SystemExit(f'dae_mnist.py: {error}') from None
