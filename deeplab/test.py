"""Test a trained DeepLab network: python deeplab/test.py --cfg experiments/deeplab/cfgs/<file>.yaml"""

import sys

from dcn.cli import guarded
from dcn.cli.train_test import test

main = test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
