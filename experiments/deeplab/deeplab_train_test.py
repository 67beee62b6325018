"""Train DeepLab, then test it: python experiments/deeplab/deeplab_train_test.py --cfg <file of cfgs>"""
import sys

from lib.cli import guarded
from lib.engine.commands import train_and_test

main = train_and_test(__doc__)

if __name__ == '__main__':
    sys.exit(guarded(main))
