"""The 2016 listing, transcribed from the design's table: slow, plain, and the measure of the port.

    python tests/listing.py SEED EPOCHS FOLDER

It prints what the listing printed, a line `epoch cost` an epoch, and shares no code with
dae_mnist.py or input_data.py.
"""

import gzip
import os
import sys

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

import numpy as np
import tensorflow.compat.v1 as tf

n_visible = 28 * 28
n_hidden = 500
corruption_level = 0.3
batch_size = 128
learning_rate = 0.02


def read_images(path):
    """Read float32 images [N, 784] in [0, 1] as TensorFlow 1's loader did."""
    with gzip.open(path) as f:
        f.read(16)
        images = np.frombuffer(f.read(), np.uint8).reshape(-1, n_visible)
    return np.multiply(images.astype(np.float32), 1.0 / 255.0)


def model(X, mask, W, b, W_prime, b_prime):
    tilde_X = mask * X
    Y = tf.nn.sigmoid(tf.matmul(tilde_X, W) + b)
    Z = tf.nn.sigmoid(tf.matmul(Y, W_prime) + b_prime)
    return Z


def build():
    """Build the listing's graph in the default graph: X, mask, cost, train_op."""
    X = tf.placeholder('float', [None, n_visible], name='X')
    mask = tf.placeholder('float', [None, n_visible], name='mask')
    W_init_max = 4 * np.sqrt(6. / (n_visible + n_hidden))
    W_init = tf.random_uniform(shape=[n_visible, n_hidden], minval=-W_init_max, maxval=W_init_max)
    W = tf.Variable(W_init, name='W')
    b = tf.Variable(tf.zeros([n_hidden]), name='b')
    W_prime = tf.transpose(W)
    b_prime = tf.Variable(tf.zeros([n_visible]), name='b_prime')
    Z = model(X, mask, W, b, W_prime, b_prime)
    cost = tf.reduce_sum(tf.pow(X - Z, 2))
    train_op = tf.train.GradientDescentOptimizer(learning_rate).minimize(cost)
    return X, mask, cost, train_op


def train_epoch(sess, X, mask, train_op, trX):
    ends = range(batch_size, len(trX) + 1, batch_size)
    for start, end in zip(range(0, len(trX), batch_size), ends):
        input_ = trX[start:end]
        mask_np = np.random.binomial(1, 1 - corruption_level, input_.shape)
        sess.run(train_op, feed_dict={X: input_, mask: mask_np})


def costs(trX, teX, seed, epochs):
    """Train with a seed for NumPy and TensorFlow; yield the number of each epoch and its cost."""
    np.random.seed(seed)
    with tf.Graph().as_default(), tf.Session() as sess:
        tf.set_random_seed(seed)
        X, mask, cost, train_op = build()
        sess.run(tf.global_variables_initializer())
        for i in range(epochs):
            train_epoch(sess, X, mask, train_op, trX)
            mask_np = np.random.binomial(1, 1 - corruption_level, teX.shape)
            yield i, sess.run(cost, feed_dict={X: teX, mask: mask_np})


def main():
    seed, epochs, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    tf.disable_v2_behavior()
    trX = read_images(os.path.join(folder, 'train-images-idx3-ubyte.gz'))[5000:]
    teX = read_images(os.path.join(folder, 't10k-images-idx3-ubyte.gz'))
    for i, cost in costs(trX, teX, seed, epochs):
        print(i, cost, flush=True)


if __name__ == '__main__':
    main()
