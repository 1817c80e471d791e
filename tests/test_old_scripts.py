"""Scripts written for TensorFlow 1 run with the loader copied beside them, and nothing else."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import DATA, NAMES, ROOT

# As such scripts were written; only the two lines that import are of today.
SCRIPT = r'''
import json
import numpy as np
import tensorflow.compat.v1 as tf
import input_data
from input_data import read_data_sets
tf.disable_v2_behavior()
results = {}


def softmax(mnist, steps):
    """The beginners' tutorial."""
    x = tf.placeholder(tf.float32, [None, 784])
    W = tf.Variable(tf.zeros([784, 10]))
    b = tf.Variable(tf.zeros([10]))
    y = tf.nn.softmax(tf.matmul(x, W) + b)
    y_ = tf.placeholder(tf.float32, [None, 10])
    cross_entropy = tf.reduce_mean(
        -tf.reduce_sum(y_ * tf.log(tf.clip_by_value(y, 1e-10, 1.0)), reduction_indices=[1]))
    train_step = tf.train.GradientDescentOptimizer(0.5).minimize(cross_entropy)
    correct_prediction = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))
    accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        for i in range(steps):
            batch_xs, batch_ys = mnist.train.next_batch(100)
            sess.run(train_step, feed_dict={x: batch_xs, y_: batch_ys})
        return float(sess.run(accuracy, {x: mnist.test.images, y_: mnist.test.labels}))


mnist = input_data.read_data_sets('MNIST_data', one_hot=True)
results['softmax'] = softmax(mnist, 300), mnist.train.epochs_completed

# fully_connected_feed.py, with fake data to test it.
data_sets = input_data.read_data_sets('no such folder', True)
images_placeholder = tf.placeholder(tf.float32, shape=(50, 784))
labels_placeholder = tf.placeholder(tf.int32, shape=(50))
logits = tf.matmul(images_placeholder, tf.Variable(tf.zeros([784, 10])))
loss = tf.losses.sparse_softmax_cross_entropy(labels=tf.to_int64(labels_placeholder), logits=logits)
train_op = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    losses = []
    for step in range(data_sets.train.num_examples // 1000):
        images_feed, labels_feed = data_sets.train.next_batch(50, True)
        feed_dict = {images_placeholder: images_feed, labels_placeholder: labels_feed}
        losses.append(float(sess.run([train_op, loss], feed_dict=feed_dict)[1]))
results['fake'] = losses

# A generator against a discriminator, on images that keep their shape.
mnist = read_data_sets('MNIST_data/', dtype=tf.float32, reshape=False, validation_size=0, seed=1)
real = tf.placeholder(tf.float32, [None, 28, 28, 1])
noise = tf.placeholder(tf.float32, [None, 10])
g = tf.Variable(tf.random_normal([10, 784], stddev=0.1, seed=1))
d = tf.Variable(tf.random_normal([784, 1], stddev=0.1, seed=2))
fake = tf.reshape(tf.tanh(tf.matmul(noise, g)), [-1, 28, 28, 1])
judge = lambda images: tf.matmul(tf.reshape(images, [-1, 784]), d)
d_loss = tf.reduce_mean(tf.nn.softplus(-judge(real)) + tf.nn.softplus(judge(fake)))
g_loss = tf.reduce_mean(tf.nn.softplus(-judge(fake)))
d_step = tf.train.AdamOptimizer(2e-3).minimize(d_loss, var_list=[d])
g_step = tf.train.AdamOptimizer(2e-3).minimize(g_loss, var_list=[g])
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    losses = []
    for step in range(mnist.train.num_examples // 128):
        x = mnist.train.next_batch(128)[0] * 2 - 1
        z = np.random.randn(128, 10)
        losses.append(float(sess.run([d_step, d_loss], {real: x, noise: z})[1]))
        sess.run(g_step, {noise: z})
results['gan'] = losses, list(x.shape), [float(x.min()), float(x.max())]

mnist = read_data_sets('MNIST_data', dtype=tf.uint8)
results['uint8'] = str(mnist.train.images.dtype), int(mnist.train.images.max())
for dtype in tf.float64, tf.int32, tf.string, tf.bfloat16:
    try:
        read_data_sets('MNIST_data', dtype=dtype)
        results[dtype.name] = 'read'
    except TypeError:
        results[dtype.name] = 'TypeError'
print(json.dumps(results))
'''


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """What the script prints, in a folder that holds it, the loader and the data."""
    folder = tmp_path_factory.mktemp('old')
    (folder / 'script.py').write_text(SCRIPT)
    shutil.copy(ROOT / 'input_data.py', folder)
    (folder / 'MNIST_data').mkdir()
    for name in NAMES:
        shutil.copy(DATA / 'sample' / name, folder / 'MNIST_data')
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '-1', 'TF_CPP_MIN_LOG_LEVEL': '3'}
    environment.pop('PYTHONPATH', None)
    done = subprocess.run([sys.executable, 'script.py'], cwd=folder, env=environment, text=True,
                          capture_output=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert not (folder / 'no such folder').exists()
    return json.loads(done.stdout)  # nothing else may be there


def test_softmax_regression_learns(results):
    accuracy, epochs = results['softmax']
    assert accuracy > 0.85 and epochs == 2


def test_fake_data_are_fed(results):
    losses = results['fake']
    assert len(losses) == 10 and losses[0] == pytest.approx(2.302585, abs=1e-5)
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.1  # always the same label


def test_a_generator_against_a_discriminator(results):
    losses, shape, limits = results['gan']
    assert len(losses) == 15000 // 128 and min(losses) < 0.6 * losses[0]
    assert shape == [128, 28, 28, 1] and limits == [-1, 1]


def test_the_types_of_tensorflow(results):
    assert results['uint8'] == ['uint8', 255]
    for name in 'float64', 'int32', 'string', 'bfloat16':
        assert results[name] == 'TypeError'
