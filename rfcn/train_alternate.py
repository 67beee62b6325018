"""Train R-FCN in alternation: python rfcn/train_alternate.py --cfg <a file of experiments/rfcn/cfgs>"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.engine.training.alternate import train_command

main = train_command(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
