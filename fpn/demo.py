"""Detections of the authors' COCO networks on photos: Deformable FPN, or plain FPN with --fpn_only.

Each photo is written with its boxes to --out. The checkpoint is read from model/, where the authors' released file
belongs. Photos are looked at in one size; the best published numbers take six, and soft-NMS:
--soft-nms --test-scales 480,800 576,900 688,1100 800,1200 1200,1600 1400,2000
"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.photo_demos import detection_demo

CFG = 'experiments/fpn/cfgs/resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem.single_scale.yaml'
main = detection_demo(
    __doc__,
    'fpn_only',
    CFG,
    deformable=('resnet_v1_101_fpn_dcn_rcnn', 'fpn_dcn_coco'),
    plain=('resnet_v1_101_fpn_rcnn', 'fpn_coco'),
)

if __name__ == '__main__':
    sys.exit(guarded(main))
