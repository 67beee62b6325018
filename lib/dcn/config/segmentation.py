"""Every key of a segmentation network's configuration with its default and kind; the defaults are the original's."""

from dcn.config import common
from dcn.config.kinds import BOOLEAN, NAMES, POSITIVE, SCALE, TEXT, THREE_NUMBERS

NETWORK = {
    **common.NETWORK,
    'pretrained': ('../model/pretrained_model/resnet_v1-101', TEXT),
    'PIXEL_MEANS': ([103.06, 115.90, 123.15], THREE_NUMBERS),
    'FIXED_PARAMS': (['conv1', 'bn_conv1', 'res2', 'bn2', 'gamma', 'beta'], NAMES),
}

DATASET = {
    **common.DATASET,
    'dataset': ('cityscapes', TEXT),  # no data set has this name: every file gives its own
    'image_set': ('leftImg8bit_train', TEXT),
    'test_image_set': ('leftImg8bit_val', TEXT),
    'root_path': ('../data', TEXT),
    'dataset_path': ('../data/cityscapes', TEXT),
    'NUM_CLASSES': (19, POSITIVE),
    'annotation_prefix': ('gtFine', TEXT),  # never read, in the original neither
}

TRAIN = {**common.TRAIN, 'model_prefix': ('deeplab', TEXT)}

SCHEMA = {
    **common.SCHEMA,
    'SCALES': ([[360, 600]], SCALE),
    'CLASS_AGNOSTIC': (True, BOOLEAN),  # never read, in the original neither
    'default': {'frequent': (1000, POSITIVE), 'kvstore': ('device', TEXT)},
    'network': NETWORK,
    'dataset': DATASET,
    'TRAIN': TRAIN,
}
