"""A denoising autoencoder on MNIST: a network that learns what digits look like by mending them.

Part of an image is destroyed, and the network must give back the whole of it:

    tilde_x = mask * x                  corrupt: the mask is 1 where a pixel stays, 0 elsewhere  (1)
    y = sigmoid(tilde_x W + b)          encode: the hidden code                                  (2)
    z = sigmoid(y W' + b')              decode: W' is W transposed, "tied" to it                 (3)
    cost = sum((x - z)^2)               compare with the clean image, not with the corrupted one (4)

from P. Vincent, H. Larochelle, Y. Bengio, P.-A. Manzagol, "Extracting and composing robust features
with denoising autoencoders", ICML 2008. The program is a port of the TensorFlow listing of 2016 at
http://www.chinasem.cn/article/962140 and prints the same costs. Run it, with --help for more:

    python dae_mnist.py
"""

import argparse
import datetime
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import namedtuple

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # what matters comes as an exception as well
import numpy as np
import tensorflow.compat.v1 as tf

import input_data

mnist_width = 28
n_visible = mnist_width * mnist_width
n_hidden = 500  # how many features there are to learn
corruption_level = 0.3  # the chance of a pixel to be destroyed
batch_size = 128
n_epochs = 100
learning_rate = 0.02  # small: the cost is a sum, so its gradient grows with the batch

Autoencoder = namedtuple('Autoencoder', 'graph X mask W b W_prime b_prime Z cost train_op init_op')
Learned = namedtuple('Learned', 'W b b_prime costs')  # float32 arrays; costs has one an epoch


def model(X, mask, W, b, W_prime, b_prime):
    """Return Z [N, 784], what the network makes of the images X [N, 784] under the mask."""
    with tf.name_scope('encoder'):
        tilde_X = mask * X  # (1)
        Y = tf.nn.sigmoid(tf.matmul(tilde_X, W) + b)  # (2)
    with tf.name_scope('decoder'):
        # Y W_prime, written so that TensorFlow can strike out both transposes of W. The bits are
        # the same, and a step need not turn the gradient.
        Z = tf.nn.sigmoid(tf.matmul(Y, tf.transpose(W_prime), transpose_b=True) + b_prime)  # (3)
    return Z


def build_graph(n_hidden=n_hidden, learning_rate=learning_rate, seed=None):
    """Return the Autoencoder: a graph, with its tensors and operations by the listing's names."""
    with tf.Graph().as_default() as graph:  # of its own: nothing outside is changed
        tf.set_random_seed(seed)
        X = tf.placeholder(tf.float32, [None, n_visible], name='X')
        mask = tf.placeholder(tf.float32, [None, n_visible], name='mask')

        # The range of Glorot and Bengio (AISTATS 2010), times 4 as a sigmoid has slope 1/4 at 0.
        # TensorFlow seeds a random operation by how many stand before it: it stays the first.
        W_init_max = 4 * np.sqrt(6. / (n_visible + n_hidden))
        W_init = tf.random_uniform([n_visible, n_hidden], -W_init_max, W_init_max)
        W = tf.Variable(W_init, name='W')
        b = tf.Variable(tf.zeros([n_hidden]), name='b')
        W_prime = tf.transpose(W)  # tied: what a unit looks for is also what it draws
        b_prime = tf.Variable(tf.zeros([n_visible]), name='b_prime')

        Z = model(X, mask, W, b, W_prime, b_prime)
        with tf.name_scope('cost'):
            cost = tf.reduce_sum(tf.square(X - Z))  # (4)
        train_op = tf.train.GradientDescentOptimizer(learning_rate).minimize(cost)
        init_op = tf.global_variables_initializer()
    return Autoencoder(graph, X, mask, W, b, W_prime, b_prime, Z, cost, train_op, init_op)


def draw_mask(rng, shape, corruption_level=corruption_level):
    """Draw a mask, bool, of Binomial(1, 1 - corruption_level).

    For levels below 0.5 the bits are those of rng.binomial, which takes three times as long.
    """
    return rng.random_sample(shape) < 1 - corruption_level


def train(dae, mnist, n_epochs=n_epochs, batch_size=batch_size, corruption_level=corruption_level,
          seed=None, log_dir=None):
    """Train the Autoencoder, print the cost of all test images after each epoch, return Learned.

    seed: of the masks. log_dir: a folder for what the run leaves, or to go on in after the last
    epoch there. Raises FloatingPointError when the cost is not finite.
    """
    trX, teX = mnist.train.images, mnist.test.images
    rng = np.random.RandomState(seed)
    with tf.Session(graph=dae.graph) as sess:
        sess.run(dae.init_op)
        log = Log(log_dir, dae, sess) if log_dir else None
        costs = log.restore(rng) if log else []  # of the epochs that are done already
        if log and len(costs) >= n_epochs:
            say(f'{log_dir} has {len(costs)} epochs already: to go on, give a larger --n_epochs')
        for i in range(len(costs), n_epochs):
            # In the order of the file; the last images that fill no batch are left out.
            starts = range(0, len(trX) - batch_size + 1, batch_size)
            for start in progress(starts, i, n_epochs):
                input_ = trX[start:start + batch_size]
                mask_np = draw_mask(rng, input_.shape, corruption_level)
                sess.run(dae.train_op, feed_dict={dae.X: input_, dae.mask: mask_np})

            mask_np = draw_mask(rng, teX.shape, corruption_level)
            costs.append(sess.run(dae.cost, feed_dict={dae.X: teX, dae.mask: mask_np}))
            if not np.isfinite(costs[i]):
                raise FloatingPointError(f'the cost of epoch {i} is {costs[i]}: give a smaller '
                                         '--learning_rate')
            print(i, costs[i], flush=True)
            if log:
                log.save(rng, costs)
        if log:
            log.draw(teX[:10], corruption_level, len(costs) - 1)
        return Learned(*sess.run([dae.W, dae.b, dae.b_prime]), np.array(costs))


def say(text, end='\n'):
    """Tell the person who waits; stdout is for the costs alone."""
    if sys.stderr:  # None where it is closed
        clear = '\r\033[K' if sys.stderr.isatty() else ''
        print(clear + text, end=end, file=sys.stderr, flush=True)


stop_signals = []  # raised between two steps only: TensorFlow loses what is raised inside its calls


def progress(starts, i, n_epochs):
    """Yield where each batch of epoch i starts; on a terminal, tell meanwhile how far it is.

    Raises KeyboardInterrupt before the next batch once a signal has come.
    """
    begin, told = time.monotonic(), 0
    live = sys.stderr and sys.stderr.isatty()
    for k, start in enumerate(starts):
        if stop_signals:
            raise KeyboardInterrupt(stop_signals[0])
        now = time.monotonic()
        if live and k and now > told + 0.1:
            told, pace = now, (now - begin) / k
            left = pace * ((n_epochs - i) * len(starts) - k)
            say(f'epoch {i}: {k / len(starts):.0%}, {starts.step / pace:,.0f} images/s, '
                f'{round(left) // 60}:{round(left) % 60:02} to go', end='')
        yield start
    say('', end='')


class Log:
    """The folder of a run: checkpoints, events for TensorBoard, pictures."""

    def __init__(self, log_dir, dae, sess):
        self.log_dir, self.dae, self.sess = log_dir, dae, sess
        try:
            os.makedirs(log_dir, exist_ok=True)
            tempfile.TemporaryFile(dir=log_dir).close()
        except OSError as error:
            raise OSError(f'cannot write to {log_dir} ({error.strerror}): name another --log_dir')
        self.last = tf.train.get_checkpoint_state(log_dir)
        if self.last:
            shape = tf.train.load_checkpoint(log_dir).get_variable_to_shape_map().get('W')
            if shape != dae.W.shape.as_list():
                raise ValueError(f'{log_dir} has W {shape}, this run {dae.W.shape.as_list()}: give '
                                 'the --n_hidden of the run there, or name another --log_dir')
        self.writer = tf.summary.FileWriter(log_dir, dae.graph,  # its own file for each start
                                            filename_suffix=f'.{time.time_ns()}')
        # To go on, a run also needs its costs so far and the state of its masks' generator.
        self.costs = tf.Variable(tf.placeholder(tf.float32, [None]), validate_shape=False)
        self.rng = tf.Variable(tf.placeholder(tf.int64, [625]))
        self.saver = tf.train.Saver({'W': dae.W, 'b': dae.b, 'b_prime': dae.b_prime,
                                     'costs': self.costs, 'rng': self.rng},
                                    max_to_keep=3, save_relative_paths=True)

    def restore(self, rng):
        """Take up the last checkpoint, if there is one; return the costs so far, a list."""
        if not self.last:
            return []
        path = self.last.model_checkpoint_path
        try:
            self.saver.restore(self.sess, path)
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(f'{path} is damaged: name another --log_dir') from error
        self.saver.recover_last_checkpoints(self.last.all_model_checkpoint_paths)
        costs, state = self.sess.run([self.costs, self.rng])
        rng.set_state(('MT19937', state[:-1], state[-1]))
        return list(costs)

    def save(self, rng, costs):
        """Write a checkpoint and the last cost; the three newest checkpoints are kept."""
        _, keys, position, *_ = rng.get_state()
        self.sess.run([self.costs.initializer, self.rng.initializer], feed_dict={
            self.costs.initial_value: costs, self.rng.initial_value: np.append(keys, position)})
        i = len(costs) - 1
        self.event(i, tag='cost', simple_value=costs[i])
        self.saver.save(self.sess, os.path.join(self.log_dir, 'model.ckpt'), i)

    def event(self, i, **value):
        self.writer.add_summary(tf.Summary(value=[tf.Summary.Value(**value)]), i)
        self.writer.flush()

    def draw(self, X, corruption_level, step):
        """Draw filters.png, each feature scaled for itself, and reconstructions.png."""
        W = self.sess.run(self.dae.W)
        filters = (W - W.min(axis=0)) / (W.max(axis=0) - W.min(axis=0))
        mask_np = draw_mask(np.random.RandomState(0), X.shape, corruption_level)
        Z = self.sess.run(self.dae.Z, feed_dict={self.dae.X: X, self.dae.mask: mask_np})
        self.picture('filters', filters.T, 25, 2, step)
        self.picture('reconstructions', np.concatenate([X, mask_np * X, Z]), len(X), 4, step)

    def picture(self, name, images, columns, scale, step):
        """Write images [N, 784] in [0, 1] as a grid, to a PNG file and for TensorBoard."""
        images = images.reshape(-1, mnist_width, mnist_width)
        tiles = np.pad(images, [(0, -len(images) % columns), (1, 1), (1, 1)])  # framed
        grid = np.block([list(row) for row in tiles.reshape(-1, columns, *tiles.shape[1:])])
        pixels = np.rint(255 * grid).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
        png = self.sess.run(tf.image.encode_png(pixels[..., np.newaxis]))
        path = os.path.join(self.log_dir, name + '.png')
        with open(path + '.part', 'wb') as file:
            file.write(png)
        os.replace(path + '.part', path)
        self.event(step, tag=name, image=tf.Summary.Image(
            encoded_image_string=png, height=pixels.shape[0], width=pixels.shape[1], colorspace=1))


def load_data(data_dir):
    """Return MNIST and None, or, with no data_dir and no MNIST, the drawn sample and its folder."""
    folder = os.path.join(os.path.dirname(os.path.abspath(input_data.__file__)), 'MNIST_data')
    try:
        return input_data.read_data_sets(data_dir or folder, one_hot=True), None
    except OSError as error:
        sample = os.path.join(folder, 'sample')
        if data_dir or not os.path.isdir(sample):
            raise
        say(f'MNIST could not be had. {error}\nThis run trains on the sample, digits drawn by a '
            'program: its costs do not compare with those of MNIST.')
        return input_data.read_data_sets(sample, one_hot=True), sample


def parse(argv):
    """Return the flags in argv, each named like the constant that it overrides, and their parser.

    A flag that is unknown or out of its range ends the script with one line and status 2.
    """
    parser = argparse.ArgumentParser('dae_mnist.py', argparse.SUPPRESS, allow_abbrev=False,
                                     description=__doc__.split('\n')[0])
    flag = parser.add_argument
    flag('--n_epochs', type=int, default=n_epochs, help='passes over the images (%(default)s)')
    flag('--batch_size', type=int, default=batch_size, help='images a step (%(default)s)')
    flag('--learning_rate', type=float, default=learning_rate, help='of SGD (%(default)s)')
    flag('--corruption_level', type=float, default=corruption_level,
         help='the chance of a pixel to be destroyed (%(default)s)')
    flag('--n_hidden', type=int, default=n_hidden, help='hidden units (%(default)s)')
    flag('--seed', type=int, help='makes a run repeatable to the last digit')
    flag('--data_dir', help='the folder of MNIST (MNIST_data, or else the sample in it)')
    flag('--log_dir', help='the folder for what the run leaves, or to go on in (a new one in logs)')

    args = parser.parse_args(argv)
    for name, good, rule in (
            ('n_epochs', args.n_epochs > 0, 'above 0'),
            ('batch_size', args.batch_size > 0, 'above 0'),
            ('n_hidden', 0 < args.n_hidden < 2**31, 'above 0 and below 2147483648'),
            ('learning_rate', 0 < args.learning_rate < 3e38, 'a positive number, below 3e38'),
            ('corruption_level', 0 <= args.corruption_level < 1, 'at least 0 and below 1'),
            ('seed', args.seed is None or 0 <= args.seed < 2**32, 'from 0 to 4294967295')):
        if not good:
            parser.error(f'--{name} is {getattr(args, name)}: it must be {rule}')
    return args, parser


def main(argv=None):
    """Run the script with the flags argv, by default the command line's; return Learned."""
    notebook = 'ipykernel' in sys.modules
    if argv is None:  # in a notebook sys.argv is the kernel's, except under %run
        own = os.path.abspath(sys.argv[0]) == os.path.abspath(globals().get('__file__', ''))
        argv = sys.argv[1:] if own or not notebook else []
    args, parser = parse(argv)
    log_dir = args.log_dir or f'logs/{datetime.datetime.now():%Y%m%d-%H%M%S-%f}'

    mnist = dae = sample = None
    handlers, verbosity = {}, tf.logging.get_verbosity()
    tf.logging.set_verbosity(tf.logging.ERROR)  # Saver warns of TensorFlow's own deprecated calls
    try:
        mnist, sample = load_data(args.data_dir)
        if args.batch_size > mnist.train.num_examples:
            parser.error(f'--batch_size: there are only {mnist.train.num_examples} training images')
        for number in signal.SIGINT, signal.SIGTERM:
            if signal.getsignal(number) != signal.SIG_IGN:
                handlers[number] = signal.signal(number, lambda n, frame: stop_signals.append(n))
        dae = build_graph(args.n_hidden, args.learning_rate, args.seed)
        learned = train(dae, mnist, args.n_epochs, args.batch_size, args.corruption_level,
                        args.seed, log_dir)
    except KeyboardInterrupt as stop:
        last = tf.train.latest_checkpoint(log_dir)
        safe = f'epoch {last.split("-")[-1]} is safe' if last else 'no epoch is finished yet'
        again = argv if args.log_dir else [*argv, '--log_dir', log_dir]
        again = again + ['--data_dir', sample] if sample else again  # the same data, come what may
        call = 'main' if __name__ == '__main__' else f'{__name__}.main'
        quote = subprocess.list2cmdline if os.name == 'nt' else shlex.join
        shell = quote([sys.executable, sys.argv[0], *again])
        say(f'Stopped; {safe}. To go on: ' + (f'{call}({again})' if notebook else shell))
        sys.exit(128 + stop.args[0] if stop.args else 130)
    except BrokenPipeError:  # the reader, say head, has seen enough: leave Python nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, ValueError, ArithmeticError, tf.errors.OpError) as error:
        if mnist and not dae:  # a changed graph does not fit together: show where
            raise
        said = (str(error) or repr(error)).partition('\n\t [[')[0]  # TensorFlow's reason is last
        say(f'dae_mnist.py: {said.splitlines()[-1]}')
        sys.exit(1)
    finally:
        tf.logging.set_verbosity(verbosity)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        stop_signals.clear()  # or the next training would stop at once
    say(f'The learned weights and their pictures are in {log_dir}. To see the curve, after '
        f'pip install tensorboard: tensorboard --logdir {os.path.dirname(log_dir) or log_dir}')
    if sample:
        say('The data was the drawn sample, not MNIST: the costs do not compare.')
    return learned


if __name__ == '__main__':
    learned = main()
