"""Where deformable RoI pooling puts its three by three parts, on photos: the RoI in blue, its moved parts in red.

Give --roi X1,Y1,X2,Y2[,CLASS] for each photo, in their order: pixels, and a VOC class by name (bird) or number (3);
without --roi it is the middle half of each photo. Without CLASS the offsets are those of the class that the network
scores best on the RoI.
"""

import argparse
import os
import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.detect import demo_config, in_model, photo_arguments, print_written, read_photos, stems
from dcn.errors import UserError
from dcn.visualize.canvas import labelled, save
from dcn.visualize.parts import class_offsets, draw_parts, middle_half, parse_roi

CFG = 'experiments/rfcn/cfgs/deform_psroi_demo.yaml'


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    photo_arguments(parser, 'output/deform_psroi_demo')
    parser.add_argument(
        '--roi',
        action='append',
        default=[],
        metavar='X1,Y1,X2,Y2[,CLASS]',
        help='the RoI of the next photo (repeat it for each)',
    )
    args = parser.parse_args(argv)
    params, cfg = in_model('deform_psroi'), demo_config(CFG, args)
    photos, images = read_photos(args.photos)
    from dcn.engine import contexts
    from dcn.showcase.probe import PartNetwork

    names, rois = chosen_rois(args.roi, images, cfg)
    network, written = PartNetwork(cfg, params, contexts(cfg, args.gpus)[0]), []
    for stem, image, (roi, label) in zip(stems(photos), images, rois):
        (offsets,), (scores,) = network.offsets(image, [roi])
        label = label or 1 + int(scores[1:].argmax())
        shown = draw_parts(image, roi, class_offsets(offsets, label))
        shown = labelled(shown, f'parts as the offsets of class {names[label]} move them')
        written.append(save(os.path.join(args.out, stem + '.png'), shown))
    print_written(written)


def chosen_rois(texts, images, cfg):
    """Class names, and for each image its RoI (4,) with the class's number or None."""
    from dcn.dataset.class_names import class_names

    names = class_names(cfg.dataset)
    if not texts:
        return names, [(middle_half(image), None) for image in images]
    if len(texts) != len(images):
        raise UserError(f'--roi: expected one for each of the {len(images)} photos, found {len(texts)}')
    return names, [parse_roi(text, image, names) for text, image in zip(texts, images)]


if __name__ == '__main__':
    sys.exit(guarded(main))
