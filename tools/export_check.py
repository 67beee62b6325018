#!/usr/bin/env python3
"""Full-size networks on filled parameters, exported and compared with the MXNet engine in both runtimes:

    python tools/export_check.py --peers DIR [--images N] [--scale SHORT LONG] [--measure] [--json FILE] [NAME ...]

Every family, plain and deformable, PASCAL VOC, COCO and Cityscapes. Parameters follow from their names, so that every
machine has the same. A network at 600 x 1000 takes about 5 s of a core for each image and program; --scale makes images
smaller, the network stays. The work is in tests/export/full_size.py.
"""

import sys

from with_tests import run

if __name__ == '__main__':
    sys.exit(run('tests.export.full_size'))
