"""Train R-FCN end to end, then test it: python experiments/rfcn/rfcn_end2end_train_test.py --cfg <a file of cfgs/>"""
import sys

from lib.cli import guarded
from lib.engine.arguments import parse, test_arguments, train_arguments
from lib.engine.testing import evaluate_detector
from lib.engine.training import train_detector


def main(argv=None):
    args, cfg = parse(argv, 'Train an R-FCN network end to end, then test it.', train_arguments, test_arguments)
    if train_detector(cfg, args.gpus, args.frequent, args.max_iterations, args.checkpoint_every, args.resume):
        evaluate_detector(cfg, args.gpus, args.thresh, args.ignore_cache, args.vis, args.shuffle)
    else:
        print(f'not tested: the training has not reached its end, epoch {cfg.TRAIN.end_epoch}, yet')


if __name__ == '__main__':
    sys.exit(guarded(main))
