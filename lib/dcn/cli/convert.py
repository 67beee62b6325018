"""``dcn convert``: bring weights from elsewhere, change the file format, or fit a checkpoint to a related network."""

import argparse
import os
import sys
from typing import Optional, Sequence

from dcn.cli import guarded
from dcn.config.overriding import override_argument
from dcn.convert import containers, fitting, torchvision
from dcn.errors import UserError
from dcn.files import Inputs
from dcn.text import Parser, printable


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parser().parse_args(argv)
    if os.path.splitext(args.target)[1].lower() not in containers.ENDINGS:
        raise UserError(
            f'{args.target}: expected a name that ends in {", ".join(containers.ENDINGS)}, found '
            f'{os.path.basename(args.target)!r}; the ending says which format to write'
        )
    if args.names and args.target.lower().endswith('.params'):
        raise UserError(
            f'--names {args.names}: expected a file that PyTorch reads, .safetensors or .npz, found {args.target}; '
            'choose another ending'
        )
    Inputs([args.source, args.cfg]).output(args.target, 'OUT')
    arrays, notes = fitting.read_network(args.source)
    arrays = fitting.prefixed(arrays) if args.target.endswith('.params') or args.cfg else arrays
    if args.cfg:
        arrays, more = fitting.fit_to(arrays, args.cfg, args.overrides)
        notes += more
    if args.test_weights:
        arrays, more = fitting.with_test_weights(arrays, args.cfg, args.overrides)
        notes += more
    if args.names:
        arrays, more = RENAMED[args.names](arrays)
        notes += more
    scalars = [name for name, array in arrays.items() if not array.ndim] if args.target.endswith('.params') else []
    if scalars:
        arrays = {name: array.reshape(array.shape or 1) for name, array in arrays.items()}
        notes.append(
            f'{len(scalars)} scalars became arrays of one value, as .params holds no others: {scalars[0]}, ...'
        )
    containers.write(args.target, arrays)
    lines = [f'{args.target}: {len(arrays)} tensors'] + [f'  {note}' for note in notes]
    print('\n'.join(map(printable, lines)))


# what gives (arrays, sentences)
RENAMED = {'mxnet': lambda arrays: (fitting.without_prefixes(arrays), []), 'torchvision': torchvision.to_torchvision}


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn convert',
        description='Turn a ResNet of Gluon (resnet50_v1, 101, 152), torchvision or Caffe into the ImageNet model that '
        'network.pretrained names. Change the file format: IN is .params, .safetensors, .npz or PyTorch (.pth: '
        'tensors only, no code in it is run); OUT is any of them but PyTorch, by its ending. With --cfg, fit a '
        'checkpoint to a related network: what fits is kept, new offset layers start at zero, so a deformable network '
        'starts as the plain one.',
        epilog='examples: dcn convert resnet101_v1.params model/pretrained_model/resnet_v1_101-0000.params\n'
        '          dcn convert rfcn_coco-0008.params resnet101.safetensors --names torchvision\n'
        '          dcn convert rfcn_voc-0007.params start-0000.params --cfg '
        'experiments/rfcn/cfgs/resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem.yaml',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument('source', metavar='IN')
    made.add_argument('target', metavar='OUT', help='ends in .params, .safetensors or .npz')
    made.add_argument('--cfg', metavar='YAML', help='fit the checkpoint to the network of this experiment file')
    override_argument(made)
    made.add_argument(
        '--test-weights',
        action='store_true',
        help='add or replace the *_test weights (box layer times TRAIN.BBOX_STDS)',
    )
    made.add_argument(
        '--names',
        choices=sorted(RENAMED),
        help="names for a PyTorch state_dict: mxnet, the network's own without arg: and aux:, as dcn.torch has them; "
        "torchvision, where the ResNet is plain, those of torchvision's ResNets and of its backbone with a pyramid",
    )
    return made


if __name__ == '__main__':
    sys.exit(guarded(main))
