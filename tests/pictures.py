"""Draw the pictures of both READMEs into .github/; by hand: python tests/pictures.py [name ...]

The networks are those that experiments.py has kept, with seed 0; what is missing is trained. The
numbers in a picture come from the functions that make the tables.
"""

import os
import sys
from functools import partial

os.environ.setdefault('MPLBACKEND', 'Agg')

import numpy as np
from experiments import (DAMAGES, GAUSSIAN, KEPT, LOST, MEASURES, Setting, costs_by, kept_pixels,
                         last_epoch, lose, mean_costs, neighbours, put_ink_back, read, taken,
                         untrained)
from helpers import ROOT
from matplotlib import pyplot
from matplotlib.patches import FancyArrowPatch, Rectangle

import dae_mnist

PICTURES = ROOT / '.github'
PAPER = '#fffdf7'  # opaque: GitHub shows a picture on dark pages as well
BLACK, GREY, LIGHT, BLUE, ORANGE, GREEN, VIOLET = (
    '#222222', '#666666', '#b8b8b8', '#2b69ad', '#d95f02', '#2a7f41', '#7b3f9d')


# What is drawn.
def some(digit):
    """Return the test images of a digit."""
    test = read('mnist').test
    return test.images[test.labels[:, digit] == 1]


def restored(noise, damaged):
    return dae_mnist.restore(last_epoch(taken(noise), 0), damaged)


# With what it is drawn: an axes 1000 pixels wide, whose y runs downwards, in pixels.
def paper(height):
    figure = pyplot.figure(figsize=(10, height / 100), dpi=100, facecolor=PAPER)
    axes = figure.add_axes([0, 0, 1, 1])
    axes.axis('off')
    axes.set(xlim=(0, 1000), ylim=(height, 0))
    return axes


def place(axes, x, y, size, image):
    """Draw an image of 784 pixels, or [rows, columns], or [rows, columns, 3]."""
    if image.size == 784:
        image = image.reshape(28, 28)
    height = size * image.shape[0] / image.shape[1]
    axes.imshow(image, 'gray', vmin=0, vmax=1, interpolation='nearest', aspect='auto',
                extent=(x, x + size, y + height, y))


def frame(axes, x, y, size, colour, width=4.5):
    axes.add_patch(Rectangle((x, y), size, size, fill=False, lw=width, color=colour, zorder=3))


def write(axes, x, y, text, colour=BLACK, size=19, **changes):
    """Write a text whose middle is at y; x is its left end, or as `ha` says."""
    axes.text(x, y, text, color=colour, size=size, **{'va': 'center', **changes})


def point(axes, start, end, colour=BLACK, bend=0, width=4):
    axes.add_patch(FancyArrowPatch(start, end, color=colour, lw=width, shrinkA=0, shrinkB=0,
                                   connectionstyle=f'arc3,rad={bend}', mutation_scale=6 * width,
                                   arrowstyle='-|>', capstyle='round'))


# The pictures. Each function returns its axes.
def reconstructions():
    """Ten digits: clean, damaged, and restored in four ways."""
    clean = np.stack([some(digit)[0] for digit in range(10)])
    damaged = lose(0.3, clean)
    with_noise = restored(0.3, damaged)
    rows = (('clean', BLACK, '', clean),
            ('damaged', BLACK, 'damage left as it is', damaged),
            ('neighbours’ mean', GREY, 'the mean of the neighbours', neighbours(damaged, 0.3)),
            ('with noise', ORANGE, 'a network, 30 % noise', with_noise),
            ('kept ink put back', ORANGE, '30 % noise, kept ink put back',
             put_ink_back(damaged, with_noise)),
            ('without noise', BLUE, 'a network, no noise', restored(0.0, damaged)))
    axes = paper(472)
    for row, (label, colour, way, images) in enumerate(rows):
        y = 12 + 76 * row
        for digit in range(10):
            place(axes, 322 + 66.2 * digit, y, 66.2, images[digit])
        write(axes, 14, y + (34 if label == 'clean' else 17), label, colour, weight='bold')
        if way:
            write(axes, 14, y + 50, f'costs {np.mean(costs_by(way, 0.3)):.1f}', colour)
    frame(axes, 322 + 66.2 * 3, 12 + 76 * 3, 66.2, '#e6007e')  # with noise, a 3 that is almost an 8
    return axes


def way():
    """A digit on its way through the four lines of the script."""
    X = some(4)[:1]
    mask = kept_pixels(X, 0.3)
    tilde_X = lose(0.3, X)
    learned = last_epoch(taken(0.3), 0)
    Z = dae_mnist.restore(learned, tilde_X)
    error = np.square(X - Z)
    coloured = np.repeat(tilde_X.reshape(28, 28, 1), 3, axis=2)
    coloured[(~mask & (X > 0)).reshape(28, 28)] = 0.82, 0.42, 1
    coloured[(~mask & (X == 0)).reshape(28, 28)] = 0.3, 0.12, 0.42
    axes = paper(772)
    left, middle, right, far, top, bottom, size = 16, 278, 540, 786, 100, 460, 198
    for x, y, name_y, name, label, image in (
            (left, top, 22, 'X', 'clean,\n784 numbers', X),
            (middle, top, 22, 'mask', '1: kept (white)\n0: destroyed', mask),
            (right, top, 22, 'tilde_X', 'damaged, as the\nnetwork sees it', tilde_X),
            (far, top, 22, 'coloured', 'tilde_X,\nonly for you', coloured),
            (right, bottom, 646, 'Y', 'the hidden code:\n500 numbers',
             dae_mnist.encode(learned, tilde_X).reshape(20, 25)),
            (middle, bottom, 684, 'Z', 'restored,\n784 numbers', Z),
            (left, bottom, 684, '(X - Z)²',
             f'4 times as bright;\ncost in all: {error.sum():.1f}', np.minimum(4 * error, 1))):
        place(axes, x, y, size, image)
        write(axes, x + size / 2, name_y, name, family='monospace', weight='bold', ha='center')
        write(axes, x + size / 2, name_y + 42, label, ha='center', size=16.5)
    frame(axes, middle, top, size, BLACK, 1)
    for x, sign in ((left, '×'), (middle, '=')):
        write(axes, x + size + 32, top + size / 2, sign, size=30, ha='center')
    write(axes, middle + size + 32, top + size / 2 + 40, '(1)', ha='center', size=17)
    point(axes, (right + size / 2, top + size + 10), (right + size / 2, bottom - 12))
    write(axes, right + size / 2 + 18, (top + size + bottom) / 2, '(2)', size=17)
    for x, sign in ((right, '(3)'), (middle, '(4)')):
        point(axes, (x - 6, bottom + size / 2), (x - 60, bottom + size / 2))
        write(axes, x - 33, bottom + size / 2 - 32, sign, ha='center', size=17)
    point(axes, (left + size / 2, top + size + 10), (left + size / 2, bottom - 12), width=5)
    write(axes, left + size / 2 + 22, (top + size + bottom) / 2, 'compare with\nthe clean image',
          weight='bold', size=18)
    write(axes, far + size / 2, top + size + 74,
          'light violet:\nink was lost,\ndark violet:\nblack anyway', VIOLET, 16.5, ha='center')
    return axes


def filters():
    """Twelve columns of W: at the start, trained without noise, trained with 30 %."""
    axes = paper(604)
    for x, label, colour, learned in (
            (14, 'at the start:\nrandom', BLACK, untrained(0)),
            (349, 'trained\nwithout noise', BLUE, last_epoch(Setting(0.0, 0.01), 0)),
            (684, 'trained with\n30 % noise', ORANGE, last_epoch(Setting(0.3, 0.01), 0))):
        write(axes, x + 151, 44, label, colour, weight='bold', ha='center', linespacing=1.4)
        for unit in range(12):
            column = x + 102 * (unit % 3)
            row = 92 + 102 * (unit // 3)
            place(axes, column, row, 98, 0.5 + learned['W'][:, unit] / 2)
            write(axes, column + 3, row + 13, unit, 'white', 15,
                  bbox={'facecolor': '#333333', 'edgecolor': 'none', 'pad': 2})
    for unit in 1, 10:
        frame(axes, 684 + 102 * (unit % 3), 92 + 102 * (unit // 3), 98, ORANGE)
    write(axes, 986, 523, 'framed: 1, a dot, “no ink here”; 10, a stroke, “ink along here”', ORANGE,
          18, ha='right')
    place(axes, 350, 556, 300, np.tile(np.linspace(0, 1, 300), (28, 1)))
    write(axes, 500, 570, '0', ha='center', size=18)
    write(axes, 338, 570, 'weight −1 or less', ha='right', size=18)
    write(axes, 662, 570, '1 or more', size=18)
    return axes


def split():
    """Where the cost lies: destroyed and kept pixels."""
    axes = paper(570)
    for y, colour, label in ((30, VIOLET, 'cost of destroyed pixels'),
                             (70, LIGHT, 'cost of kept pixels (ink and black)')):
        axes.add_patch(Rectangle((285, y - 14), 28, 28, color=colour))
        write(axes, 326, y, label)
    for y, way, label, colour in (
            (138, 'damage left as it is', 'damage left\nas it is', BLACK),
            (230, 'a network, no noise', 'network\nwithout noise', BLUE),
            (322, 'the mean of the neighbours', 'mean of the\nneighbours', GREY),
            (414, 'a network, 30 % noise', 'network with\n30 % noise', ORANGE),
            (506, '30 % noise, kept ink put back', 'the same, kept\nink put back', ORANGE)):
        destroyed, kept, together = (np.mean(costs_by(way, 0.3, measure))
                                     for measure in MEASURES.values())
        middle = 285 + 22.3 * destroyed
        end = middle + 22.3 * kept
        axes.add_patch(Rectangle((285, y - 30), middle - 285, 60, color=VIOLET))
        axes.add_patch(Rectangle((middle, y - 30), end - middle, 60, color=LIGHT))
        write(axes, 14, y, label, colour)
        write(axes, (285 + middle) / 2, y, f'{destroyed:.1f}', 'white', weight='bold', ha='center')
        if kept > 2:
            write(axes, (middle + end) / 2, y, f'{kept:.1f}', weight='bold', ha='center')
        elif kept > 0:  # a sliver: its number stands beside it
            write(axes, end + 8, y, f'{kept:.1f}', GREY, weight='bold')
            end += 56
        write(axes, end + 12, y, f'= {together:.1f}', weight='bold')
    return axes


def back():
    """Damage leads away from a curve of digits, repair leads back; a drawing with real digits."""
    axes = paper(720)
    write(axes, 10, 34, 'the points that are digits', GREEN, 21, weight='bold')
    write(axes, 48, 78, 'one curve for each kind of digit', GREEN, 18)
    write(axes, 770, 48, 'each point is an image', GREY, 18, ha='center')
    for digit, numbers, corners, lost, found in (
            (2, (2, 0, 1), ((28, 162), (180, 110), (350, 158)), (70, 540), (268, 280)),
            (7, (3, 0, 4), ((522, 122), (690, 176), (872, 194)), (590, 490), (788, 336))):
        images = some(digit)[list(numbers)]
        damaged = lose(0.3, images)[1:2]
        middles = np.array(corners) + 50
        curve = np.polyfit(*middles.T, 2)
        x = np.linspace(middles[0, 0], middles[2, 0], 50)
        axes.plot(x, np.polyval(curve, x), color=GREEN, lw=6, zorder=0)
        for corner, image in zip(corners, images):
            place(axes, *corner, 100, image)
            frame(axes, *corner, 100, GREEN)
        place(axes, *lost, 100, damaged[0])
        frame(axes, *lost, 100, '#8a8a8a')
        place(axes, *found, 100, restored(0.3, damaged)[0])
        frame(axes, *found, 100, ORANGE)
        point(axes, (corners[1][0] + 20, corners[1][1] + 110), (lost[0] + 56, lost[1] - 12),
              '#8a8a8a', width=5)
        point(axes, (lost[0] + 90, lost[1] - 12), (found[0] + 32, found[1] + 116), ORANGE, 0.15, 5)
    write(axes, 8, 388, 'damage', GREY, weight='bold')
    write(axes, 384, 339, 'repair: close\nto the curve,\na little grey', ORANGE, weight='bold',
          linespacing=1.4)
    point(axes, (252, 596), (184, 596), width=2.5)
    write(axes, 258, 598, 'a perfect copy\nleaves the point here', size=18)
    write(axes, 858, 648, 'nearly all points are\nonly random grey dots', GREY, 18, ha='right')
    place(axes, 876, 598, 100, np.random.RandomState(0).random_sample(784))
    frame(axes, 876, 598, 100, GREY)
    return axes


def kinds(names):
    """Two digits under each of these damages, four side by side, with their labels."""
    short = {LOST[0.3]: '30 % lost', LOST[0.5]: '50 % lost', GAUSSIAN: 'Gaussian noise',
             'a part covered, 8 × 8': 'a part covered', 'a white stain, 4 × 4': 'a white stain',
             '10 % black or white specks': '10 % specks'}
    digits = np.stack([some(3)[1], some(4)[1]])
    axes = paper(180 * len(names) // 4)
    for k, name in enumerate(names):
        x = 250 * (k % 4)
        y = 180 * (k // 4)
        images = DAMAGES[name](digits)
        write(axes, x + 125, y + 28, short.get(name, name), ha='center', size=18)
        place(axes, x + 6, y + 56, 118, images[0])
        place(axes, x + 126, y + 56, 118, images[1])
    return axes


def costs():
    """The cost per test image by epoch, of runs with the defaults."""
    figure, axes = pyplot.subplots(figsize=(10, 4), dpi=100, layout='constrained', facecolor=PAPER)
    for (name, means), line in zip(mean_costs().items(), ('-', '--')):
        axes.plot(range(len(means)), means, line, color=ORANGE, lw=3, label=name)
    axes.set(ylim=(0, None), xlim=(0, 100), facecolor=PAPER)
    axes.set_xlabel('epoch', size=18)
    axes.set_ylabel('cost per test image', size=18)
    axes.tick_params(labelsize=16)
    axes.legend(fontsize=18)
    return axes


ALL = {'reconstructions': reconstructions, 'way': way, 'filters': filters, 'split': split,
       'back': back, 'damage': partial(kinds, DAMAGES), 'cost': costs,
       'kinds': partial(kinds, ['undamaged', LOST[0.3], 'slanted', '10 % black or white specks'])}


def main(names):
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in names or ALL:
        axes = ALL[name]()
        axes.figure.savefig(PICTURES / f'{name}.png')
        pyplot.close(axes.figure)


if __name__ == '__main__':
    main(sys.argv[1:])
