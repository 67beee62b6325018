"""``dcn convert``: bring weights from elsewhere, change the file format, or fit a checkpoint to a related network."""

import argparse
import os
import sys

from dcn.cli import guarded
from dcn.convert import containers, fitting, resnets
from dcn.errors import UserError
from dcn.inspection.checkpoint import checks
from dcn.inspection.checkpoint.recognise import bare, recognise
from dcn.inspection.graph.network import describe
from dcn.inspection.sources import build

_SHOWN = 6


def main(argv=None):
    args = parser().parse_args(argv)
    if os.path.splitext(args.target)[1].lower() not in containers.ENDINGS:
        raise UserError(
            f'{args.target}: expected a name that ends in {", ".join(containers.ENDINGS)}, found '
            f'{os.path.basename(args.target)!r}; the ending says which format to write'
        )
    if os.path.exists(args.target) and os.path.samefile(args.source, args.target):
        raise UserError(f'{args.target}: expected another name than that of the source, found the same; give a new one')
    arrays = containers.read(args.source)
    kind, notes = resnets.kind_of(arrays), []
    if kind is not None:
        converted = resnets.convert(arrays, kind)
        arrays, notes = converted.arrays, converted.notes
        notes.insert(0, f'ResNet-{converted.depth} with the names of {kind}')
    arrays = _prefixed(arrays) if args.target.endswith('.params') or args.cfg else arrays
    if args.cfg:
        arrays, more = _fit(arrays, args.cfg, args.overrides or ())
        notes += more
    if args.test_weights:
        arrays, more = _with_test_weights(arrays, args.cfg, args.overrides or ())
        notes += more
    containers.write(args.target, arrays)
    print('\n'.join([f'{args.target}: {len(arrays)} tensors'] + [f'  {note}' for note in notes]))


def parser():
    made = argparse.ArgumentParser(
        prog='dcn convert',
        description='Turn a ResNet of Gluon (resnet50_v1, 101, 152), torchvision or Caffe into the file that '
        'network.pretrained wants; change between .params, .safetensors and .npz (by the ending of OUT); '
        'or, with --cfg, fit a checkpoint to a related network: what fits is kept, new offset layers are '
        'zero, so that a deformable network starts as the plain one. Pickles are never opened.',
        epilog='examples: dcn convert resnet101_v1.params model/pretrained_model/resnet_v1_101-0000.params\n'
        '          dcn convert rfcn_voc-0007.params start-0000.params --cfg '
        'experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument('source', metavar='IN')
    made.add_argument('target', metavar='OUT', help='ends in .params, .safetensors or .npz')
    made.add_argument('--cfg', metavar='YAML', help='fit the checkpoint to the network of this experiment file')
    made.add_argument('--set', nargs='+', metavar='KEY=VALUE', dest='overrides', help='change keys of the YAML file')
    made.add_argument(
        '--test-weights',
        action='store_true',
        help='add or renew the weights for testing (box layer times TRAIN.BBOX_STDS)',
    )
    return made


def _prefixed(arrays):
    """Names with arg: or aux: in front."""

    def key(name):
        if name.startswith(('arg:', 'aux:')):
            return name
        return ('aux:' if name.endswith(('_moving_mean', '_moving_var')) else 'arg:') + name

    return {key(name): array for name, array in arrays.items()}


def _fit(arrays, cfg, overrides):
    source = build(cfg, 'test', '', overrides)
    parameters = describe(source.graph, cfg, source.shapes).parameters()
    fitted = fitting.fit(arrays, {p.name: p.shape for p in parameters}, {p.name for p in parameters if p.auxiliary})
    kept = len(parameters) - len(fitted.offsets) - len(fitted.fresh)
    if not kept:
        raise UserError(
            f'{cfg}: expected a checkpoint of a related network, found none of its {len(parameters)} '
            'parameters; "dcn doctor" says what the file is'
        )
    notes = [f'{kept} of {len(parameters)} parameters kept']
    if fitted.offsets:
        notes.append(
            f'{len(fitted.offsets)} offset parameters are zero, so that deformable layers act as plain ones: '
            + _listed(fitted.offsets)
        )
        if any(name.startswith(('rfcn_cls_offset', 'offset')) for name in fitted.offsets):
            notes.append(
                'pooling: with offsets of zero it averages bilinear samples, where the plain network takes '
                'whole cells; scores and boxes differ a little until it is trained'
            )
    if fitted.fresh:
        notes.append(f'{len(fitted.fresh)} start anew: ' + _listed([f'{n} ({why})' for n, why in fitted.fresh.items()]))
    if fitted.dropped:
        notes.append(f'{len(fitted.dropped)} left out: {_listed(fitted.dropped)}')
    return fitted.arrays, notes


def _with_test_weights(arrays, cfg, overrides):
    arrays, stds, means = _prefixed(arrays), checks.DEFAULT_STDS, checks.DEFAULT_MEANS
    if cfg:
        from dcn.config import load_config

        config = load_config(cfg, overrides)
        classes = 2 if config.CLASS_AGNOSTIC else config.dataset.NUM_CLASSES
        stds, means = config.TRAIN.BBOX_STDS, config.TRAIN.BBOX_MEANS
    else:
        finding = recognise(bare({name: array.shape for name, array in arrays.items()}))
        classes = finding.sizes['K'] if finding is not None else None
    added = fitting.test_weights(arrays, classes, stds, means) if classes else {}
    if not added:
        raise UserError(
            '--test-weights: expected a detection network with rfcn_bbox or bbox_pred, found none; leave '
            'the option out, or name its experiment file with --cfg'
        )
    names = ', '.join(name.split(':')[1] for name in added)
    return {**arrays, **added}, [f'{names}: the weights times {tuple(float(std) for std in stds)}']


def _listed(names):
    return ', '.join(names[:_SHOWN]) + (f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else '')


if __name__ == '__main__':
    sys.exit(guarded(main))
