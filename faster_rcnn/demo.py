"""Detections of the authors' COCO networks on photos: Deformable Faster R-CNN, or plain Faster R-CNN with --rcnn_only.

Each photo is written with its boxes to --out. The checkpoint is read from model/, where the authors' released file
belongs.
"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.photo_demos import detection_demo

CFG = 'experiments/faster_rcnn/cfgs/resnet_v1_101_coco_trainval_rcnn_dcn_end2end.yaml'
main = detection_demo(
    __doc__,
    'rcnn_only',
    CFG,
    deformable=('resnet_v1_101_rcnn_dcn', 'rcnn_dcn_coco'),
    plain=('resnet_v1_101_rcnn', 'rcnn_coco'),
)

if __name__ == '__main__':
    sys.exit(guarded(main))
