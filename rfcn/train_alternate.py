"""Train R-FCN in alternation: python rfcn/train_alternate.py --cfg <a file of experiments/rfcn/cfgs>"""

import sys

from dcn.cli import guarded
from dcn.engine.training.alternate import train_command

main = train_command(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
