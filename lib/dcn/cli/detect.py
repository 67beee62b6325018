"""``dcn detect``: any checkpoint on any photo; and what the demos of the original have in common with it."""

import argparse
import collections
import functools
import itertools
import os
import time

from dcn.config.overriding import detection_arguments, graph_argument, override_argument
from dcn.errors import UserError
from dcn.paths import ROOT
from dcn.visualize.boxes import draw_detections
from dcn.visualize.canvas import save

Network = collections.namedtuple('Network', 'cfg params')
SHIPPED = Network(
    'experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml', 'experiments/rfcn/shapes/shapes_rfcn_dcn-0000.params'
)
RELEASED = Network(
    'experiments/rfcn/cfgs/resnet_v1_101_coco_trainval_rfcn_dcn_end2end_ohem.yaml', 'model/rfcn_dcn_coco-0000.params'
)
SAMPLES = ('chelsea.png', 'coffee.png', 'motorcycle_left.png', 'astronaut.png')


def main(argv=None):
    args = parser().parse_args(argv)
    cfg, params, photos, images = prepare(args, SHIPPED, RELEASED)
    if not args.cfg:
        from dcn.dataset.class_names import class_names

        print(shapes_only(class_names(cfg.dataset)[1:], 'the 80 classes of COCO', RELEASED))
    detect_photos(cfg, params, photos, images, args.out, args.threshold, args.gpus)


def parser():
    result = argparse.ArgumentParser(
        prog='dcn detect',
        description='Detect objects on photos: prints them, and writes each photo with its boxes to --out.',
    )
    photo_arguments(result, 'output/detect', required=True)
    network_arguments(result)
    detection_arguments(result)
    threshold_argument(result, 0.5)
    return result


def prepare(args, shipped_network, example):
    """(configuration, checkpoint path, photo paths, images) of a command with photo and network arguments.

    shipped_network, example: Networks: the one without --cfg, and one to name where --cfg is missing.
    """
    if args.params and not args.cfg:
        raise UserError(
            '--params needs --cfg: the experiment file of the network that the checkpoint belongs to, '
            f'such as --cfg {example.cfg} for {os.path.basename(example.params)}'
        )
    photos, images = read_photos(args.photos)
    from dcn.config import load_config

    cfg = load_config(args.cfg or in_project(shipped_network.cfg), args.overrides)
    return cfg, checkpoint(cfg, args, shipped_network), photos, images


def checkpoint(cfg, args, shipped_network):
    """The .params file to use: the one given, the experiment's own trained one, or the shipped network's."""
    if args.params:
        return args.params
    if not args.cfg:
        return shipped(shipped_network.params)
    from dcn.checkpoint import params_path
    from dcn.engine.training.run import checkpoint_prefix

    path = params_path(checkpoint_prefix(cfg), cfg.TEST.test_epoch)
    if not os.path.isfile(path):
        raise UserError(f'{path}: no such checkpoint; give one with --params, or train it: dcn train --cfg {args.cfg}')
    return path


def shapes_only(names, more, example):
    """What the shipped network knows, and how to get one that knows ``more``."""
    return (
        f"This network knows only the generated data set's shapes: {', '.join(names)}.\n"
        f"For {more} get the authors' released {os.path.basename(example.params)}, put it into model/ and add: "
        f'--cfg {example.cfg} --params {example.params}'
    )


def detect_photos(cfg, params, photos, images, out, threshold, gpus=None):
    """Detect on each of ``images``, print what was found, write <out>/<name of the photo>.png; returns the paths."""
    from dcn.engine import Detector, contexts

    detector = Detector(cfg, params, contexts(cfg, gpus)[0])
    written = []
    for photo, stem, image in zip(photos, stems(photos), images):
        start = time.time()
        found = detector.detect(image)
        print(f'testing {os.path.basename(photo)} {time.time() - start:.4f}s')
        print_found(found, detector.class_names, threshold)
        picture = draw_detections(image, *found, detector.class_names, threshold)
        written.append(save(os.path.join(out, stem + '.png'), picture))
    print_written(written)
    return written


def print_found(found, names, threshold):
    """A line for each detection of score ``threshold`` and above: class, score, x1 y1 x2 y2 in pixels."""
    shown = int((found.scores >= threshold).sum())
    for box, score, label in list(zip(*found))[:shown]:
        print(f'  {names[label]:15s} {score:.3f}  ' + ' '.join(f'{value:7.1f}' for value in box))
    if not shown and len(found.scores):
        print(
            f'  nothing of score {threshold:g} or more; the best is {names[found.classes[0]]} {found.scores[0]:.3f} '
            '(--threshold shows weaker ones)'
        )
    elif not shown:
        print('  nothing')


def print_written(paths):
    print('\n'.join(['pictures:', *(f'  {path}' for path in paths)]))


def photo_arguments(parser, out, required=False):
    """PHOTO... and :func:`more_arguments`; photos that are not ``required`` default to :func:`sample_photos`."""
    note = '' if required else ' (default: four photos that scikit-image ships)'
    parser.add_argument('photos', nargs='+' if required else '*', metavar='PHOTO', help='image files' + note)
    more_arguments(parser, out)


def network_arguments(parser):
    """Which network: --cfg and --params."""
    parser.add_argument('--cfg', metavar='YAML', help='experiment file of the network (default: the shapes network)')
    parser.add_argument(
        '--params',
        metavar='FILE',
        help='its checkpoint PREFIX-NNNN.params (default: the one that '
        'training with --cfg wrote; without --cfg the shapes checkpoint that comes with the project)',
    )


def more_arguments(parser, out):
    parser.add_argument('--out', default=out, metavar='DIR', help='folder for the pictures (default %(default)s)')
    parser.add_argument('--gpus', metavar='LIST', help="GPU numbers, or 'cpu' (default: as the experiment file says)")
    override_argument(parser)
    graph_argument(parser)


def threshold_argument(parser, default):
    parser.add_argument(
        '--threshold',
        type=float,
        default=default,
        metavar='S',
        help='show detections of this score and above (default %(default)s)',
    )


def photo_demo(description, flag, path, deformable, plain, show=None):
    """The main function of a family's demo: the authors' released network on photos.

    flag: of the command line, for ``plain`` instead of ``deformable``, each (symbol, name of the checkpoint in model/);
    path: their experiment file; show(cfg, params, photos, images, out, gpus): what to do, by default detect_photos().
    """

    def main(argv=None):
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        photo_arguments(parser, f'output/{path.split("/")[1]}_demo')
        parser.add_argument(f'--{flag}', action='store_true', help='the plain network instead of the deformable one')
        if show is None:
            detection_arguments(parser)
            threshold_argument(parser, 0.7)
        args = parser.parse_args(argv)
        symbol, name = plain if getattr(args, flag) else deformable
        params, cfg = in_model(name), demo_config(path, args, [f'symbol={symbol}'])
        photos, images = read_photos(args.photos)
        shown = show or functools.partial(detect_photos, threshold=args.threshold)
        shown(cfg, params, photos, images, args.out, gpus=args.gpus)

    return main


def demo_config(path, args, changes=()):
    """The configuration of one of the original's demos, wherever the command runs."""
    from dcn.config import load_config

    return load_config(in_project(path), [*changes, *args.overrides])


def read_photos(photos):
    """(paths, images (H, W, 3) uint8 BGR); the sample photos where none are named. A sentence for each that cannot be
    read."""
    from dcn.engine.inference.photos import bgr_image

    photos, images, faults = list(photos) or sample_photos(), [], []
    for photo in photos:
        try:
            images.append(bgr_image(photo))
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError('\n'.join(faults))
    return photos, images


def sample_photos():
    """Photos that every installation has: a cat, a cup of coffee, motorcycles, a person."""
    import skimage

    folder = os.path.join(os.path.dirname(skimage.__file__), 'data')
    return [os.path.join(folder, name) for name in SAMPLES]


def stems(photos):
    """File names without extension, numbered where several are equal."""
    names = [os.path.splitext(os.path.basename(photo))[0] for photo in photos]
    found = []
    for name in names:
        numbered = (f'{name}_{number}' for number in itertools.count(1))
        free = itertools.chain([name] if names.count(name) == 1 else [], numbered)
        found.append(next(stem for stem in free if stem not in found and (stem == name or stem not in names)))
    return found


def in_project(path):
    """A path of the project's own files, wherever the command runs."""
    return os.path.join(ROOT, path)


def in_model(name):
    """Path of one of the authors' checkpoints, in ./model or in the project's."""
    path = os.path.join('model', f'{name}-0000.params')
    for candidate in (path, in_project(path)):
        if os.path.isfile(candidate):
            return candidate
    raise UserError(
        f"{in_project(path)} is missing: it is the authors' released checkpoint; put the file there and run this again"
    )


def shipped(path):
    """Path of a checkpoint that comes with the project."""
    if not os.path.isfile(in_project(path)):
        raise UserError(
            f"{in_project(path)} is missing: it comes with the project; restore it with 'git checkout -- {path}'"
        )
    return in_project(path)
