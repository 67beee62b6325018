"""``dcn export``: a checkpoint as a file for ONNX Runtime or OpenVINO, with a certificate of what it computes."""

import argparse
import os
import time
from typing import Optional, Sequence

from dcn.cli.arguments import positive, score
from dcn.config.overriding import override_argument
from dcn.errors import UserError
from dcn.export.runtime import PACKAGES, Runtime, certificate_paths, runtime_python, to_openvino
from dcn.files import Inputs, atomic_write
from dcn.paths import find
from dcn.text import Parser

EXAMPLE = """
example:
  dcn export --cfg experiments/rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem.yaml \\
      --params experiments/rfcn/shapes/shapes_rfcn_dcn-0000.params --preprocessing inside --peers DIR shapes.onnx

docs/export.md shows how the file is used, in ten lines."""


_ENDINGS = {'onnx': '.onnx', 'openvino': '.xml'}


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parser().parse_args(argv)
    _check(args)
    from dcn.export import certificate
    from dcn.export.model import onnx_model, options_for
    from dcn.export.trained import open_trained

    start = time.time()
    options = options_for(
        PACKAGES[_ENDINGS[args.to]],
        stage=args.stage,
        size=tuple(args.size) if args.size else None,
        preprocessing=args.preprocessing == 'inside',
        threshold=args.threshold,
        half=args.half,
        opset=args.opset,
    )
    trained = open_trained(args.cfg, args.params, args.overrides)
    model = onnx_model(trained, options)
    if args.to == 'openvino':
        to_openvino(model, args.out, args.half, args.peers)
    else:
        with atomic_write(args.out) as stream:
            stream.write(model.SerializeToString())
    files = _files(args.out)
    size = sum(map(os.path.getsize, files)) / 1e6
    print(f'{" and ".join(files)}: {size:.1f} MB, in {time.time() - start:.1f} s')
    try:
        runtime_python(PACKAGES[_ENDINGS[args.to]], args.peers)
    except UserError as error:
        if args.peers:
            raise
        print(f'no certificate: {error}')
        return
    with Runtime(args.out, args.peers, args.threads) as runtime:
        found = certificate.compare(runtime, trained, args.params, args.images)
    paths = certificate.write(args.out, found)
    print(certificate.table(found).split('\n\n')[0])
    print(f'certificate: {", ".join(paths)}')
    if not found['equal'] and not args.force:
        for path in files:
            os.remove(path)
        raise certificate.differing(args.out, found)


def _files(path):
    """The files that belong to the export ``path``."""
    return [path] if path.endswith('.onnx') else [path, os.path.splitext(path)[0] + '.bin']


def parser() -> argparse.ArgumentParser:
    result = Parser(
        prog='dcn export',
        description='Write a trained network as a file of standard operations that stock ONNX Runtime or OpenVINO '
        'runs, without MXNet and without this project. Then run both on the same images and write a certificate of the '
        'comparison.',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add('out', metavar='OUT', help='the file to write, NAME.onnx or NAME.xml')
    add('--cfg', required=True, metavar='YAML', help='experiment file of the network')
    add('--params', required=True, metavar='FILE', help='its checkpoint PREFIX-NNNN.params')
    add('--to', choices=sorted(_ENDINGS), default='onnx', help='format (default %(default)s)')
    add(
        '--stage',
        choices=('boxes', 'network'),
        default='boxes',
        help='what comes out: boxes, scores and classes after NMS (for segmentation the class of each pixel), or the '
        "network's own outputs (default %(default)s)",
    )
    add(
        '--preprocessing',
        choices=('inside', 'outside'),
        default='outside',
        help='what goes in: a photo, uint8 (h, w, 3) BGR, or data and im_info as the network reads them '
        '(default %(default)s)',
    )
    sizes = result.add_mutually_exclusive_group()
    sizes.add_argument('--size', nargs=2, type=positive, metavar=('H', 'W'), help='accept inputs of this size only')
    sizes.add_argument('--dynamic', action='store_true', help='accept inputs of any size (the default)')
    add('--threshold', type=score, default=1e-3, metavar='S', help='drop boxes up to this score (default %(default)s)')
    add('--half', action='store_true', help='store the parameters in half precision, which halves the file')
    add('--opset', type=int, default=19, help='version of the ONNX operations (default %(default)s)')
    verification_arguments(result)
    override_argument(result)
    return result


def verification_arguments(result: argparse.ArgumentParser) -> None:
    """How the file is checked: shared with ``dcn verify``."""
    add = result.add_argument
    add(
        '--peers',
        metavar='DIR',
        help='folder with an environment that holds the runtime (lib/dcn/peers.py makes one; default: this Python)',
    )
    add('--images', type=positive, default=20, metavar='N', help='images to compare (default %(default)s)')
    add('--threads', type=positive, default=1, metavar='N', help='threads of the runtime (default %(default)s)')
    add('--force', action='store_true', help='keep the file and exit with status 0 even if its results differ')


def _check(args):
    ending = _ENDINGS[args.to]
    if not args.out.endswith(ending):
        raise UserError(f'{args.out}: expected a name that ends in {ending}, for --to {args.to}; change one of them')
    args.cfg, args.params = find(args.cfg), find(args.params)
    for key, path in (('--cfg', args.cfg), ('--params', args.params)):
        if not os.path.isfile(path):
            raise UserError(f'{key} {path}: no such file; give the path of one')
    inputs = Inputs([args.cfg, args.params])
    inputs.output(args.out, 'OUT')
    for path in (*_files(args.out)[1:], *certificate_paths(args.out)):
        inputs.spare(path)
