"""``dcn doctor``: which network a checkpoint is of, whether it is sound, and what to do with it."""

import argparse
import json
import os
import sys
from typing import List, NamedTuple

from dcn.cli import guarded
from dcn.errors import UserError
from dcn.formats.sparse import SparseArray
from dcn.inspection.checkpoint import advice, checks, known
from dcn.inspection.checkpoint.recognise import Finding, bare, recognise, stranger
from dcn.inspection.checkpoint.tensors import statistics
from dcn.inspection.graph.network import describe
from dcn.inspection.sources import build, open_source


class Report(NamedTuple):
    """Sentences: what it is, what is wrong, what is right or worth knowing, what to do."""

    facts: List[str]
    problems: List[str]
    notes: List[str]
    steps: List[str]


def main(argv=None):
    args = parser().parse_args(argv)
    source = open_source(args.checkpoint)
    if source.params is None:
        raise UserError(
            f'{args.checkpoint}: expected a checkpoint (.params), found a network; '
            f'"dcn inspect {args.checkpoint}" shows it'
        )
    report = examine(source.params, args.checkpoint, args.cfg, args.overrides or ())
    if args.json:
        print(json.dumps(report._asdict(), indent=1))
    else:
        print('\n'.join(report_lines(args.checkpoint, report)))
    return 1 if report.problems else 0


def parser():
    made = argparse.ArgumentParser(
        prog='dcn doctor',
        description='Say which network a checkpoint is of, whether anything is wrong with it, and what to do with it. '
        'Ends with status 1 where something is wrong.',
    )
    made.add_argument('checkpoint', metavar='CHECKPOINT', help='a .params file')
    made.add_argument('--cfg', metavar='YAML', help='check it against this experiment file, tensor by tensor')
    made.add_argument('--set', nargs='+', metavar='KEY=VALUE', dest='overrides', help='change keys of the YAML file')
    made.add_argument('--json', action='store_true', help='the report for programs')
    return made


def examine(opened, label, cfg=None, overrides=()):
    """The Report on a ParamsFile."""
    found = [statistics(entry) for entry in opened]
    shapes = bare({s.name: s.shape for s in found})
    facts = [_size_words(found)]
    if not opened.named:
        return Report(
            facts,
            ['its tensors have no names: no network can be recognised'],
            [],
            ['save it again from a dictionary, with names such as arg:conv1_weight'],
        )
    foreign = stranger(shapes)
    finding = None if foreign else recognise(shapes)
    if cfg is not None:
        return _against(opened, found, shapes, facts, finding, label, cfg, overrides)
    if foreign:
        return _foreign(facts, label, shapes, *foreign)
    problems, notes = checks.values(found)
    problems += _prefixes(found, opened)
    if finding is not None:
        return _known(opened, shapes, facts, finding, label, problems, notes)
    backbone = known.backbone_of(shapes)
    if backbone is not None:
        return _classifier(shapes, facts, backbone, label, problems, notes)
    return Report(
        facts,
        problems + ['no network that is known here: its names fit none of them'],
        notes,
        [f'look at it: dcn inspect {label}', f'or check it against an experiment file: dcn doctor {label} --cfg YAML'],
    )


def _size_words(found):
    aux = sum(s.name.startswith('aux:') for s in found)
    kinds = ', '.join(sorted({s.dtype or 'empty' for s in found})) or 'nothing'
    values = sum(s.size for s in found) / 1e6
    return f'{len(found)} tensors ({aux} auxiliary states), {values:.3f} million values, {kinds}'


def _foreign(facts, label, shapes, words, converter):
    if converter is None:
        return Report(
            [f'this is {words}'] + facts,
            ['no checkpoint of one of these networks'],
            [],
            [f'look at it: dcn inspect {label}'],
        )
    return Report(
        [f'this is {words}'] + facts,
        ['its names are not those of these networks'],
        [],
        [f'convert it: dcn convert {label} model/pretrained_model/resnet_v1_{_depth(shapes)}-0000.params'],
    )


def _depth(shapes):
    """Depth of a ResNet by the number of its convolutions: 53, 104 or 155, more with what is around it."""
    convolutions = sum(len(shape or ()) == 4 for shape in shapes.values())
    return 152 if convolutions > 150 else 101 if convolutions > 100 else 50


def _prefixes(found, opened):
    wrong = [s.name for s in found if not s.name.startswith(('arg:', 'aux:'))]
    states = [s.name for s in found if s.name.startswith('arg:') and s.name.endswith(('_moving_mean', '_moving_var'))]
    problems = []
    if wrong:
        problems.append(
            f'{len(wrong)} names lack arg: or aux: in front, such as {wrong[0]}; '
            '"dcn convert" writes the file anew with them'
        )
    if states:
        problems.append(f'{len(states)} auxiliary states are stored as arguments, such as {states[0]}')
    return problems


def _known(opened, shapes, facts, finding: Finding, label, problems, notes):
    wrong, right = checks.names_and_shapes(finding.wanted, shapes)
    broken, fine = checks.test_weights(_box_arrays(opened), finding.sizes['K'])
    path, changes = advice.yaml_for(finding)
    steps = advice.lines(path, label, changes, finding.sizes['A'])
    if finding.deformable and not finding.modulated:
        steps.append('with network.deform_rule=v2 if it was trained so: no tensor shows the border rule')
    if any('testing needs them' in problem for problem in broken):
        steps.append(f'add the weights for testing: dcn convert {label} OUT.params --test-weights')
    return Report(_words(finding) + facts, wrong + problems + broken, right + fine + notes, steps)


def _words(finding):
    sizes, table = finding.sizes, finding.table
    facts = [f'this is {table.symbol} ({_FAMILIES[table.family]}) on {finding.backbone.words}']
    layers = (
        f'deformable convolutions in {", ".join(finding.deformable)}, {finding.groups} groups'
        + (' with masks' if finding.modulated else '')
        if finding.deformable
        else 'plain convolutions'
    )
    if table.family != 'deeplab':
        side = round((sizes['P2'] or 0) ** 0.5)
        layers += f', {finding.pooling.replace("integer", "plain")} pooling in {side} x {side} bins'
    classes = f'{sizes["C"] or "unknown"} classes' + ('' if table.family == 'deeplab' else ' with the background')
    if table.family != 'deeplab':
        classes += f', {sizes["A"] or "unknown"} anchors a cell, boxes ' + (
            'for all classes alike' if sizes['K'] == 2 and sizes['C'] != 2 else 'for each class'
        )
    return facts + [layers, classes]


_FAMILIES = {'rfcn': 'R-FCN', 'faster_rcnn': 'Faster R-CNN', 'fpn': 'FPN', 'deeplab': 'DeepLab'}


def _classifier(shapes, facts, backbone, label, problems, notes):
    args, auxs = backbone.shapes()
    wrong, right = checks.names_and_shapes({**args, **auxs}, shapes)
    facts = [f'this is the backbone of these networks alone, {backbone.words}, as ImageNet training leaves it'] + facts
    if len(backbone.blocks) < 4:
        wrong.append(f'only stages up to res{1 + len(backbone.blocks)} are there; expected up to res5')
    return Report(facts, wrong + problems, right + notes, advice.pretrained_lines(label, backbone))


def _box_arrays(opened):
    names = [
        f'{layer}_{kind}{test}' for layer in checks.BOX_LAYERS for kind in ('weight', 'bias') for test in ('', '_test')
    ]
    arrays = {name: opened[f'arg:{name}'].array() for name in names if f'arg:{name}' in opened}
    return {name: array for name, array in arrays.items() if not isinstance(array, SparseArray)}


def _against(opened, found, shapes, facts, finding, label, cfg, overrides):
    """The Report on a checkpoint that should be of the network of a YAML file."""
    from dcn.config import load_config

    config = load_config(cfg, overrides)
    source = build(cfg, 'test', '', overrides)
    network = describe(source.graph, cfg, source.shapes)
    wanted = {p.name: p.shape for p in network.parameters()}
    wrong, right = checks.names_and_shapes(wanted, shapes)
    problems, notes = checks.values(found)
    classes = 2 if config.CLASS_AGNOSTIC else config.dataset.NUM_CLASSES
    broken, fine = checks.test_weights(
        _box_arrays(opened),
        classes,
        tuple(config.TRAIN.get('BBOX_STDS', ())) or checks.DEFAULT_STDS,
        tuple(config.TRAIN.get('BBOX_MEANS', ())) or checks.DEFAULT_MEANS,
    )
    facts = [f'checked against {cfg} ({config.symbol})'] + (_words(finding) if finding and wrong else []) + facts
    steps = advice.lines(os.path.relpath(cfg) if os.path.isabs(cfg) else cfg, label, list(overrides))
    if wrong and finding is not None:
        path, changes = advice.yaml_for(finding)
        steps = [f'it fits {path}' + (f' with --set {" ".join(changes)}' if changes else '') + ' better']
    return Report(facts, wrong + problems + _prefixes(found, opened) + broken, right + fine + notes, steps)


def report_lines(label, report):
    lines = [label, ''] + [f'  {fact}' for fact in report.facts] + ['']
    lines += [f'  wrong: {problem}' for problem in report.problems]
    lines += [f'  ok:    {note}' if _praises(note) else f'  note:  {note}' for note in report.notes]
    return lines + ['', 'what to do'] + [f'  {step}' for step in report.steps]


def _praises(note):
    return note.startswith(('all ', 'weights for testing')) and 'zero' not in note


if __name__ == '__main__':
    sys.exit(guarded(main))
