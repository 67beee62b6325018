"""Test a trained Faster R-CNN network: python faster_rcnn/test.py --cfg experiments/faster_rcnn/cfgs/<file>.yaml"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.train_test import test

main = test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
