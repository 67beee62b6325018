"""Where the three deformable convolutions of res5 sample, on photos: twelve cells, or with --animate a frame each."""

import argparse
import os
import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.detect import demo_config, in_model, photo_arguments, print_written, read_photos, stems
from dcn.visualize.canvas import page, save, sheet, shrink
from dcn.visualize.sampling import animate, draw_samples, spread_cells, trace_samples

CFG = 'experiments/rfcn/cfgs/deform_conv_demo.yaml'
LAYERS = ('res5c', 'res5b', 'res5a')  # from the last back to the first: the way a response is traced
CAPTION = (
    'Red: the points that three 3x3 deformable convolutions in a row read, up to 9 x 9 x 9 of them, for the '
    'response at the green cell. A point outside the image reads nothing.'
)


def picture(image, offsets):
    """A sheet of cells, each with its points: offsets are a list of (18, H, W), last layer first."""
    size = offsets[0].shape[1:]
    rows = [
        [draw_samples(image, trace_samples(offsets, cell), cell, size) for cell in row] for row in spread_cells(size)
    ]
    return page('Sampling points of deformable convolution', CAPTION, [sheet(rows)], margin=10)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    photo_arguments(parser, 'output/deform_conv_demo')
    parser.add_argument('--animate', action='store_true', help='write a GIF with a frame for every second cell')
    args = parser.parse_args(argv)
    params, cfg = in_model('deform_conv'), demo_config(CFG, args)
    photos, images = read_photos(args.photos)
    from dcn.engine import Detector, contexts

    detector, written = Detector(cfg, params, contexts(cfg, args.gpus)[0]), []
    for stem, image in zip(stems(photos), images):
        outputs = detector.outputs(image)[0]
        offsets = [outputs[f'{layer}_branch2b_offset_output'][0] for layer in LAYERS]
        path = os.path.join(args.out, stem)
        if args.animate:
            written.append(animate(path + '.gif', shrink(image, 640), offsets))
        else:
            written.append(save(path + '.png', picture(shrink(image, 640), offsets)))
    print_written(written)


if __name__ == '__main__':
    sys.exit(guarded(main))
