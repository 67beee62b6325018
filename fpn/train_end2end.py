"""Train FPN end to end: python fpn/train_end2end.py --cfg experiments/fpn/cfgs/<file>.yaml"""

import sys

from dcn.cli import guarded
from dcn.cli.train_test import train

main = train(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
