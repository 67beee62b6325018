"""Test a trained R-FCN network: python rfcn/test.py --cfg experiments/rfcn/cfgs/<file>.yaml"""

import sys

from dcn.cli import guarded
from dcn.cli.train_test import test

main = test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
