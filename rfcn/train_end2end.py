"""Train R-FCN end to end: python rfcn/train_end2end.py --cfg experiments/rfcn/cfgs/<file>.yaml"""
import sys

from lib.cli import guarded
from lib.engine.arguments import parse, train_arguments
from lib.engine.training import train_detector


def main(argv=None):
    args, cfg = parse(argv, 'Train an R-FCN network end to end.', train_arguments)
    train_detector(cfg, args.gpus, args.frequent, args.max_iterations, args.checkpoint_every, args.resume)


if __name__ == '__main__':
    sys.exit(guarded(main))
