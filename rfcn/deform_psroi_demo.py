"""Where deformable RoI pooling puts its three by three parts, on photos: the RoI in blue, its moved parts in red.

Give --roi X1,Y1,X2,Y2[,CLASS] for each photo, in their order: pixels, and a VOC class by name (bird) or number (3);
without --roi it is the middle half of each photo. Without CLASS the offsets are those of the class that the network
scores best on the RoI.
"""

import argparse
import sys
from typing import Optional, Sequence

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.arguments import photo_arguments
from dcn.cli.photo_demos import demo_config, in_model, photos
from dcn.cli.photos import Sight, each_photo, jobs
from dcn.dataset.class_names import class_names
from dcn.errors import UserError
from dcn.visualize.canvas import labelled, save
from dcn.visualize.parts import class_offsets, draw_parts, middle_half, parse_roi

CFG = 'experiments/rfcn/cfgs/deform_psroi_demo.yaml'


def main(argv: Optional[Sequence[str]] = None) -> int:
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
    work = jobs(photos(args), args.out, ['{}.png'])
    if args.roi and len(args.roi) != len(work):
        raise UserError(f'--roi: expected one for each of the {len(work)} photos, found {len(args.roi)}')
    names, rois = class_names(cfg.dataset), {job.pictures[0]: text for job, text in zip(work, args.roi)}
    from dcn.engine import contexts
    from dcn.showcase.probe import PartNetwork

    network = PartNetwork(cfg, params, contexts(cfg, args.gpus)[0])

    def look(image, job):
        given = rois.get(job.pictures[0])
        roi, label = parse_roi(given, image, names) if given else (middle_half(image), None)
        return roi, label, network.offsets(image, [roi])

    def draw(image, found, pictures):
        roi, label, ((offsets,), (scores,)) = found
        label = label or 1 + int(scores[1:].argmax())
        shown = draw_parts(image, roi, class_offsets(offsets, label))
        save(pictures[0], labelled(shown, f'parts as the offsets of class {names[label]} move them'))

    return each_photo(work, Sight(look, draw))


if __name__ == '__main__':
    sys.exit(guarded(main))
