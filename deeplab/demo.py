"""Segmentations of photos by the authors' Cityscapes networks: Deformable DeepLab, or DeepLab with --deeplab_only.

Two pictures of each photo are written to --out: the classes, and the photo under their colours with a legend. The
checkpoint is read from model/, where the authors' released file belongs.
"""

import sys

try:
    from dcn.cli import guarded
except ModuleNotFoundError as error:
    sys.exit(f'error: {error}; activate the environment first: source .venv/bin/activate (./setup.sh makes it)')
from dcn.cli.photo_demos import segmentation_demo

CFG = 'experiments/deeplab/cfgs/deeplab_cityscapes_demo.yaml'
main = segmentation_demo(
    __doc__,
    'deeplab_only',
    CFG,
    deformable=('resnet_v1_101_deeplab_dcn', 'deeplab_dcn_cityscapes'),
    plain=('resnet_v1_101_deeplab', 'deeplab_cityscapes'),
)

if __name__ == '__main__':
    sys.exit(guarded(main))
