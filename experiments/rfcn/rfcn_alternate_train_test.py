"""Train R-FCN in alternation, then test it: rfcn_alternate_train_test.py --cfg <a file of cfgs>"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.train_test import train_alternate_and_test

main = train_alternate_and_test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
