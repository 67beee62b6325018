"""Test a trained R-FCN network: python rfcn/test.py --cfg experiments/rfcn/cfgs/<file>.yaml"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.train_test import test

main = test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
