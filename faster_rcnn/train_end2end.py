"""Train Faster R-CNN end to end: python faster_rcnn/train_end2end.py --cfg experiments/faster_rcnn/cfgs/<file>.yaml"""

import sys

from dcn.cli import guarded
from dcn.cli.train_test import train

main = train(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
