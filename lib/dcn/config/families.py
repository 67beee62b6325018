"""The one table that knows the network families: symbol name -> home of its class and keys of its YAML file."""

from __future__ import annotations

import difflib
import importlib
from typing import Any, Callable, Iterable, NamedTuple, Sequence

from dcn.config import checks, detection, segmentation
from dcn.config.kinds import Schema
from dcn.errors import UserError


class Family(NamedTuple):
    """What people call it, what its networks do, the keys of its configuration, and what must hold between their
    values."""

    title: str
    kind: str
    schema: Schema
    rules: Sequence[Callable[[Any], str | None]]


FAMILIES = {
    'rfcn': Family('R-FCN', 'detection', detection.SCHEMA, checks.DETECTION),
    'faster_rcnn': Family('Faster R-CNN', 'detection', detection.SCHEMA, checks.DETECTION),
    'fpn': Family('FPN', 'detection', detection.SCHEMA, checks.DETECTION),
    'deeplab': Family('DeepLab', 'segmentation', segmentation.SCHEMA, checks.SEGMENTATION),
}


class Entry(NamedTuple):
    """Where the class of a symbol lives."""

    family: str
    module: str


# the class has the symbol's name; rfcn_demo's file holds a class of another name, which is known as well
SYMBOLS = {
    'resnet_v1_101_rfcn': Entry('rfcn', 'rfcn.symbols.resnet_v1_101_rfcn'),
    'resnet_v1_101_rfcn_dcn': Entry('rfcn', 'rfcn.symbols.resnet_v1_101_rfcn_dcn'),
    'deform_conv_demo': Entry('rfcn', 'rfcn.symbols.deform_conv_demo'),
    'deform_psroi_demo': Entry('rfcn', 'rfcn.symbols.deform_psroi_demo'),
    'rfcn_demo': Entry('rfcn', 'rfcn.symbols.rfcn_demo'),
    'resnet_v1_101_convnew3': Entry('rfcn', 'rfcn.symbols.rfcn_demo'),
    'resnet_v1_101_rcnn': Entry('faster_rcnn', 'faster_rcnn.symbols.resnet_v1_101_rcnn'),
    'resnet_v1_101_rcnn_dcn': Entry('faster_rcnn', 'faster_rcnn.symbols.resnet_v1_101_rcnn_dcn'),
    'resnet_v1_101_fpn_rcnn': Entry('fpn', 'fpn.symbols.resnet_v1_101_fpn_rcnn'),
    'resnet_v1_101_fpn_dcn_rcnn': Entry('fpn', 'fpn.symbols.resnet_v1_101_fpn_dcn_rcnn'),
    'resnet_v1_101_deeplab': Entry('deeplab', 'deeplab.symbols.resnet_v1_101_deeplab'),
    'resnet_v1_101_deeplab_dcn': Entry('deeplab', 'deeplab.symbols.resnet_v1_101_deeplab_dcn'),
}


# what other programs call the keys
SYNONYMS = {
    'learning_rate': 'lr',
    'base_lr': 'lr',
    'lr0': 'lr',
    'weight_decay': 'wd',
    'gamma': 'lr_factor',
    'lr_decay': 'lr_factor',
    'steps': 'lr_step',
    'milestones': 'lr_step',
    'epochs': 'end_epoch',
    'num_epochs': 'end_epoch',
    'max_epochs': 'end_epoch',
    'epoch': 'end_epoch',
    'batch': 'BATCH_IMAGES',
    'batch_size': 'BATCH_IMAGES',
    'ims_per_batch': 'BATCH_IMAGES',
    'samples_per_gpu': 'BATCH_IMAGES',
    'max_iter': 'iterations',
    'num_iterations': 'iterations',
    'names': 'CLASSES',
    'class_names': 'CLASSES',
    'labels': 'CLASSES',
    'nc': 'NUM_CLASSES',
    'gpu': 'gpus',
    'gpu_ids': 'gpus',
    'device': 'gpus',
    'devices': 'gpus',
    'output_dir': 'output_path',
    'output': 'output_path',
    'save_dir': 'output_path',
    'backbone': 'symbol',
    'model': 'symbol',
    'network_name': 'symbol',
    'weights': 'pretrained',
    'pretrained_model': 'pretrained',
    'checkpoint': 'pretrained',
    'imgsz': 'SCALES',
    'image_size': 'SCALES',
    'img_scale': 'SCALES',
    'min_size': 'SCALES',
    'anchors': 'ANCHOR_SCALES',
    'anchor_sizes': 'ANCHOR_SCALES',
    'aspect_ratios': 'ANCHOR_RATIOS',
    'ohem': 'ENABLE_OHEM',
    'nms_thresh': 'NMS',
    'nms_threshold': 'NMS',
    'iou_threshold': 'NMS',
    'max_dets': 'max_per_image',
    'detections_per_img': 'max_per_image',
    'soft_nms': 'USE_SOFTNMS',
    'random_seed': 'seed',
    'data': 'dataset_path',
    'data_path': 'dataset_path',
    'data_root': 'dataset_path',
    'train': 'image_set',
    'train_set': 'image_set',
    'val': 'test_image_set',
    'test_set': 'test_image_set',
    'mean': 'PIXEL_MEANS',
    'pixel_mean': 'PIXEL_MEANS',
    'grad_clip': 'clip_gradient',
    'clip_grad': 'clip_gradient',
    'num_layers': 'depth',
    'log_interval': 'frequent',
    'augmentation': 'AUGMENT',
    'warmup_iters': 'warmup_step',
}


def synonym(name: object, known: Iterable[str]) -> str | None:
    """The one of ``known`` whose last part is what other programs call ``name``, or None."""
    word = SYNONYMS.get(str(name).lower().replace('-', '_'))
    return next((key for key in known if word and str(key).rpartition('.')[2] == word), None)


def nearest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The one of ``known`` most like ``name`` in its part after the last dot, or None where nothing comes near."""
    by_word = {str(candidate).rpartition('.')[2].lower(): candidate for candidate in known}
    found = difflib.get_close_matches(str(name).lower(), list(by_word), 1, cutoff)
    return by_word[found[0]] if found else None


def lookup(symbol: Any, source: str = 'the configuration') -> Entry:
    """The Entry of a symbol name; ``source`` names the file in the error."""
    if str(symbol) not in SYMBOLS:
        raise UserError(
            f'{source}: symbol is "{symbol}"; expected one of {", ".join(SYMBOLS)} '
            f'(nearest: {nearest(symbol, SYMBOLS, 0)}).'
        )
    return SYMBOLS[symbol]


def kind_of(cfg: Any) -> str:
    """What the network of ``cfg`` does: 'detection' or 'segmentation'."""
    return FAMILIES[lookup(cfg.symbol).family].kind


def symbol_class(cfg: Any) -> Any:
    """The symbol class that ``cfg.symbol`` names."""
    return getattr(importlib.import_module(lookup(cfg.symbol).module), cfg.symbol)
