"""`dcn new`: an experiment file for somebody's own data."""

from __future__ import annotations

import os
from typing import Any, Sequence

import numpy as np
import yaml

from dcn.cli.validate import lines
from dcn.config import load_config
from dcn.dataset.survey import LAYOUTS, Survey, fitting_anchors, fitting_epochs, fitting_scale, survey
from dcn.errors import UserError
from dcn.files import atomic_write, require_file
from dcn.paths import EXPERIMENTS
from dcn.text import Parser, printable

# family -> the paper's deformable network of it, whose settings are the beginning
TEMPLATES = {
    'rfcn': 'resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml',
    'faster_rcnn': 'resnet_v1_101_voc0712_rcnn_dcn_end2end.yaml',
    'fpn': 'resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem.single_scale.yaml',
    'deeplab': 'deeplab_resnet_v1_101_voc12_segmentation_dcn.yaml',
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(
        prog='dcn new',
        description='Look at your own data and write an experiment file for it: classes, image sizes, anchors and '
        "epochs that fit, the rest as in the paper's deformable network of the family.",
    )
    parser.add_argument('data', metavar='DATA', help='folder with VOC<year>/... or annotations/instances_*.json')
    parser.add_argument('--classes', metavar='A,B', help='class names (default: those of the annotations)')
    parser.add_argument('--layout', choices=LAYOUTS, help='layout of DATA (default: recognised)')
    parser.add_argument('--family', choices=list(TEMPLATES), help='family (default: rfcn; deeplab for label maps)')
    parser.add_argument('--out', metavar='YAML', help='file to write (default: FOLDER.yaml, here)')
    args = parser.parse_args(argv)
    out = args.out or os.path.basename(os.path.abspath(args.data)) + '.yaml'
    if os.path.exists(out):
        raise UserError(f'{out}: exists already; give another name with --out, or remove it.')
    require_file(out, '--out')
    classes = [name.strip() for name in args.classes.split(',') if name.strip()] if args.classes else None
    if args.family == 'deeplab' and not args.layout:
        args.layout = 'segmentation'
    found = survey(args.data, args.layout, classes)
    family = args.family or ('deeplab' if found.layout == 'segmentation' else 'rfcn')
    if (family == 'deeplab') != (found.layout == 'segmentation'):
        raise UserError(f'--family {family} does not learn from the layout {found.layout}; leave out --family.')
    with atomic_write(out, 'w') as stream:
        stream.write(experiment(found, family, os.path.splitext(os.path.basename(out))[0]))
    load_config(out)  # that it can be read is checked here, not by the user
    print('\n'.join(printable(line) for line in lines(found.statistics)))
    print(f'written: {printable(out)}; next: dcn validate --cfg {out}, then dcn train --cfg {out}')
    print('Training starts from the ImageNet model that network.pretrained names; --from FILE fine-tunes a checkpoint.')
    return 0


def experiment(found: Survey, family: str, name: str) -> str:
    """The text of the experiment file."""
    path = EXPERIMENTS / family / 'cfgs' / TEMPLATES[family]
    base, statistics = load_config(str(path)), found.statistics
    images = len(statistics.sizes)
    short, longest = fitting_scale(statistics.sizes, statistics.shapes, base.SCALES[0])
    epochs = fitting_epochs(images)
    medians = ' x '.join(f'{value:.0f}' for value in np.median(statistics.sizes, axis=0))
    changes: dict[str, tuple[Any, str]] = {
        'output_path': ('./output', 'logs, checkpoints and results go below'),
        'gpus': ('0', 'numbers such as 0,1, or empty for the CPU; gradients of several add up'),
        'SCALES': ([short, longest], f'short side, longest side in pixels; your images: {medians}, the median'),
        'TRAIN.model_prefix': (name, 'first part of the names of checkpoints'),
        'TRAIN.end_epoch': (epochs, f'{images} images; each epoch sees them twice, once flipped'),
        'TRAIN.lr_step': (f'{0.7 * epochs:g}', 'the learning rate drops after as many epochs'),
        'TRAIN.warmup_step': (min(1000, 2 * images), 'iterations'),
        'TEST.test_epoch': (epochs, ''),
    }
    changes.update({f'dataset.{key}': (value, '') for key, value in found.section.items()})
    changes['dataset.CLASSES'] = found.section['CLASSES'], 'in the order of their numbers'
    if found.section['image_set'] == found.section['test_image_set']:
        changes['dataset.test_image_set'] = (
            found.section['test_image_set'],
            'the training set, as there is no other yet',
        )
    if len(statistics.shapes):
        stride = base.network.RPN_FEAT_STRIDE
        scale = short / float(np.median(statistics.sizes.min(axis=1)))
        scales, ratios = fitting_anchors(statistics.shapes, scale, stride if isinstance(stride, int) else 16)
        if not isinstance(stride, int):
            scales = [8]  # each level has anchors of a size of its own
        changes['network.ANCHOR_SCALES'] = scales, 'sides of anchors, in strides, around nine tenths of your boxes'
        changes['network.ANCHOR_RATIOS'] = ratios, 'height over width'
        changes['network.NUM_ANCHORS'] = len(scales) * len(ratios), 'scales times ratios'
    classes = ', '.join(found.section['CLASSES'])
    title = f'# {name}: {images} training images, classes {classes}. Written by dcn new.'
    lines_of_template = path.read_text(encoding='utf-8').splitlines()
    text = '\n'.join(line for line in lines_of_template if not line.startswith(('#', '  # schedule')))
    return printable(title) + '\n' + rewritten(text, changes)


def rewritten(text: str, changes: dict[str, tuple[Any, str]]) -> str:
    """A YAML ``text`` of the project with the values and comments of ``changes``; keys it lacks join their section."""
    left, section, result = dict(changes), '', []
    for line in [*text.splitlines(), 'END:']:
        word = line.split(':')[0]
        if line and not line.startswith((' ', '#')):
            while result and not result[-1]:
                result.pop()
            for name in [name for name in left if section and name.startswith(section + '.')]:
                result.append(_row(name, *left.pop(name)))
            section = word if line.rstrip().endswith(':') else ''
            if section and section != 'END':
                result.append('')
        name = f'{section}.{word.strip()}' if line.startswith(' ') else word.strip()
        result.append(_row(name, *left.pop(name)) if name in left else line)
    return '\n'.join(result[:-1]) + '\n'


def _row(name, value, comment):
    indent = '  ' if '.' in name else ''
    shown = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).strip()
    shown = shown[: -len('\n...')] if shown.endswith('\n...') else shown
    row = f'{indent}{name.rpartition(".")[2]}: {shown}'
    return f'{row:35s} # {comment}' if comment else row
