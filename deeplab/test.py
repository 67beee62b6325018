"""Test a trained DeepLab network: python deeplab/test.py --cfg experiments/deeplab/cfgs/<file>.yaml"""
import sys

from lib.cli import guarded
from lib.engine.commands import test

main = test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
