"""Train Faster R-CNN on proposals from files, then test it: rcnn_train_test.py --cfg <a file of cfgs>"""
import sys

from lib.cli import guarded
from lib.engine.commands import train_and_test
from lib.engine.proposal_tasks import RoisOnly

main = train_and_test(__doc__, RoisOnly)

if __name__ == '__main__':
    sys.exit(guarded(main))
