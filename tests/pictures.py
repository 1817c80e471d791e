"""Make the README's pictures from two finished runs, one on MNIST and one on the drawn sample:

    python tests/pictures.py logs/mnist logs/sample

MNIST's own digits are not ours to publish, so the picture that shows digits is the sample's.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import tensorflow as tf

matplotlib.use('Agg')
from matplotlib import pyplot

GITHUB = Path(__file__).resolve().parents[1] / '.github'
TILE = 60  # pixels a side of one filter in filters.png


def write(name, pixels):
    (GITHUB / name).write_bytes(tf.io.encode_png(pixels, compression=9).numpy())


def main():
    mnist, sample = map(Path, sys.argv[1:])
    GITHUB.mkdir(exist_ok=True)

    filters = tf.io.decode_png((mnist / 'filters.png').read_bytes()).numpy()
    some = filters[:5 * TILE, :16 * TILE]
    write('filters.png', some // 8 * 8 + 4)  # fewer grey levels make a smaller file
    write('reconstructions.png', tf.io.decode_png((sample / 'reconstructions.png').read_bytes()))

    costs = tf.train.load_checkpoint(str(mnist)).get_tensor('costs')
    figure, axes = pyplot.subplots(figsize=(7, 3), layout='constrained')
    axes.plot(np.arange(len(costs)), costs)
    axes.set(xlabel='epoch', ylabel='test cost', ylim=(0, None), xlim=(0, len(costs)))
    axes.yaxis.set_major_formatter('{x:,.0f}')
    axes.grid(alpha=0.3)
    figure.savefig(GITHUB / 'cost.png', dpi=110)


if __name__ == '__main__':
    main()
