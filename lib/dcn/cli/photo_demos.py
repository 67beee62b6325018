"""What the demos of the original have in common: the authors' released networks on photos."""

import argparse
import os
from typing import Callable, Iterable, List, Tuple

from easydict import EasyDict

from dcn.cli.arguments import photo_arguments, threshold_argument
from dcn.cli.detect import PICTURES as BOXES
from dcn.cli.detect import detect_photos
from dcn.cli.photos import jobs
from dcn.cli.segment import PICTURES as CLASSES
from dcn.cli.segment import segment_photos
from dcn.config import load_config
from dcn.config.overriding import detection_arguments
from dcn.errors import UserError
from dcn.paths import find, in_project
from dcn.text import Parser

SAMPLES = ('chelsea.png', 'coffee.png', 'motorcycle_left.png', 'astronaut.png')

Released = Tuple[str, str]  # symbol, name of the checkpoint in model/


def detection_demo(description: str, flag: str, path: str, deformable: Released, plain: Released) -> Callable:
    """The main function of a detection family's demo.

    flag: of the command line, for ``plain`` instead of ``deformable``; path: their experiment file.
    """

    def main(argv=None):
        parser = _parser(description, flag, path)
        detection_arguments(parser)
        threshold_argument(parser, 0.7)
        args = parser.parse_args(argv)
        params, cfg = _network(args, flag, path, deformable, plain)
        return detect_photos(cfg, params, jobs(photos(args), args.out, BOXES, read=[params]), args.threshold, args.gpus)

    return main


def segmentation_demo(description: str, flag: str, path: str, deformable: Released, plain: Released) -> Callable:
    """As detection_demo(), of a segmentation family."""

    def main(argv=None):
        args = _parser(description, flag, path).parse_args(argv)
        params, cfg = _network(args, flag, path, deformable, plain)
        return segment_photos(cfg, params, jobs(photos(args), args.out, CLASSES, read=[params]), args.gpus)

    return main


def _parser(description, flag, path):
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    photo_arguments(parser, f'output/{path.split("/")[1]}_demo')
    parser.add_argument(f'--{flag}', action='store_true', help='the plain network instead of the deformable one')
    return parser


def _network(args, flag, path, deformable, plain):
    symbol, name = plain if getattr(args, flag) else deformable
    return in_model(name), demo_config(path, args, [f'symbol={symbol}'])


def demo_config(path: str, args: argparse.Namespace, changes: Iterable[str] = ()) -> EasyDict:
    """The configuration of one of the original's demos, wherever the command runs."""
    return load_config(in_project(path), [*changes, *args.overrides])


def photos(args: argparse.Namespace) -> List[str]:
    """The photos of the command line; without one, photos that every installation has: a cat, a cup of coffee,
    motorcycles, a person."""
    return args.photos or sample_photos()


def sample_photos() -> List[str]:
    """Paths of the four photos."""
    import skimage

    folder = os.path.join(os.path.dirname(skimage.__file__), 'data')
    return [os.path.join(folder, name) for name in SAMPLES]


def in_model(name: str) -> str:
    """Path of one of the authors' checkpoints, in ./model or in the project's."""
    path = os.path.join('model', f'{name}-0000.params')
    if os.path.isfile(find(path)):
        return find(path)
    raise UserError(
        f"{in_project(path)} is missing: it is the authors' released checkpoint; put the file there and run this again"
    )
