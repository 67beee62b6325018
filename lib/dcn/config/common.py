"""Keys that every network's configuration has, with their defaults and kinds; a family adds its own or other defaults.

A key below "this project's own" does not exist in the original; its default means what the original does, and null
leaves the choice to the symbol class.
"""

from dcn.config.kinds import (
    ABOVE_ZERO,
    BOOLEAN,
    COUNT,
    EPOCHS,
    FOUR_SIZES,
    FRACTION,
    INTEGER,
    NAMES,
    NOT_NEGATIVE,
    POSITIVE,
    SCALE,
    SOME_TEXT,
    TEXT,
    THREE_NUMBERS,
    choice,
    optional,
)

NETWORK = {
    'pretrained': ('', TEXT),  # prefix of the ImageNet model; empty: train from scratch
    'pretrained_epoch': (0, COUNT),
    'PIXEL_MEANS': ([0, 0, 0], THREE_NUMBERS),  # blue, green, red
    'IMAGE_STRIDE': (0, COUNT),  # pad images up to a multiple of this; 0: no padding
    'FIXED_PARAMS': (['gamma', 'beta'], NAMES),
    'FIXED_PARAMS_SHARED': (['gamma', 'beta'], NAMES),
    # this project's own
    'depth': (101, POSITIVE),  # 50, 101 or 152; any number when units are given
    'units': (None, optional(FOUR_SIZES)),  # residual blocks of res2 to res5
    'filters': (None, optional(FOUR_SIZES)),  # middle widths of res2 to res5, the first is the stem's
    'strides': (None, optional(FOUR_SIZES)),  # stride of the first block of res2 to res5
    'res5_dilate': (None, optional(POSITIVE)),  # dilation of res5's 3x3 convolutions; null: 2 where its stride is 1
    'head_filters': (1024, POSITIVE),
    'deformable': (None, optional(NAMES)),  # stages (res5), blocks (res4b22), last blocks (res4[-1]); []
    'deformable_groups': (None, optional(POSITIVE)),
    'deform_rule': ('v1', choice('v1', 'v2')),  # sampling rule of deformable convolutions
    'modulated': (False, BOOLEAN),  # deformable convolutions with masks, then always rule v2
    'train_bn': (False, BOOLEAN),  # True: batch statistics, trained gamma and beta
}

DATASET = {
    'dataset': ('PascalVOC', TEXT),
    'image_set': ('2007_trainval', SOME_TEXT),  # '+' joins sets
    'test_image_set': ('2007_test', SOME_TEXT),
    'root_path': ('./data', TEXT),
    'dataset_path': ('./data/VOCdevkit', TEXT),
    'NUM_CLASSES': (21, POSITIVE),  # with the background, where there is one
    # this project's own
    'CLASSES': (None, optional(NAMES)),  # class names in the order of their numbers
    'ORIENTATION': (None, optional(choice('stored', 'upright'))),  # which photo boxes are of where EXIF turns it
    'USE_07_METRIC': (None, optional(BOOLEAN)),  # 11-point AP; null: for years before 2010, as in the original
}

TRAIN = {
    'lr': (0, NOT_NEGATIVE),
    'lr_step': ('', EPOCHS),  # epochs, fractions allowed, separated by commas
    'lr_factor': (0.1, NOT_NEGATIVE),
    'warmup': (False, BOOLEAN),
    'warmup_lr': (0, NOT_NEGATIVE),
    'warmup_step': (0, COUNT),  # iterations
    'momentum': (0.9, FRACTION),
    'wd': (0.0005, NOT_NEGATIVE),
    'begin_epoch': (0, COUNT),
    'end_epoch': (0, COUNT),
    'model_prefix': ('', TEXT),
    'RESUME': (False, BOOLEAN),
    'FLIP': (True, BOOLEAN),
    'SHUFFLE': (True, BOOLEAN),
    'ENABLE_OHEM': (False, BOOLEAN),
    'BATCH_IMAGES': (1, POSITIVE),  # a device
    'ENABLE_CROP': (False, BOOLEAN),  # segmentation: train on crops of these sizes
    'CROP_HEIGHT': (768, POSITIVE),
    'CROP_WIDTH': (1024, POSITIVE),
    # this project's own
    'optimizer': ('sgd', choice('sgd', 'adam')),
    'lr_schedule': ('step', choice('step', 'cosine')),
    'clip_gradient': (None, optional(ABOVE_ZERO)),
    'offset_lr_mult': (1.0, ABOVE_ZERO),  # times the learning rate of offset layers; Adam moves them too fast
    'AUGMENT': (False, BOOLEAN),  # one of the square's eight symmetries for each image in each epoch
    'seed': (0, INTEGER),
    'iterations': (None, optional(POSITIVE)),  # stop after this many updates; null: epochs alone decide
}

TEST = {
    'BATCH_IMAGES': (1, POSITIVE),
    'test_epoch': (0, COUNT),
}

# this project's own
ENGINE = {
    'rewrite': (True, BOOLEAN),  # bind a faster graph that computes the same; false: the graph as published
}

SCHEMA = {
    'MXNET_VERSION': ('', TEXT),
    'output_path': ('', TEXT),
    'symbol': ('', TEXT),
    'gpus': ('', TEXT),
    'CLASS_AGNOSTIC': (True, BOOLEAN),
    'SCALES': ([[600, 1000]], SCALE),
    'default': {'frequent': (20, POSITIVE), 'kvstore': ('device', TEXT)},
    'engine': ENGINE,
    'network': NETWORK,
    'dataset': DATASET,
    'TRAIN': TRAIN,
    'TEST': TEST,
}
