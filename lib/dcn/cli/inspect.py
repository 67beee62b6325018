"""``dcn inspect``: a network or a checkpoint as a person wants to see it."""

import argparse
import json
import sys
from typing import Dict, Optional, Sequence, Tuple

from dcn.cli import guarded
from dcn.config.overriding import override_argument
from dcn.errors import UserError
from dcn.files import Inputs
from dcn.inspection.checkpoint.tensors import statistics
from dcn.inspection.graph.network import describe
from dcn.inspection.render import report
from dcn.inspection.render.dot import dot
from dcn.inspection.render.page import write_page
from dcn.inspection.shape_inference import free_inputs
from dcn.inspection.sources import PARTS, Source, open_source, symbol_beside
from dcn.paths import find
from dcn.text import Parser, printable


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parser().parse_args(argv)
    if args.offsets and not args.html:
        raise UserError('--offsets needs --html PAGE: the page whose layers are linked to what was measured')
    if args.html:
        what = find(args.what)
        Inputs([what, symbol_beside(what), args.offsets]).output(args.html, '--html')
    source = open_source(args.what, 'train' if args.train else 'test', args.part, args.overrides)
    if source.params is not None:
        return inspect_checkpoint(source, args)
    return inspect_graph(source, args)


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn inspect',
        description='Show a network (layers, shapes, parameters, multiply-adds, receptive fields) or a checkpoint '
        '(statistics of every tensor). Files are read without MXNet; no code in them is run.',
        epilog='examples: dcn inspect model/rfcn_dcn_coco-0000.params\n'
        '          dcn inspect experiments/rfcn/cfgs/deform_conv_demo.yaml --html network.html',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        'what',
        metavar='FILE',
        help='a .params file, a symbol JSON, a YAML file, or the name of a symbol such as resnet_v1_101_rfcn_dcn',
    )
    made.add_argument(
        '--shape',
        action='append',
        default=[],
        metavar='NAME=SIZES',
        help="shape of an input, such as data=1,3,600,1000 (default: the YAML file's image size)",
    )
    made.add_argument('--all', action='store_true', help='list every operator instead of folding blocks')
    made.add_argument('--json', action='store_true', help='print everything as JSON')
    made.add_argument('--html', metavar='PAGE', help='write a web page with a foldable, searchable graph')
    made.add_argument(
        '--offsets',
        metavar='PAGE',
        help='with --html: link each deformable layer to what was measured of it, in a page that dcn offsets wrote',
    )
    made.add_argument('--dot', action='store_true', help='print a Graphviz graph: dcn inspect FILE --dot | dot -Tsvg')
    build_arguments(made)
    return made


def build_arguments(made: argparse.ArgumentParser) -> None:
    """The options that choose one of a YAML file's graphs."""
    made.add_argument('--train', action='store_true', help="a YAML file's training graph instead of its test graph")
    made.add_argument(
        '--part',
        choices=[part for part in PARTS if part],
        default='',
        help='a sub-graph of alternate training: '
        + ', '.join(f'{part} ({text})' for part, text in PARTS.items() if part),
    )
    override_argument(made)


def inspect_graph(source: Source, args: argparse.Namespace) -> None:
    network = describe(source.graph, source.label, graph_shapes(source, args.shape))
    if args.html:
        write_page(args.html, network, offsets=args.offsets)
        print(f'{args.html}: open it in a browser', file=sys.stderr)
    if args.json:
        print(json.dumps(report.network_json(network), indent=1))
    elif args.dot:
        print(dot(network))
    elif not args.html:
        print('\n'.join(map(printable, report.network_lines(network, args.all))))


def inspect_checkpoint(source: Source, args: argparse.Namespace) -> None:
    if args.dot or (args.html and not symbol_beside(source.label)):
        raise UserError(
            f'{source.label}: expected a graph for --html or --dot, found a checkpoint without its '
            'PREFIX-symbol.json beside it; give a symbol JSON or a YAML file'
        )
    found = [statistics(entry) for entry in source.params]
    if args.html:
        graph = open_source(symbol_beside(source.label))
        network = describe(graph.graph, source.label, graph_shapes(graph, args.shape))
        write_page(args.html, network, {s.name.split(':', 1)[-1]: s for s in found}, args.offsets)
        print(f'{args.html}: open it in a browser', file=sys.stderr)
    if args.json:
        print(json.dumps(report.tensors_json(source.label, found), indent=1))
    elif not args.html:
        print('\n'.join(map(printable, report.tensor_lines(source.label, found))))


def graph_shapes(source: Source, texts: Sequence[str]) -> Dict[str, Tuple[int, ...]]:
    """The shapes that the source knows, with those of --shape in their place; a larger image changes data alone."""
    shapes = dict(source.shapes)
    inputs = free_inputs(source.graph)
    for text in texts:
        for part in text.split(';'):
            name, equals, sizes = part.partition('=')
            try:
                shape = tuple(int(size) for size in sizes.replace('x', ',').split(',') if size.strip())
            except ValueError:
                shape = ()
            if not (equals and shape) or min(shape) < 1:
                raise UserError(f'--shape {text}: expected NAME=SIZES, such as data=1,3,600,1000, found {part!r}')
            if name.strip() not in inputs:
                raise UserError(
                    f'--shape {text}: expected an input of the graph ({", ".join(inputs)}), found {name.strip()!r}'
                )
            shapes[name.strip()] = shape
    return shapes


if __name__ == '__main__':
    sys.exit(guarded(main))
