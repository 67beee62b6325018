"""Every key of a segmentation network's configuration with its default and kind; the defaults are the original's."""

from dcn.config import common
from dcn.config.kinds import NOTHING, TEXT, Key, Schema

NETWORK: Schema = {
    **common.NETWORK,
    'pretrained': common.NETWORK['pretrained']._replace(default='../model/pretrained_model/resnet_v1-101'),
    'PIXEL_MEANS': common.NETWORK['PIXEL_MEANS']._replace(default=[103.06, 115.90, 123.15]),
    'FIXED_PARAMS': common.NETWORK['FIXED_PARAMS']._replace(
        default=['conv1', 'bn_conv1', 'res2', 'bn2', 'gamma', 'beta']
    ),
}

DATASET: Schema = {
    **common.DATASET,
    'dataset': common.DATASET['dataset']._replace(default='cityscapes'),
    'image_set': common.DATASET['image_set']._replace(default='leftImg8bit_train'),
    'test_image_set': common.DATASET['test_image_set']._replace(default='leftImg8bit_val'),
    'root_path': common.DATASET['root_path']._replace(default='../data'),
    'dataset_path': common.DATASET['dataset_path']._replace(default='../data/cityscapes'),
    'NUM_CLASSES': common.DATASET['NUM_CLASSES']._replace(default=19),
    'annotation_prefix': Key('gtFine', TEXT, 'a folder name', NOTHING),
}

TRAIN: Schema = {**common.TRAIN, 'model_prefix': common.TRAIN['model_prefix']._replace(default='deeplab')}

SCHEMA: Schema = {
    **common.SCHEMA,
    'SCALES': common.SCHEMA['SCALES']._replace(default=[[360, 600]]),
    'default': {**common.SCHEMA['default'], 'frequent': common.SCHEMA['default']['frequent']._replace(default=1000)},
    'network': NETWORK,
    'dataset': DATASET,
    'TRAIN': TRAIN,
}
