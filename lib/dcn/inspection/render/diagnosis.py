"""What ``dcn doctor`` prints, and its --json: a sentence for each code of :mod:`dcn.inspection.checkpoint.findings`."""

import json
import shlex
from typing import Any, Dict, Iterable, List, Mapping

from dcn.config.families import FAMILIES
from dcn.inspection.checkpoint.findings import FACT, NOTE, OK, STEP, WRONG, Finding, Report
from dcn.text import names_text, shape_text

_MARKS = {WRONG: 'wrong:', OK: 'ok:   ', NOTE: 'note: '}


def sentence(finding: Finding) -> str:
    """The sentence of a Finding, without a full stop."""
    made = _SENTENCES[finding.code]
    # paths stand in commands
    data = {
        key: shlex.quote(value) if key in ('cfg', 'params', 'target') else value for key, value in finding.data.items()
    }
    return made.format(**data) if isinstance(made, str) else made(data)


def report_lines(label: str, report: Report) -> List[str]:
    """A Report for a terminal."""
    lines = [label, ''] + [f'  {sentence(finding)}' for finding in report.of(FACT)] + ['']
    judged = sorted(report.of(WRONG, OK, NOTE), key=lambda finding: finding.level != WRONG)
    lines += [f'  {_MARKS[finding.level]} {sentence(finding)}' for finding in judged]
    return lines + ['', 'what to do'] + [f'  {sentence(finding)}' for finding in report.of(STEP)]


def report_json(report: Report) -> str:
    """The same for programs: facts, problems, notes (level ok or note) and steps, each with code, data, sentence."""
    groups = {'facts': report.of(FACT), 'problems': report.of(WRONG), 'notes': report.of(OK, NOTE)}
    groups['steps'] = report.of(STEP)
    return json.dumps({name: [_plain(finding) for finding in found] for name, found in groups.items()}, indent=1)


def _plain(finding: Finding) -> Dict[str, Any]:
    return {**finding._asdict(), 'sentence': sentence(finding)}


def _factors(numbers: Iterable[float]) -> str:
    return '(' + ', '.join(f'{number:.3g}' for number in numbers) + ')'


def _settings(data: Mapping[str, Any]) -> str:
    return f' --set {" ".join(map(shlex.quote, data["set"]))}' if data['set'] else ''


def _backbone(data: Mapping[str, Any]) -> str:
    if data['depth']:
        return f'ResNet-{data["depth"]}'
    return f'a ResNet of its own sizes, blocks {data["blocks"]}, widths {data["widths"]}'


def _layers(data: Mapping[str, Any]) -> str:
    text = 'plain convolutions'
    if data['deformable']:
        masks = ' with masks' if data['modulated'] else ''
        text = f'deformable convolutions in {", ".join(data["deformable"])}, {data["groups"]} groups{masks}'
    if data['pooling'] is None:
        return text
    return f'{text}, {data["pooling"].replace("integer", "plain")} pooling in {data["bins"]} x {data["bins"]} bins'


def _classes(data: Mapping[str, Any]) -> str:
    text = f'{data["classes"] or "unknown"} classes' + (' with the background' if data['background'] else '')
    if data['agnostic'] is None:
        return text
    boxes = 'for all classes alike' if data['agnostic'] else 'for each class'
    return f'{text}, {data["anchors"] or "unknown"} anchors per cell, boxes {boxes}'


def _extra(data: Mapping[str, Any]) -> str:
    return f'{len(data["names"])} tensors that the network does not use, which do no harm: {names_text(data["names"])}'


def _anchors(data: Mapping[str, Any]) -> str:
    usual = ', often scales [2, 4, 8, 16, 32] at three ratios' if data['anchors'] == 15 else ''
    return (
        f'the anchors are a guess: the checkpoint records only that they are {data["anchors"]}{usual}; set '
        'network.ANCHOR_SCALES and network.ANCHOR_RATIOS as in training'
    )


def _pretrained(data: Mapping[str, Any]) -> str:
    prefix = f'./model/pretrained_model/resnet_v1_{data["depth"] or "N"}'
    keys = f', with --set network.depth={data["depth"]} network.pretrained={prefix}'
    return (
        f'copy it to {prefix[2:]}-0000.params: training starts from it (network.pretrained: {prefix})'
        f'{"" if data["depth"] in (101, None) else keys}'
    )


_STRANGERS = {
    'training-state': 'a training state of this project (PREFIX-NNNN.state); the parameters are in the .params file '
    'beside it',
    'gluon-numbered': 'a Gluon network saved by save_parameters (numbered layers)',
    'gluon-names': 'a Gluon ResNet, or a network around one, with its full names',
    'gluon-letter': 'a Gluon ResNet of version 1b to 1s with its full names, whose numbers do not tell the layers; '
    'save it with net.save_parameters()',
    'gluon-other': 'another Gluon network',
    'torchvision': "a ResNet with torchvision's names",
    'mxnet-resnet-v2': "MXNet's own example ResNet (pre-activation, version 2), whose layers stand in another order "
    'than here; no conversion is possible',
    'vgg': 'a VGG network, or one on a VGG backbone',
    'fcis': 'FCIS (Li et al., CVPR 2017: instance masks), a sister of R-FCN',
    'flow-guided-feature-aggregation': 'Flow-Guided Feature Aggregation (Zhu et al., ICCV 2017): R-FCN for video, with '
    'FlowNet and an embedding network',
    'deep-feature-flow': 'Deep Feature Flow (Zhu et al., CVPR 2017): R-FCN for video, with FlowNet',
    'rfcn-with-flow': 'an R-FCN for video with FlowNet layers, as in Deep Feature Flow',
    'relation-networks': 'Relation Networks (Hu et al., CVPR 2018): Faster R-CNN whose RoIs attend to each other',
    'video-rfcn': 'the R-FCN of single frames that comes with Deep Feature Flow (feat_conv_3x3 instead of conv_new_1)',
    'flownet': 'FlowNet (Dosovitskiy et al., ICCV 2015), optical flow',
}
_SENTENCES: Dict[str, Any] = {
    # what the file is
    'size': lambda d: (
        f'{d["tensors"]} tensors ({d["auxiliary"]} auxiliary states), {d["values"] / 1e6:.3f} million values, '
        f'{", ".join(d["dtypes"]) or "nothing"}'
    ),
    'network': lambda d: f'this is {d["symbol"]} ({FAMILIES[d["family"]].title}) on {_backbone(d)}',
    'layers': _layers,
    'classes': _classes,
    'backbone': lambda d: (
        f'this is the backbone of these networks alone, {_backbone(d)}, as ImageNet training leaves it'
    ),
    'stranger': lambda d: f'this is {_STRANGERS[d["kind"]]}',
    'checked-against': 'checked against {cfg} ({symbol})',
    # what is wrong
    'no-names': 'its tensors have no names: no network can be recognised',
    'strange-network': 'no checkpoint of one of these networks',
    'strange-names': 'its names are not those of these networks',
    'unknown-network': 'an unknown network: its names fit none of those known here',
    'missing': lambda d: f'{len(d["names"])} of {d["wanted"]} parameters are missing: {names_text(d["names"])}',
    'shape': lambda d: f'{d["name"]}: expected shape {shape_text(d["expected"])}, found {shape_text(d["found"])}',
    'no-prefix': lambda d: (
        f'{len(d["names"])} names lack arg: or aux: in front, such as {d["names"][0]}; "dcn convert" writes the file '
        'anew with them'
    ),
    'states-as-arguments': lambda d: (
        f'{len(d["names"])} auxiliary states are stored as arguments, such as {d["names"][0]}'
    ),
    'stages-missing': 'only stages up to res{last} are there; expected up to res5',
    'not-finite': '{name}: {nan} NaN and {infinite} infinite values; training diverged or the file is damaged',
    'negative-variance': '{name}: a variance of {low:.3g}; expected none below 0',
    'huge': '{name}: values up to {largest:.3g}; expected below a million',
    'constant-weights': lambda d: (
        f'{len(d["names"])} weights have one value everywhere: {names_text(d["names"])}; they were never set'
    ),
    'untrained-statistics': 'every batch norm has mean variance 1, as before training: the backbone was never trained, '
    'or its auxiliary states were lost',
    'no-test-weights': lambda d: (
        f'no {" and ".join(d["names"])}: testing needs them, and box corrections without them are '
        f'{d["factors"][0]:g} to {d["factors"][1]:g} times too large'
    ),
    'box-rows': '{name}: expected a multiple of 4 x {classes} values, found {found}',
    'test-weights-unrelated': lambda d: (
        f'{d["name"]} is no multiple of {d["of"]}: expected weights x {_factors(d["stds"])}; they come from different '
        'epochs, or layers were exchanged'
    ),
    'test-weights-scale': lambda d: (
        f'{d["name"]}: expected weights x {_factors(d["stds"])}, found weights x {_factors(d["found"])}; was it '
        'trained with other TRAIN.BBOX_STDS?'
    ),
    # what is right, or worth knowing
    'complete': 'all {wanted} parameters are there, with the right shapes',
    'extra': _extra,
    'test-weights': lambda d: f'weights for testing are there and right: {d["name"]} = weights x {_factors(d["stds"])}',
    'all-offsets-zero': 'all offset layers are zero: deformable layers act as plain ones until they are trained',
    'offsets-zero': lambda d: f'offset layers that are zero: {names_text(d["names"])}',
    'dtypes': lambda d: f'element types {", ".join(d["dtypes"])}; the networks compute in float32',
    # what to do
    'experiment': lambda d: (
        f'experiment file: {d["cfg"]}' + ('' if d['installed'] else ' (not part of this installation)')
    ),
    'changes': lambda d: f'with these keys changed: {"  ".join(d["set"])}',
    'anchors': _anchors,
    'strides': 'also set network.strides, RPN_FEAT_STRIDE and RCNN_FEAT_STRIDE as in training: the checkpoint does '
    'not record them',
    'detect': lambda d: f'detect on a photo: dcn detect PHOTO --cfg {d["cfg"]} --params {d["params"]}{_settings(d)}',
    'segment': lambda d: f'segment an image: dcn segment IMAGE --cfg {d["cfg"]} --params {d["params"]}{_settings(d)}',
    'test': lambda d: f'test it on the data set: dcn test --cfg {d["cfg"]} --params {d["params"]}{_settings(d)}',
    'own-data': lambda d: (
        f'train it on data of your own: dcn new DATA --family {d["family"]} --out my.yaml, then '
        f'dcn train --cfg my.yaml --from {d["params"]}'
    ),
    'sampling-rule': 'add network.deform_rule=v2 if it was trained with that sampling rule: the checkpoint does not '
    'record it',
    'earlier-checkpoint': 'take an earlier checkpoint, or train again: these values give no sensible results',
    'repair': lambda d: (
        f'repair it: dcn convert {d["params"]} {d["target"]}{" --test-weights" if d["test_weights"] else ""}'
    ),
    'train-from': lambda d: (
        f'keep what fits and train the rest anew: dcn train --cfg {d["cfg"]} --from {d["params"]}{_settings(d)}'
    ),
    'fits-better': lambda d: f'it fits {d["cfg"]}{_settings(d)} better',
    'inspect': 'look at it: dcn inspect {params}',
    'against': 'or check it against an experiment file: dcn doctor {params} --cfg YAML',
    'save-with-names': 'save it again from a dictionary, with names such as arg:conv1_weight',
    'convert-backbone': 'convert it: dcn convert {params} model/pretrained_model/resnet_v1_{depth}-0000.params',
    'pretrained': _pretrained,
    'train': 'train: dcn train --cfg {cfg}',
}
