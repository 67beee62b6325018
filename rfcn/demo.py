"""Detections of the authors' COCO networks on photos: Deformable R-FCN, or plain R-FCN with --rfcn_only.

Each photo is written with its boxes to --out. The checkpoint is read from model/, where the authors' released file
belongs.
"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.photo_demos import detection_demo

CFG = 'experiments/rfcn/cfgs/rfcn_coco_demo.yaml'
main = detection_demo(
    __doc__,
    'rfcn_only',
    CFG,
    deformable=('resnet_v1_101_rfcn_dcn', 'rfcn_dcn_coco'),
    plain=('resnet_v1_101_rfcn', 'rfcn_coco'),
)

if __name__ == '__main__':
    sys.exit(guarded(main))
