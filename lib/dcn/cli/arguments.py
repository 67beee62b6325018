"""The command lines of training and testing: the original's flags and this project's own."""

import argparse

from dcn.config import load_config
from dcn.config.overriding import detection_arguments, graph_argument, override_argument
from dcn.engine.tasks.task import PICTURES

FIRST_RUN = """
Files called shapes_* generate their data: a first run needs nothing else. The others need their data set in
data/ ("dcn validate --cfg FILE" tells what is missing) and, to train, the ImageNet model that network.pretrained names.
Settings, log, checkpoints and results go below the output_path of the file."""


def common_arguments(parser):
    add = parser.add_argument
    add('--cfg', required=True, metavar='FILE', help='experiment configuration, one of experiments/*/cfgs/*.yaml')
    override_argument(parser)
    graph_argument(parser)
    add('--gpus', metavar='LIST', help="GPU numbers such as 0,1, or 'cpu' (default: the configuration's gpus)")


def train_arguments(parser):
    add = parser.add_argument
    add('--frequent', type=positive, metavar='N', help='log every N batches')
    add(
        '--max-iterations',
        type=positive,
        metavar='N',
        help='stop after N iterations of this call, with a checkpoint to go on from',
    )
    add(
        '--checkpoint-every',
        type=positive,
        metavar='N',
        help='write a checkpoint every N iterations, besides each epoch',
    )
    add(
        '--resume',
        action='store_true',
        help='go on from the newest checkpoint of this experiment, in the middle of an epoch too',
    )


def test_arguments(parser):
    add = parser.add_argument
    add(
        '--vis',
        action='store_true',
        help=f'write pictures of what is found on the first {PICTURES} images into the results folder',
    )
    add('--ignore_cache', action='store_true', help='compute anew even if stored results fit')
    add(
        '--thresh',
        type=float,
        default=1e-3,
        metavar='SCORE',
        help='detectors: detections up to this score are dropped (default %(default)s)',
    )
    add('--shuffle', action='store_true', help='detectors: visit the images in random order')
    detection_arguments(parser)


def parse(argv, description, *groups):
    """Parsed arguments and the configuration they name. groups: functions that add arguments to a parser."""
    parser = argparse.ArgumentParser(
        description=description, epilog=FIRST_RUN, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for group in (common_arguments,) + groups:
        group(parser)
    args = parser.parse_args(argv)
    return args, load_config(args.cfg, args.overrides)


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'expected a number above 0, found {text}')
    return value
