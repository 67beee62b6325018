"""Test a trained R-FCN network: python rfcn/test.py --cfg experiments/rfcn/cfgs/<file>.yaml"""
import sys

from lib.cli import guarded
from lib.engine.arguments import parse, test_arguments
from lib.engine.testing import evaluate_detector


def main(argv=None):
    args, cfg = parse(argv, 'Test an R-FCN network on the test set of its configuration.', test_arguments)
    evaluate_detector(cfg, args.gpus, args.thresh, args.ignore_cache, args.vis, args.shuffle)


if __name__ == '__main__':
    sys.exit(guarded(main))
