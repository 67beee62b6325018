"""Where the three deformable convolutions of res5 sample, on photos: twelve cells, or with --animate a frame each."""

import argparse
import sys
from typing import Optional, Sequence

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
import numpy as np

from dcn.cli.arguments import photo_arguments
from dcn.cli.photo_demos import demo_config, in_model, photos
from dcn.cli.photos import Sight, each_photo, jobs
from dcn.visualize.canvas import page, save, sheet, shrink
from dcn.visualize.sampling import animate, draw_samples, spread_cells, trace_samples

CFG = 'experiments/rfcn/cfgs/deform_conv_demo.yaml'
LAYERS = ('res5c', 'res5b', 'res5a')  # from the last back to the first: the way a response is traced
CAPTION = (
    'Red: the points that three 3x3 deformable convolutions in a row read, up to 9 x 9 x 9 of them, for the '
    'response at the green cell. A point outside the image reads nothing.'
)


def picture(image: np.ndarray, offsets: Sequence[np.ndarray]) -> np.ndarray:
    """A sheet of cells of the photo (h, w, 3) uint8 BGR, each with its points: offsets are a list of (18, H, W), last
    layer first."""
    size = offsets[0].shape[1:]
    rows = [
        [draw_samples(image, trace_samples(offsets, cell), cell, size) for cell in row] for row in spread_cells(size)
    ]
    return page('Sampling points of deformable convolution', CAPTION, [sheet(rows)], margin=10)


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    photo_arguments(parser, 'output/deform_conv_demo')
    parser.add_argument('--animate', action='store_true', help='write a GIF with a frame for every second cell')
    args = parser.parse_args(argv)
    params, cfg = in_model('deform_conv'), demo_config(CFG, args)
    work = jobs(photos(args), args.out, ['{}.gif' if args.animate else '{}.png'])
    from dcn.engine import Detector, contexts

    wanted = [f'{layer}_branch2b_offset_output' for layer in LAYERS]
    detector = Detector(cfg, params, contexts(cfg, args.gpus)[0])

    def draw(image, found, pictures):
        offsets = [found[0][name][0] for name in wanted]
        if args.animate:
            animate(pictures[0], shrink(image, 640), offsets)
        else:
            save(pictures[0], picture(shrink(image, 640), offsets))

    return each_photo(work, Sight(lambda image, _: detector.outputs(image), draw))


if __name__ == '__main__':
    sys.exit(guarded(main))
