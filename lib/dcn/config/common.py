"""Keys that every network's configuration has, with their defaults and kinds; a family adds its own or other defaults.

A key below "this project's own" does not exist in the original; its default means what the original does, and null
leaves the choice to the symbol class.
"""

from dcn.config.kinds import (
    ABOVE_ZERO,
    BOOLEAN,
    BOTH,
    COUNT,
    EPOCHS,
    FILE_NAME,
    FOUR_SIZES,
    FRACTION,
    INTEGER,
    NAMES,
    NOT_NEGATIVE,
    NOTHING,
    POSITIVE,
    SCALE,
    SOME_TEXT,
    TESTING,
    TEXT,
    THREE_NUMBERS,
    TRAINING,
    Key,
    Schema,
    choice,
    optional,
)

NETWORK: Schema = {
    'pretrained': Key(
        '', TEXT, 'prefix of the ImageNet model, PREFIX-NNNN.params; empty: train from scratch', TRAINING
    ),
    'pretrained_epoch': Key(0, COUNT, 'NNNN of that model', TRAINING),
    'PIXEL_MEANS': Key([0, 0, 0], THREE_NUMBERS, 'means that are subtracted from the pixels: blue, green, red', BOTH),
    'IMAGE_STRIDE': Key(0, COUNT, 'images are padded up to a multiple of this; 0: no padding', BOTH),
    'FIXED_PARAMS': Key(
        ['gamma', 'beta'], NAMES, 'parameters whose names contain one of these words are not trained', TRAINING
    ),
    'FIXED_PARAMS_SHARED': Key(
        ['gamma', 'beta'], NAMES, 'the same in the second round of alternate training', 'alternate training'
    ),
    # this project's own
    'depth': Key(101, POSITIVE, 'layers of the ResNet: 50, 101 or 152; any number where units are given', BOTH),
    'units': Key(None, optional(FOUR_SIZES), 'residual blocks of res2 to res5; null: those of the depth', BOTH),
    'filters': Key(
        None, optional(FOUR_SIZES), 'widths of the 3x3 convolutions of res2 to res5; null: 64, 128, 256, 512', BOTH
    ),
    'strides': Key(
        None, optional(FOUR_SIZES), 'strides of the first blocks of res2 to res5; null: as in the original', BOTH
    ),
    'res5_dilate': Key(
        None, optional(POSITIVE), 'dilation of the 3x3 convolutions of res5; null: 2 where its stride is 1', BOTH
    ),
    'head_filters': Key(1024, POSITIVE, 'channels between res5 and the heads', BOTH),
    'deformable': Key(
        None,
        optional(NAMES),
        'stages (res5), blocks (res4b22) or last blocks (res4[-1]) that are deformable; null: as in the original',
        BOTH,
    ),
    'deformable_groups': Key(
        None, optional(POSITIVE), 'groups of channels that share offsets; null: as in the original', BOTH
    ),
    'deform_rule': Key(
        'v1', choice('v1', 'v2'), 'sampling rule of deformable convolutions, see sampling-rules.md', BOTH
    ),
    'modulated': Key(False, BOOLEAN, 'deformable convolutions with masks (v2)', BOTH),
    'train_bn': Key(False, BOOLEAN, 'batch statistics, with trained gamma and beta, instead of frozen ones', BOTH),
}

DATASET: Schema = {
    'dataset': Key('PascalVOC', TEXT, 'the layout of the data', BOTH),
    'image_set': Key('2007_trainval', SOME_TEXT, 'training sets, joined by +', BOTH),
    'test_image_set': Key('2007_test', SOME_TEXT, 'test set', TESTING),
    'root_path': Key('./data', TEXT, 'folder of caches', BOTH),
    'dataset_path': Key('./data/VOCdevkit', TEXT, 'folder of the data', BOTH),
    'NUM_CLASSES': Key(21, POSITIVE, 'number of classes, with the background where there is one', BOTH),
    # this project's own
    'CLASSES': Key(
        None, optional(NAMES), 'class names in the order of their numbers; null: those of the data set', BOTH
    ),
    'ORIENTATION': Key(
        None,
        optional(choice('stored', 'upright')),
        'which photo is annotated where EXIF turns it; null: the stored one, with a warning',
        BOTH,
    ),
    'USE_07_METRIC': Key(
        None, optional(BOOLEAN), 'VOC: AP at 11 points instead of the area; null: for years before 2010', TESTING
    ),
}

TRAIN: Schema = {
    'lr': Key(0, NOT_NEGATIVE, 'learning rate, for the sum of the gradients of all devices', TRAINING),
    'lr_step': Key('', EPOCHS, 'epochs at which the learning rate drops, such as "4.83"', TRAINING),
    'lr_factor': Key(0.1, NOT_NEGATIVE, 'what the learning rate is multiplied by at each drop', TRAINING),
    'warmup': Key(False, BOOLEAN, 'start with warmup_lr', TRAINING),
    'warmup_lr': Key(0, NOT_NEGATIVE, 'learning rate of the warm-up', TRAINING),
    'warmup_step': Key(0, COUNT, 'iterations of the warm-up', TRAINING),
    'momentum': Key(0.9, FRACTION, 'momentum of SGD', TRAINING),
    'wd': Key(0.0005, NOT_NEGATIVE, 'weight decay', TRAINING),
    'begin_epoch': Key(0, COUNT, 'epoch to begin at', TRAINING),
    'end_epoch': Key(0, COUNT, 'epoch to end before', TRAINING),
    'model_prefix': Key('', FILE_NAME, 'first part of the names of checkpoints', BOTH),
    'RESUME': Key(False, BOOLEAN, 'go on from the checkpoint of begin_epoch', TRAINING),
    'FLIP': Key(True, BOOLEAN, 'train on flipped copies as well', TRAINING),
    'SHUFFLE': Key(True, BOOLEAN, 'draw a new order of images in each epoch', TRAINING),
    'ENABLE_OHEM': Key(False, BOOLEAN, 'learn from the RoIs, or pixels, of the largest losses (OHEM)', TRAINING),
    'BATCH_IMAGES': Key(1, POSITIVE, 'images on a device', TRAINING),
    'ENABLE_CROP': Key(False, BOOLEAN, 'segmentation: train on crops', TRAINING),
    'CROP_HEIGHT': Key(768, POSITIVE, 'height of crops in pixels', TRAINING),
    'CROP_WIDTH': Key(1024, POSITIVE, 'width of crops in pixels', TRAINING),
    # this project's own
    'optimizer': Key('sgd', choice('sgd', 'adam'), 'sgd or adam', TRAINING),
    'lr_schedule': Key(
        'step', choice('step', 'cosine'), 'step (lr_step and lr_factor) or cosine, down to 0 at the end', TRAINING
    ),
    'clip_gradient': Key(
        None, optional(ABOVE_ZERO), 'largest norm of all gradients together; null: no limit', TRAINING
    ),
    'offset_lr_mult': Key(1.0, ABOVE_ZERO, 'times the learning rate of layers that predict offsets', TRAINING),
    'AUGMENT': Key(False, BOOLEAN, 'one of the eight symmetries of a square for each image in each epoch', TRAINING),
    'seed': Key(0, INTEGER, 'of every random draw', BOTH),
    'iterations': Key(None, optional(POSITIVE), 'stop after this many updates; null: epochs alone decide', TRAINING),
    'nonfinite': Key(
        'stop', choice('stop', 'skip'), 'what to do at a batch whose losses or gradients are not finite', TRAINING
    ),
    'broken_images': Key(
        'stop', choice('stop', 'skip'), 'what to do at an image that is missing or cannot be read', TRAINING
    ),
}

TEST: Schema = {
    'BATCH_IMAGES': Key(1, POSITIVE, 'images on a device: 1', TESTING),
    'test_epoch': Key(0, COUNT, 'number of the checkpoint to test', TESTING),
}

# this project's own
ENGINE: Schema = {
    'name': Key('mxnet', choice('mxnet', 'torch'), 'what runs the networks; torch: PyTorch (docs/torch.md)', BOTH),
    'bfloat16': Key(
        False, BOOLEAN, 'layers multiply in bfloat16 (docs/rewrite.md, docs/torch.md); MXNet: in testing only', BOTH
    ),
    'rewrite': Key(
        True, BOOLEAN, 'bind a faster graph of the same values (docs/rewrite.md); false: as published', BOTH
    ),
}

SCHEMA: Schema = {
    'MXNET_VERSION': Key('', TEXT, 'a version of MXNet', NOTHING),
    'output_path': Key('', TEXT, 'folder of logs, checkpoints and results', BOTH),
    'symbol': Key('', TEXT, 'the network: name of its class', BOTH),
    'gpus': Key('', TEXT, 'GPU numbers separated by commas; empty: CPU', BOTH),
    'CLASS_AGNOSTIC': Key(True, BOOLEAN, 'one box for all classes instead of one for each', BOTH),
    'SCALES': Key(
        [[600, 1000]],
        SCALE,
        'short side and longest side of images in pixels; several: one is drawn for each image',
        BOTH,
    ),
    'default': {
        'frequent': Key(20, POSITIVE, 'iterations between two lines of the log', TRAINING),
        'kvstore': Key(
            'device',
            choice('local', 'device', 'dist_sync'),
            'how gradients come together; local and device: of the devices of one process; dist_sync: of the workers '
            'of several machines (docs/several-machines.md)',
            TRAINING,
        ),
    },
    'engine': ENGINE,
    'network': NETWORK,
    'dataset': DATASET,
    'TRAIN': TRAIN,
    'TEST': TEST,
}
