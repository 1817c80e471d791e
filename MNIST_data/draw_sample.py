"""Draw a stand-in for MNIST: digits that look handwritten, made with NumPy alone.

    python MNIST_data/draw_sample.py [FOLDER]    (default: the folder "sample" beside this program)

This writes 15,000 training and 2,000 test images with their labels, under MNIST's four file names
and in its IDX format, for those who cannot download the real set. A fixed seed and NumPy's frozen
RandomState stream make everyone's set the same.

A digit starts as a few pen strokes. Each image moves their points a little, bends, slants and turns
the whole, and draws it with a pen of its own width. The image is then prepared as MNIST's were: the
digit fills a 20x20 box, its proportions kept, and the box is placed in the 28x28 image so that the
centre of mass is in the middle (Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of
handwritten digits", http://yann.lecun.com/exdb/mnist/).
"""

import argparse
import gzip
import os
from pathlib import Path

import numpy as np

SEED = 1998
TRAIN, TEST = 15_000, 2_000
SIDE, BOX = 28, 20  # of the image and of the digit in it, in pixels
LEVELS = 16  # grey levels: enough for soft edges, few enough for small files
NAMES = ('train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz',
         't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz')

# How images differ: mean and standard deviation. Lengths are in steps of the grid below.
JITTER = 0, 0.45  # of each point of a stroke, in x and in y
SLANT = 0.12, 0.24  # to the right, by height
TURN = 0, 0.1  # radians
WIDTH = 0, 0.21  # logarithm of the factor
BEND = 0, 0.02  # the factors of x y and y y that move x and y
PEN = 0.22, 0.22  # logarithm of the pen's radius in pixels

# The ways to write each digit: how often, and the strokes. "37" is the point x = 3, y = 7 on a grid
# of 10 by 10, y downwards. The points up to a comma pull one smooth curve along. A curve that
# starts where the last one ended makes a corner; one that starts elsewhere lifts the pen.
WRITINGS = {
    0: ((3, '60 30 12 06 19 59 87 93 70 40 21'), (1, '81 60 20 03 06 19 59 87 93 70 42')),
    1: ((12, '50 54 49'), (1, '22 50, 50 54 49'), (1, '22 50, 50 54 49, 19 49 79')),
    2: ((1, '12 20 70 74 46 09, 09 49 98'), (1, '12 30 71 75 49 08 16 47 98')),
    3: ((3, '11 40 81 73 34, 34 74 88 59 08'), (1, '10 70 83 34 34 86 79 39 08')),
    4: ((2, '10 05, 05 45 85, 80 75 59'), (2, '10 05 46 84, 81 74 59'),
        (1, '70 06, 06 46 96, 70 65 59')),
    5: ((2, '30 14, 14 53 76 79 39 07, 30 90'), (1, '90 40 13 44 86 69 08')),
    6: ((1, '40 03 06 19 69 87 75 35 17'), (1, '60 13 06 19 69 87 65 36 18')),
    7: ((3, '01 40 80, 80 65 59'), (1, '02 00 40 80, 80 65 59'),
        (1, '01 40 80, 80 65 59, 25 55 85')),
    8: ((3, '71 50 20 12 44 77 69 29 17 44 72 71 40'),
        (1, '50 20 13 44 73 70 50, 44 15 19 59 79 75 44')),
    9: ((8, '82 60 20 14 45 73 82, 82 76 69'), (1, '72 60 20 14 45 72, 72 77 69 38')),
}
ASPECT = 0.75  # of the grid: its width by its height
STEPS = 11  # points drawn on each piece of a curve, about a pixel apart


def skeleton(strokes):
    """Return the points [K, 2] of the strokes and the weights [T, K] that give the curve's points.

    The curves are uniform cubic B-splines. They are linear in the points, so `weights @ points`
    holds for points that have been moved as well. A point named twice is one point: when it moves,
    a corner or a crossing stays closed.
    """
    names = sorted(set(strokes.replace(',', ' ').split()))
    spline = np.linspace(0, 1, STEPS)[:, None] ** [0, 1, 2, 3] @ np.array(
        [[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6
    weights = []
    for stroke in strokes.split(','):
        knots = [names.index(name) for name in stroke.split()]
        knots = 2 * knots[:1] + knots + 2 * knots[-1:]  # so that the curve reaches both ends
        for four in zip(knots, knots[1:], knots[2:], knots[3:]):
            weights.append(spline @ np.eye(len(names))[list(four)])
    points = np.array([(int(x), int(y)) for x, y in names]) - 4.5
    return points * [ASPECT, 1], np.concatenate(weights)


def write(strokes, n, rng):
    """Write the strokes n times, never twice the same: the curve's points, float64 [n, T, 2]."""
    points, weights = skeleton(strokes)
    curve = weights @ (points + rng.normal(*JITTER, (n, *points.shape)))
    x, y = curve[..., 0], curve[..., 1]
    a, b, c, d = rng.normal(*BEND, (4, n, 1))
    x, y = x + (a * x + b * y) * y, y + (c * x + d * y) * y
    x = x * np.exp(rng.normal(*WIDTH, (n, 1))) - y * rng.normal(*SLANT, (n, 1))
    turn = rng.normal(*TURN, (n, 1))
    return np.stack([np.cos(turn) * x - np.sin(turn) * y,
                     np.sin(turn) * x + np.cos(turn) * y], axis=-1)


def ink(curves, rng):
    """Draw the curves [n, T, 2] into boxes [n, 20, 20]: whole grey levels from 0 to 15."""
    radii = np.exp(rng.normal(*PEN, len(curves)))
    low, high = curves.min(axis=1), curves.max(axis=1)
    scale = (BOX - 2 * radii) / (high - low).max(axis=1)
    curves = (curves - (low + high)[:, None] / 2) * scale[:, None, None] + BOX / 2
    pixels = np.arange(BOX)[:, None] + 0.5
    boxes = np.empty((len(curves), BOX, BOX))
    for box, curve, radius in zip(boxes, curves, radii):  # all at once would take gigabytes
        dx, dy = (curve.T[:, None] - pixels) ** 2
        distance = np.sqrt((dy[:, None] + dx).min(axis=-1))
        box[:] = np.clip(radius + 0.5 - distance, 0, 1)  # an edge one pixel wide
    return np.rint(boxes * (LEVELS - 1))


def centre(boxes):
    """Place boxes [n, 20, 20] in images [n, 28, 28], the mass within half a pixel of (14, 14)."""
    images = np.zeros((len(boxes), SIDE, SIDE))
    mass, place = boxes.sum(axis=(1, 2)), np.arange(BOX)
    rows, columns = boxes.sum(axis=2) @ place / mass, boxes.sum(axis=1) @ place / mass
    corners = np.rint(SIDE / 2 - np.stack([rows, columns], axis=1)).astype(int)
    # A very lopsided digit stays inside the image, even if its mass is then off the middle.
    for image, box, (i, j) in zip(images, boxes, corners.clip(0, SIDE - BOX)):
        image[i:i + BOX, j:j + BOX] = box
    return images


def draw(labels, rng):
    """Draw one image for each label: uint8 [N, 28, 28], 16 grey levels from 0 to 255.

    labels: the digits, integers [N] from 0 to 9. rng: the np.random.RandomState to draw from.
    """
    labels = np.asarray(labels)
    images = np.zeros((len(labels), SIDE, SIDE), np.uint8)
    for digit, writings in WRITINGS.items():
        which = np.flatnonzero(labels == digit)
        often = np.array([times for times, _ in writings])
        choice = rng.choice(len(writings), len(which), p=often / often.sum())
        for k, (_, strokes) in enumerate(writings):
            chosen = which[choice == k]
            boxes = ink(write(strokes, len(chosen), rng), rng)
            images[chosen] = centre(boxes) * (255 // (LEVELS - 1))
    return images


def sample(seed=SEED):
    """Draw the set: training images, training labels, test images, test labels, all uint8.

    Images are [N, 28, 28], labels [N]. Every digit comes equally often, in random order.
    """
    rng = np.random.RandomState(seed)
    arrays = []
    for count in (TRAIN, TEST):
        labels = rng.permutation((np.arange(count) % 10).astype(np.uint8))
        arrays += [draw(labels, rng), labels]
    return arrays


def save(path, array):
    """Write a uint8 array as a gzipped IDX file; a half-written file never has its name."""
    part = path.with_name(path.name + '.part')
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, '>i4').tobytes()
    with open(part, 'wb') as file, gzip.GzipFile('', 'wb', 9, file, mtime=0) as packed:
        packed.write(header + array.tobytes())
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(description='Draw a stand-in for MNIST.')
    parser.add_argument('folder', nargs='?', type=Path, default=Path(__file__).parent / 'sample',
                        help='where to write its four files (default: %(default)s)')
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(NAMES, sample()):
        save(folder / name, array)


if __name__ == '__main__':
    main()
