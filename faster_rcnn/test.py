"""Test a trained Faster R-CNN network: python faster_rcnn/test.py --cfg experiments/faster_rcnn/cfgs/<file>.yaml"""
import sys

from lib.cli import guarded
from lib.engine.commands import test

main = test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
