"""Train FPN end to end: python fpn/train_end2end.py --cfg experiments/fpn/cfgs/<file>.yaml"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.train_test import train

main = train(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
