"""Train R-FCN in alternation: python rfcn/train_alternate.py --cfg <a file of experiments/rfcn/cfgs>"""
import sys

from lib.cli import guarded
from lib.engine.alternate import train_command

main = train_command(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
