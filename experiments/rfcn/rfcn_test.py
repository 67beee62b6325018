"""Test a trained R-FCN network: python experiments/rfcn/rfcn_test.py --cfg experiments/rfcn/cfgs/<file>.yaml"""
import sys

from lib.cli import guarded
from rfcn.test import main

if __name__ == '__main__':
    sys.exit(guarded(main))
