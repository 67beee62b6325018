"""Train DeepLab: python deeplab/train.py --cfg experiments/deeplab/cfgs/<file>.yaml"""

import sys

from dcn.cli import guarded
from dcn.cli.train_test import train

main = train(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
