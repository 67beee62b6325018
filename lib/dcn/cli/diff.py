"""``dcn diff``: what differs between two networks or two checkpoints; nothing, and status 0, where they are equal."""

import argparse
import json
import sys
from typing import List, Optional, Sequence

from dcn.cli import guarded
from dcn.cli.inspect import build_arguments, graph_shapes
from dcn.errors import UserError
from dcn.inspection.checkpoint.compare import differences
from dcn.inspection.graph.network import describe
from dcn.inspection.render.differences import checkpoint_lines, checkpoint_summary, graph_lines
from dcn.inspection.shape_inference import free_inputs
from dcn.inspection.sources import Source, open_source
from dcn.text import Parser, printable


def main(argv: Optional[Sequence[str]] = None) -> int:
    args = parser().parse_args(argv)
    one, two = (
        open_source(what, 'train' if args.train else 'test', args.part, args.overrides) for what in (args.one, args.two)
    )
    if (one.graph is None) != (two.graph is None):
        checkpoint = one if one.graph is None else two
        raise UserError(
            f'{checkpoint.label}: expected two networks or two checkpoints, found a checkpoint and a '
            f'network; "dcn doctor {checkpoint.label} --cfg YAML" checks a checkpoint against a network'
        )
    if one.graph is None:
        found = differences(one.params, two.params, args.tolerance)
        lines = checkpoint_lines(found)
        if lines and not args.json:
            print(printable(checkpoint_summary(found, len(one.params))))
    else:
        lines = graph_differences(one, two, args.shape)
    if args.json:
        print(json.dumps(lines, indent=1))
    elif lines:
        print('\n'.join(map(printable, lines)))
    return 1 if lines else 0


def parser() -> argparse.ArgumentParser:
    made = Parser(
        prog='dcn diff',
        description='Compare two networks (symbol JSON, YAML file or symbol name; nodes are paired by name and by '
        'topology) or two checkpoints. "<" is only in the first, ">" only in the second. If they '
        'are equal it prints nothing and exits with status 0, else with 1. For checkpoints a summary comes first.',
        epilog='example: dcn diff resnet_v1_101_rfcn resnet_v1_101_rfcn_dcn',
    )
    made.add_argument('one', metavar='A')
    made.add_argument('two', metavar='B')
    made.add_argument(
        '--shape',
        action='append',
        default=[],
        metavar='NAME=SIZES',
        help='shape of an input of both networks (default: those of A)',
    )
    made.add_argument(
        '--tolerance',
        type=float,
        default=0.0,
        metavar='X',
        help='checkpoint values that differ by at most X count as equal (default 0)',
    )
    made.add_argument('--json', action='store_true', help='print the lines as a JSON list')
    build_arguments(made)
    return made


def graph_differences(one: Source, two: Source, shape_texts: Sequence[str] = ()) -> List[str]:
    """Lines on what differs between two Sources of graphs. Both see the same image: its size belongs to no graph."""
    shapes = graph_shapes(one, shape_texts)
    common = set(free_inputs(two.graph))
    first = describe(one.graph, one.label, shapes)
    given = {
        name: shape
        for name, shape in {**two.shapes, **first.inputs, **shapes}.items()
        if name in ('data', 'im_info', 'gt_boxes', 'rois', *shapes) and name in common and shape is not None
    }
    return graph_lines(first, describe(two.graph, two.label, given))


if __name__ == '__main__':
    sys.exit(guarded(main))
