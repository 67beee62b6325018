"""Test a trained DeepLab network: python experiments/deeplab/deeplab_test.py --cfg experiments/deeplab/cfgs/<file>.yaml"""
import sys

from lib.cli import guarded
from deeplab.test import main

if __name__ == '__main__':
    sys.exit(guarded(main))
