"""Command-line arguments that several commands share: the original's flags and this project's own."""

import argparse
from typing import Callable, Optional, Tuple

from easydict import EasyDict

from dcn.config import load_config
from dcn.config.overriding import (
    detection_arguments,
    engine_arguments,
    graph_argument,
    kvstore_argument,
    override_argument,
)
from dcn.files import require_room
from dcn.text import Parser
from dcn.visualize import PICTURES

FIRST_RUN = """
Files named shapes_* generate their data on first use. The others need their data set in data/ ("dcn validate --cfg
FILE" says what is missing) and, to train, the ImageNet model that network.pretrained names. Settings, log,
checkpoints and results go to the output_path of the file."""

# arguments of train_arguments() that are options of dcn.engine.train
TRAINING = (
    'frequent',
    'max_iterations',
    'checkpoint_every',
    'checkpoint_minutes',
    'resume',
    'overwrite',
    'tensorboard',
)


def common_arguments(parser: argparse.ArgumentParser) -> None:
    """--cfg, --set and --gpus."""
    add = parser.add_argument
    add('--cfg', required=True, metavar='FILE', help='experiment file, such as those in experiments/*/cfgs')
    override_argument(parser)
    graph_argument(parser)
    engine_arguments(parser)
    add('--gpus', metavar='LIST', help="GPU numbers such as 0,1, or 'cpu' (default: gpus in the experiment file)")
    add('--run-name', type=name, metavar='NAME', help='a run of its own, in a folder called <file>_NAME')


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """How a training runs."""
    add = parser.add_argument
    kvstore_argument(parser)
    add('--frequent', type=positive, metavar='N', help='log every N batches')
    add(
        '--max-iterations',
        type=positive,
        metavar='N',
        help='save a checkpoint and stop after N iterations of this call',
    )
    add(
        '--checkpoint-every',
        type=positive,
        metavar='N',
        help='save a checkpoint every N iterations as well as every epoch',
    )
    add(
        '--checkpoint-minutes',
        type=minutes,
        default=30,
        metavar='M',
        help='save one when M minutes have passed since the last; 0: never (default %(default)s)',
    )
    add(
        '--tensorboard',
        action='store_true',
        help='write the figures of <prefix>-training.jsonl as event files too, to <prefix>-tensorboard; needs the '
        'package tensorboardX',
    )
    # a folder that holds a run is not trained into without one of these
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--resume',
        action='store_true',
        help='continue from the newest complete checkpoint of this experiment, even within an epoch',
    )
    which.add_argument(
        '--overwrite', action='store_true', help='start over in the folder of an earlier run; its checkpoints go'
    )


def from_argument(parser: argparse.ArgumentParser) -> None:
    """--from."""
    parser.add_argument(
        '--from',
        dest='start',
        metavar='CHECKPOINT',
        help='fine-tune this checkpoint (.params, .safetensors, .npz or .pth) of this or of a related network: what '
        'fits is kept, all else starts anew; the log names it',
    )


def test_arguments(parser: argparse.ArgumentParser) -> None:
    """How to test."""
    add = parser.add_argument
    add(
        '--vis',
        action='store_true',
        help=f'write pictures of the results on the first {PICTURES} images to the results folder',
    )
    add('--ignore_cache', action='store_true', help='compute again even if stored results fit')
    add(
        '--thresh',
        type=score,
        default=1e-3,
        metavar='SCORE',
        help='detectors: drop detections up to this score (default %(default)s)',
    )
    add('--shuffle', action='store_true', help='detectors: visit the images in random order')
    detection_arguments(parser)


def photo_arguments(parser: argparse.ArgumentParser, out: str, required: bool = False, videos: bool = False) -> None:
    """PHOTO... and :func:`picture_arguments`; photos that are not ``required`` default to samples."""
    note = '' if required else ' (default: four photos that scikit-image ships)'
    what = 'image or video files' if videos else 'image files'
    parser.add_argument(
        'photos', nargs='+' if required else '*', metavar='PHOTO', help=f'{what}, folders of them, or globs{note}'
    )
    picture_arguments(parser, out)


def result_arguments(parser: argparse.ArgumentParser) -> None:
    """--json and --csv, and how videos are looked at."""
    add = parser.add_argument
    add('--json', metavar='FILE', help='write what is found as JSON: a list with an object for each photo or frame')
    add('--csv', metavar='FILE', help='write what is found as a table, with a row for each object or class')
    add('--every', type=positive, default=1, metavar='N', help='videos: look at every N-th frame (default %(default)s)')
    add('--frames', action='store_true', help='videos: write the frames that are looked at as pictures, not a video')


def picture_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """--out, --gpus and --set."""
    parser.add_argument('--out', default=out, metavar='DIR', help='folder for the pictures (default %(default)s)')
    parser.add_argument('--gpus', metavar='LIST', help="GPU numbers, or 'cpu' (default: gpus in the experiment file)")
    override_argument(parser)
    graph_argument(parser)
    engine_arguments(parser)


def network_arguments(parser: argparse.ArgumentParser) -> None:
    """Which network: --cfg and --params."""
    parser.add_argument('--cfg', metavar='YAML', help='experiment file of the network (default: the shapes network)')
    parser.add_argument(
        '--params',
        metavar='FILE',
        help='its checkpoint PREFIX-NNNN.params (default: the one that '
        'training with --cfg wrote; without --cfg the shapes checkpoint that comes with the project). Given alone, its '
        'experiment file is looked for, as dcn doctor does',
    )


def threshold_argument(parser: argparse.ArgumentParser, default: float) -> None:
    """--threshold."""
    parser.add_argument(
        '--threshold',
        type=score,
        default=default,
        metavar='S',
        help='lowest score to show (default %(default)s)',
    )


def parse(argv: Optional[list], description: str, *groups: Callable) -> Tuple[argparse.Namespace, EasyDict]:
    """Parsed arguments and the configuration they name. groups: functions that add arguments to a parser."""
    parser = Parser(description=description, epilog=FIRST_RUN, formatter_class=argparse.RawDescriptionHelpFormatter)
    for group in (common_arguments,) + groups:
        group(parser)
    args = parser.parse_args(argv)
    cfg = load_config(args.cfg, args.overrides)
    if args.run_name:
        cfg.name += f'_{args.run_name}'
    require_room(cfg.output_path, 'output_path')
    return args, cfg


def positive(text: str) -> int:
    """A number above 0."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'expected a number above 0, found {text}')
    return value


def minutes(text: str) -> float:
    """A time of 0 or more."""
    value = float(text)
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'expected minutes, 0 or more, found {text}')
    return value


def name(text: str) -> str:
    """Part of the name of a folder."""
    if not text or text.strip('.') == '' or set(text) & set('/\\\0'):
        raise argparse.ArgumentTypeError(f'expected part of a folder name, found {text!r}')
    return text


def score(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'expected a score from 0 to 1, found {text}')
    return value
