"""Train R-FCN in alternation: python rfcn/train_alternate.py --cfg <a file of experiments/rfcn/cfgs>"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.train_test import train_alternate

main = train_alternate(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
