"""Where the three deformable convolutions of res5 sample, on photos: one picture per photo, or with --animate one frame per cell."""
import argparse
import os
import sys

import cv2
import numpy as np
from PIL import Image

from lib.cli import guarded
from lib.config import load_config
from lib.detect import in_project, photo_arguments, sample_photos, unique_stem
from lib.files import atomic_write
from lib.visualize.canvas import save, sheet
from lib.visualize.offsets import draw_samples, trace_samples
from rfcn.demo import checkpoint

CFG = 'experiments/rfcn/cfgs/deform_conv_demo.yaml'
LAYERS = ('res5c', 'res5b', 'res5a')  # from the last back to the first: the way a response is traced


def offsets_of(outputs):
    """The offsets (18, H, W) of each layer, last layer first, from the test graph's outputs."""
    return [outputs[f'{layer}_branch2b_offset_output'][0] for layer in LAYERS]


def picture(image, offsets, cell):
    """The up to 729 points that one cell (y, x) of the last map reads, on the image."""
    return draw_samples(image, trace_samples(offsets, cell), cell, offsets[0].shape[1:])


def some_cells(map_shape, rows=3, columns=4):
    """Cells (y, x) spread over the map, the outermost two cells from its border."""
    ys = np.linspace(2, map_shape[0] - 3, rows).round().astype(int)
    xs = np.linspace(2, map_shape[1] - 3, columns).round().astype(int)
    return [[(y, x) for x in xs] for y in ys]


def animate(path, image, offsets):
    """A GIF with a frame for every second cell, as the original showed them."""
    height, width = offsets[0].shape[1:]
    frames = [Image.fromarray(picture(image, offsets, (y, x))[:, :, ::-1]) for y in range(1, height, 2) for x in range(1, width, 2)]
    with atomic_write(path) as stream:
        frames[0].save(stream, 'GIF', save_all=True, append_images=frames[1:], duration=60, loop=0)
    return path


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    photo_arguments(parser, 'output/deform_conv_demo')
    parser.add_argument('--animate', action='store_true', help='write a GIF with one frame per cell instead of a sheet of twelve cells')
    args = parser.parse_args(argv)
    params, cfg = checkpoint('deform_conv'), load_config(in_project(CFG))
    from lib.engine import Detector, contexts
    from lib.engine.detector import bgr_image
    photos = args.photos or sample_photos()
    images = [bgr_image(photo) for photo in photos]
    detector = Detector(cfg, params, contexts(cfg, args.gpus)[0])
    for photo, image in zip(photos, images):
        offsets = offsets_of(detector.outputs(image)[0])
        stem = os.path.join(args.out, unique_stem(photo, photos))
        if args.animate:
            print(animate(stem + '.gif', cv2.resize(image, None, fx=0.5, fy=0.5), offsets))
        else:
            rows = [[picture(image, offsets, cell) for cell in row] for row in some_cells(offsets[0].shape[1:])]
            print(save(stem + '.png', sheet(rows)))


if __name__ == '__main__':
    sys.exit(guarded(main))
