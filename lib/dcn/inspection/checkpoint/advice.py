"""What to do with a checkpoint: YAML file, command, file name."""

import os
from typing import List, Optional, Sequence, Tuple

from dcn.config import load_config, output_folder
from dcn.config.detection import NETWORK
from dcn.errors import UserError
from dcn.inspection.checkpoint.findings import Finding, step
from dcn.inspection.checkpoint.known import Backbone, Table
from dcn.inspection.checkpoint.recognise import Recognised
from dcn.inspection.sources import yaml_files, yaml_symbol
from dcn.paths import ROOT
from dcn.symbols.resnet_plan import FILTERS, UNITS, plan

_RES5 = ['res5a', 'res5b', 'res5c']


def yaml_for(finding: Recognised) -> Tuple[str, List[str]]:
    """(path of the YAML file that comes nearest, [KEY=VALUE that it still needs])"""
    table, mine = finding.table, _profile(finding)
    choices = []
    for classes, stem in table.classes.items():
        path = os.path.join('experiments', table.family, 'cfgs', stem + '.yaml')
        choices.append((_changes(mine, _usual(table, classes)), path))
    for there in yaml_files():
        if yaml_symbol(there) == table.symbol:
            choices.append((_changes(mine, _configured(load_config(there), table)), os.path.relpath(there, ROOT)))
    changes, path = min(choices, key=lambda choice: len(choice[0]))
    return path, changes


def _profile(finding: Recognised):
    """{key: value} of what a YAML file must say for this checkpoint; a key is absent where nothing is known."""
    sizes, backbone, family = finding.sizes, finding.backbone, finding.table.family
    profile = {
        'dataset.NUM_CLASSES': sizes['C'],
        'network.units': tuple(len(names) for names in backbone.blocks),
        'network.filters': backbone.filters,
        'network.deformable': sorted(finding.deformable),
        'network.modulated': finding.modulated,
    }
    if finding.deformable:
        profile['network.deformable_groups'] = finding.groups
    profile['network.head_filters'] = sizes['H']
    if family != 'deeplab':
        profile.update(
            {
                'network.NUM_ANCHORS': sizes['A'],
                'CLASS_AGNOSTIC': sizes['K'] == 2 and sizes['C'] != 2,
                'network.rpn_filters': sizes['R'],
                'network.roi_filters': sizes['W'],
                'network.pooled_size': sizes['P2'] and round(sizes['P2'] ** 0.5),
                'network.roi_pooling': finding.pooling,
            }
        )
    return {key: value for key, value in profile.items() if value is not None}


def _usual(table: Table, classes: int):
    """The same of the original's YAML file for so many classes."""
    anchors = 3 if table.family == 'fpn' else 12 if classes == 81 else 9
    return {
        'dataset.NUM_CLASSES': classes,
        'network.units': UNITS[101],
        'network.filters': FILTERS,
        'network.deformable': sorted(table.deformable),
        'network.modulated': False,
        'network.NUM_ANCHORS': anchors,
        'network.deformable_groups': table.groups,
        'CLASS_AGNOSTIC': table.family == 'rfcn',
        **{f'network.{key}': NETWORK[key][0] for key in ('rpn_filters', 'head_filters', 'roi_filters')},
        'network.pooled_size': 3 if 'psroi' in table.symbol else 7,
        'network.roi_pooling': table.pooling,
    }


def _configured(cfg, table):
    """The same of a configuration."""
    usual, network = _usual(table, cfg.dataset.NUM_CLASSES), cfg.network
    units = tuple(network.get('units') or UNITS.get(network.get('depth'), UNITS[101]))
    blocks = plan(network.get('depth') or 101, units).units
    layers = network.get('deformable')
    if layers is None:
        layers = ['res5'] if table.deformable == _RES5 else table.deformable
    stages = {f'res{number}': names for number, names in enumerate(blocks, 2)}
    own = {
        'network.units': units,
        'network.filters': tuple(network.get('filters') or usual['network.filters']),
        'network.deformable': sorted({name for layer in layers for name in stages.get(layer, (layer,))}),
        'network.NUM_ANCHORS': network.get('NUM_ANCHORS'),
        'CLASS_AGNOSTIC': cfg.get('CLASS_AGNOSTIC'),
    }
    for key in (
        'deformable_groups',
        'modulated',
        'rpn_filters',
        'head_filters',
        'roi_filters',
        'pooled_size',
        'roi_pooling',
    ):
        own[f'network.{key}'] = network.get(key)
    if own['network.roi_pooling'] == 'bilinear':
        own['network.roi_pooling'] = 'integer'  # no tensor tells them apart
    return {**usual, **{key: value for key, value in own.items() if value is not None}}


def _changes(mine, theirs):
    """[KEY=VALUE] for every key in which the YAML file differs from the checkpoint."""
    changes = []
    for key, value in mine.items():
        if value != theirs[key]:
            depth = next((depth for depth, units in UNITS.items() if units == value), None)
            key, value = ('network.depth', depth) if key == 'network.units' and depth else (key, value)
            text = '[' + ','.join(map(str, value)) + ']' if isinstance(value, (list, tuple)) else str(value)
            changes.append(f'{key}={text.lower() if isinstance(value, bool) else text}')
    return changes


def steps(path: str, label: str, changes: Sequence[str], anchors: Optional[int] = None) -> List[Finding]:
    """What to do with the checkpoint ``label`` and the YAML file ``path``, changed by ``changes`` (KEY=VALUE)."""
    there = path if os.path.isfile(path) else os.path.join(ROOT, path)
    what = dict(cfg=path, params=label, set=list(changes))
    found = [step('experiment', cfg=path, installed=os.path.isfile(there))]
    if changes:
        found.append(step('changes', set=list(changes)))
    if any(change.startswith('network.NUM_ANCHORS') for change in changes):
        found.append(step('anchors', anchors=anchors))
    if any(change.startswith(('network.units', 'network.filters')) for change in changes):
        found.append(step('strides'))
    segmentation = '/deeplab/' in path.replace(os.sep, '/')
    found.append(step('segment' if segmentation else 'detect', **what))
    if os.path.isfile(there):
        try:
            cfg = load_config(there)
        except UserError:
            return found
        prefix = os.path.join(output_folder(cfg, cfg.dataset.image_set), cfg.TRAIN.model_prefix)
        found.append(step('test', target=f'{prefix}-{cfg.TEST.test_epoch:04d}.params', **what))
    return found


def pretrained_steps(backbone: Backbone) -> List[Finding]:
    """What to do with an ImageNet model."""
    return [
        step('pretrained', depth=backbone.depth),
        step('train', cfg='experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'),
    ]
