"""Train Faster R-CNN in alternation: python faster_rcnn/train_alternate.py --cfg <a file of cfgs>"""

import sys

from dcn.cli import guarded
from dcn.engine.training.alternate import train_command

main = train_command(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
