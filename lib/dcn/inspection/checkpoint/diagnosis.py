"""Which network a checkpoint is of, whether it is sound, and what to do with it."""

import os
from typing import Dict, List, Mapping, Optional, Sequence

import numpy as np

from dcn.config import load_config
from dcn.formats import dtypes
from dcn.formats.params import ParamsFile
from dcn.formats.sparse import SparseArray
from dcn.inspection.checkpoint import advice, checks, known
from dcn.inspection.checkpoint.findings import Finding, Report, fact, step, wrong
from dcn.inspection.checkpoint.recognise import Recognised, Stranger, bare, recognise, stranger
from dcn.inspection.checkpoint.tensors import Statistics, statistics
from dcn.inspection.sources import network_of


def examine(opened: ParamsFile, label: str, cfg: Optional[str] = None, overrides: Sequence[str] = ()) -> Report:
    """The Report on a checkpoint; ``cfg``: the YAML file of the network that it should be of."""
    found = [statistics(entry) for entry in opened]
    size = _size(found)
    if not opened.named:
        return Report([size, wrong('no-names'), step('save-with-names')])
    shapes = bare({s.name: s.shape for s in found})
    foreign = stranger(shapes)
    recognised = None if foreign else recognise(shapes)
    if cfg is not None:
        return Report(_against(opened, found, shapes, recognised, label, cfg, overrides))
    if foreign:
        return Report([*_foreign(foreign, shapes, label), size])
    if recognised is not None:
        return Report(_network(opened, found, shapes, recognised, label))
    backbone = known.backbone_of(shapes)
    if backbone is not None:
        return Report(_classifier(found, shapes, backbone))
    unknown = [wrong('unknown-network'), step('inspect', params=label), step('against', params=label)]
    return Report([size, *checks.values(found), *_prefixes(found), *unknown])


def _size(found: Sequence[Statistics]) -> Finding:
    return fact(
        'size',
        tensors=len(found),
        auxiliary=sum(s.name.startswith('aux:') for s in found),
        values=sum(s.size for s in found),
        dtypes=sorted({s.dtype or 'empty' for s in found}),
    )


def _foreign(foreign: Stranger, shapes: Mapping, label: str) -> List[Finding]:
    found = [fact('stranger', kind=foreign.kind)]
    if foreign.depth is not None:
        return found + [wrong('strange-names'), step('convert-backbone', params=label, depth=foreign.depth)]
    found += [wrong('strange-network'), step('inspect', params=label)]
    relative = recognise(shapes) if foreign.sister else None
    return found + (advice.fitting_steps(relative, label) if relative else [])


def _prefixes(found: Sequence[Statistics]) -> List[Finding]:
    bad = [s.name for s in found if not s.name.startswith(('arg:', 'aux:'))]
    states = [s.name for s in found if s.name.startswith('arg:') and s.name.endswith(('_moving_mean', '_moving_var'))]
    return [wrong(code, names=names) for code, names in (('no-prefix', bad), ('states-as-arguments', states)) if names]


def _network(
    opened: ParamsFile, found: Sequence[Statistics], shapes: Mapping, recognised: Recognised, label: str
) -> List[Finding]:
    judged = [
        *checks.names_and_shapes(recognised.wanted, shapes),
        *checks.test_weights(_box_arrays(opened), recognised.sizes['K']),
        *checks.values(found),
        *_prefixes(found),
    ]
    return [*_facts(recognised), _size(found), *judged, *advice.steps(recognised, label, judged)]


def _facts(recognised: Recognised) -> List[Finding]:
    """What the network is, in three Findings."""
    sizes, table, backbone = recognised.sizes, recognised.table, recognised.backbone
    detection = table.family != 'deeplab'
    layers = dict(
        deformable=recognised.deformable,
        groups=recognised.groups,
        modulated=recognised.modulated,
        pooling=recognised.pooling if detection else None,
        bins=round((sizes['P2'] or 0) ** 0.5) if detection else None,
    )
    classes = dict(
        classes=sizes['C'],
        anchors=sizes['A'] if detection else None,
        agnostic=sizes['K'] == 2 and sizes['C'] != 2 if detection else None,
        background=detection,
    )
    network = dict(symbol=table.symbol, family=table.family, **_backbone(backbone))
    return [fact('network', **network), fact('layers', **layers), fact('classes', **classes)]


def _backbone(backbone: known.Backbone) -> Dict[str, object]:
    blocks = [len(names) for names in backbone.blocks]
    return dict(depth=backbone.depth if backbone.usual else None, blocks=blocks, widths=list(backbone.filters))


def _classifier(found: Sequence[Statistics], shapes: Mapping, backbone: known.Backbone) -> List[Finding]:
    args, auxs = backbone.shapes()
    short = [wrong('stages-missing', last=1 + len(backbone.blocks))] if len(backbone.blocks) < 4 else []
    return [
        fact('backbone', **_backbone(backbone)),
        _size(found),
        *checks.names_and_shapes({**args, **auxs}, shapes),
        *short,
        *checks.values(found),
        *_prefixes(found),
        *advice.pretrained_steps(backbone),
    ]


def _box_arrays(opened: ParamsFile) -> Dict[str, np.ndarray]:
    """The box layer's arrays, those that are dense."""
    found = {}
    for layer in checks.BOX_LAYERS:
        for name in (f'{layer}_{kind}{test}' for kind in ('weight', 'bias') for test in ('', '_test')):
            stored = next((key for key in (f'arg:{name}', name) if key in opened), None)
            array = None if stored is None else opened[stored].array()
            if array is not None and not isinstance(array, SparseArray):
                found[name] = dtypes.without_bfloat16(array)
    return found


def _against(
    opened: ParamsFile,
    found: Sequence[Statistics],
    shapes: Mapping,
    recognised: Optional[Recognised],
    label: str,
    cfg: str,
    overrides: Sequence[str],
) -> List[Finding]:
    """Findings on a checkpoint that should be of the network of a YAML file."""
    config = load_config(cfg, overrides)
    wanted = {p.name: p.shape for p in network_of(cfg, overrides).parameters()}
    classes = 2 if config.CLASS_AGNOSTIC else config.dataset.NUM_CLASSES
    judged = [
        *checks.names_and_shapes(wanted, shapes),
        *checks.test_weights(
            _box_arrays(opened),
            classes,
            tuple(config.TRAIN.get('BBOX_STDS', ())) or checks.DEFAULT_STDS,
            tuple(config.TRAIN.get('BBOX_MEANS', ())) or checks.DEFAULT_MEANS,
        ),
        *checks.values(found),
        *_prefixes(found),
    ]
    misfit = advice.misfit(judged)
    steps = advice.steps_with(os.path.relpath(cfg) if os.path.isabs(cfg) else cfg, label, list(overrides), judged)
    if misfit and recognised is not None:
        path, changes = advice.yaml_for(recognised)
        steps.insert(0, step('fits-better', cfg=path, set=changes))
    return [
        fact('checked-against', cfg=cfg, symbol=config.symbol),
        *(_facts(recognised) if recognised and misfit else []),
        _size(found),
        *judged,
        *steps,
    ]
