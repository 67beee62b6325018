"""What to do with a checkpoint: YAML file, command, file name."""

import os
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from dcn.config import load_config
from dcn.config.detection import NETWORK
from dcn.config.families import FAMILIES, lookup
from dcn.inspection.checkpoint.findings import Finding, step
from dcn.inspection.checkpoint.known import Backbone, Table
from dcn.inspection.checkpoint.recognise import Recognised
from dcn.inspection.sources import yaml_files, yaml_symbol
from dcn.paths import ROOT, find
from dcn.symbols.resnet_plan import FILTERS, STEM_STRIDE, UNITS, depth_of, plan

# stride of the last maps -> strides of the first blocks of res2 to res5, where the checkpoint tells the one alone
_STRIDES = {4: (1, 1, 1, 1), 8: (1, 2, 1, 1), 16: (1, 2, 2, 1), 32: (1, 2, 2, 2)}
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


def _profile(finding: Recognised) -> Dict[str, Any]:
    """{key: value} of what a YAML file must say for this checkpoint; a key is absent where nothing is known."""
    sizes, backbone, family = finding.sizes, finding.backbone, finding.table.family
    profile: Dict[str, Any] = {
        'dataset.NUM_CLASSES': sizes['C'],
        'network.units': tuple(len(names) for names in backbone.blocks),
        'network.filters': backbone.filters,
        'network.deformable': sorted(finding.deformable),
        'network.modulated': finding.modulated,
    }
    if finding.deformable:
        profile['network.deformable_groups'] = finding.groups
    profile['network.head_filters'] = sizes['H']
    profile['network.strides'] = _STRIDES.get(sizes['S'] or 0)
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


def _usual(table: Table, classes: int) -> Dict[str, Any]:
    """The same of the original's YAML file for so many classes."""
    anchors = 3 if table.family == 'fpn' else 12 if classes == 81 else 9
    return {
        'dataset.NUM_CLASSES': classes,
        'network.units': UNITS[101],
        'network.filters': FILTERS,
        'network.deformable': sorted(table.deformable),
        'network.modulated': False,
        'network.strides': _STRIDES[16],
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
        layers = _smaller(table.deformable, blocks)
    stages = {f'res{number}': names for number, names in enumerate(blocks, 2)}
    own = {
        'network.units': units,
        'network.filters': tuple(network.get('filters') or usual['network.filters']),
        'network.deformable': sorted({name for layer in layers for name in stages.get(layer, (layer,))}),
        'network.strides': _STRIDES.get(int(np.prod(network.get('strides') or _STRIDES[16])) * STEM_STRIDE),
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


def _smaller(layers, blocks):
    """Deformable blocks of ResNet-101 in a network of other sizes: all of res5, and of other stages the last."""
    last = {names[-1]: mine[-1] for names, mine in zip(plan(101).units, blocks)}
    return ['res5' if layer in _RES5 else last[layer] for layer in layers]


def _changes(mine, theirs):
    """[KEY=VALUE] for every key in which the YAML file differs from the checkpoint."""
    changes = []
    for key, value in mine.items():
        if value != theirs[key]:
            depth = depth_of(value) if key == 'network.units' else None
            key, value = ('network.depth', depth) if depth else (key, value)
            text = '[' + ','.join(map(str, value)) + ']' if isinstance(value, (list, tuple)) else str(value)
            changes.append(f'{key}={text.lower() if isinstance(value, bool) else text}')
            changes += _likely_anchors(value) if key == 'network.NUM_ANCHORS' else []
    return changes


def _likely_anchors(count):
    """Scales and ratios of so many anchors: the file does not record them, and a configuration must name them. Sides
    double up to 512 pixels, as in the original, at three ratios where that is possible."""
    scales = count // 3 if count % 3 == 0 else count
    sides = [32 / 2**k for k in range(scales)][::-1]
    found = [f'network.ANCHOR_SCALES=[{",".join(f"{side:g}" for side in sides)}]']
    return found if count % 3 == 0 else [*found, 'network.ANCHOR_RATIOS=[1]']


# what keeps a network from starting with the checkpoint; values that no start repairs; what dcn convert repairs
_MISFIT, _HOPELESS = ('missing', 'shape', 'box-rows'), ('not-finite', 'huge', 'negative-variance', 'constant-weights')
_REPAIRED = ('no-prefix', 'states-as-arguments', 'no-test-weights')


def misfit(judged: Sequence[Finding]) -> bool:
    """Whether the network cannot start with the checkpoint."""
    return any(finding.code in _MISFIT for finding in judged)


def steps(recognised: Recognised, label: str, judged: Sequence[Finding]) -> List[Finding]:
    """What to do with the checkpoint ``label`` of a network that was recognised; ``judged``: what was found on it."""
    path, changes = yaml_for(recognised)
    experiment, *others = steps_with(path, label, changes, judged)
    found = [experiment]
    if changes:
        found.append(step('changes', set=changes))
    if any(change.startswith('network.NUM_ANCHORS') for change in changes):
        found.append(step('anchors', anchors=recognised.sizes['A']))
    if any(change.startswith(('network.units', 'network.filters')) for change in changes):
        found.append(step('strides'))
    if recognised.deformable and not recognised.modulated:
        found.append(step('sampling-rule'))
    return found + others


def steps_with(path: str, label: str, changes: Sequence[str], judged: Sequence[Finding]) -> List[Finding]:
    """What to do with the checkpoint ``label`` and the YAML file ``path``, changed by ``changes`` (KEY=VALUE)."""
    found = [step('experiment', cfg=path, installed=os.path.isfile(find(path)))]
    codes = {finding.code for finding in judged}
    if codes & set(_HOPELESS):
        return found + [step('earlier-checkpoint')]
    if not os.path.isfile(find(path)):
        return found
    if misfit(judged):
        return [*found, step('train-from', cfg=path, params=label, set=list(changes))]
    if codes & set(_REPAIRED):
        target = f'{os.path.splitext(label)[0]}-repaired.params'
        found.append(step('repair', params=label, target=target, test_weights='no-test-weights' in codes))
        label = target
    family = lookup(yaml_symbol(find(path)), path).family
    what = dict(cfg=path, params=label, set=list(changes))
    found.append(step('detect' if FAMILIES[family].kind == 'detection' else 'segment', **what))
    found.append(step('test', **what))
    found.append(step('own-data', family=family, params=label))
    return found


def fitting_steps(relative: Recognised, label: str) -> List[Finding]:
    """What to do with the checkpoint ``label`` of a sister network whose layers are in part those of ``relative``."""
    path, changes = yaml_for(relative)
    # what it finds is the YAML file's choice
    changes = [change for change in changes if not change.startswith(('dataset.NUM_CLASSES', 'CLASS_AGNOSTIC'))]
    return [step('train-from', cfg=path, params=label, set=changes)] if os.path.isfile(find(path)) else []


def pretrained_steps(backbone: Backbone) -> List[Finding]:
    """What to do with an ImageNet model."""
    return [
        step('pretrained', depth=backbone.depth),
        step('train', cfg='experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml'),
    ]
