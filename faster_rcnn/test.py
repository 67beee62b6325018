"""Test a trained Faster R-CNN network: python faster_rcnn/test.py --cfg experiments/faster_rcnn/cfgs/<file>.yaml"""

import sys

from dcn.cli import guarded
from dcn.cli.train_test import test

main = test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
