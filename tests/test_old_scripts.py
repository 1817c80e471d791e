"""Scripts written for TensorFlow 1 run with the loader copied beside them, and nothing else."""

import shutil

from helpers import ROOT, SAMPLE, finish, python

# The beginners' tutorial; only the lines that import, and what is asserted, are of today.
SCRIPT = r'''
import sys
import numpy as np
import input_data
assert 'tensorflow' not in sys.modules
import tensorflow.compat.v1 as tf
tf.disable_v2_behavior()
mnist = input_data.read_data_sets('MNIST_data', one_hot=True)
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
    for i in range(300):
        batch_xs, batch_ys = mnist.train.next_batch(100)
        sess.run(train_step, feed_dict={x: batch_xs, y_: batch_ys})
    assert sess.run(accuracy, {x: mnist.test.images, y_: mnist.test.labels}) > 0.85
assert mnist.train.epochs_completed == 2

images = input_data.read_data_sets('MNIST_data', dtype=tf.uint8).train.images
assert images.dtype == np.uint8 and images.max() == 255
print('done')
'''


def test_they_run(tmp_path):
    (tmp_path / 'script.py').write_text(SCRIPT)
    shutil.copy(ROOT / 'input_data.py', tmp_path)
    shutil.copytree(SAMPLE, tmp_path / 'MNIST_data')
    run = finish(python('script.py', cwd=tmp_path))
    assert (run.status, run.out) == (0, 'done\n'), run.err
