"""The options --set KEY=VALUE... and their short forms, the same for every command.

All of them gather in ``overrides``: 'KEY=VALUE' strings for load_config.
"""

import argparse

from dcn.errors import UserError


def override_argument(parser):
    """Add --set."""
    parser.add_argument(
        '--set',
        action=_Extend,
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        dest='overrides',
        help='change keys of the experiment file, such as TRAIN.lr=0.001 (after file names)',
    )


def graph_argument(parser):
    """Add --plain-graph, the short form of engine.rewrite."""
    parser.add_argument(
        '--plain-graph',
        action=_PlainGraph,
        nargs=0,
        dest='overrides',
        help='run the graph exactly as published instead of the faster equivalent '
        '(engine.rewrite: false in the experiment file)',
    )


def engine_arguments(parser):
    """Add --engine and --bfloat16, the short forms of engine.name and engine.bfloat16."""
    parser.add_argument(
        '--engine',
        action=_Engine,
        choices=('mxnet', 'torch'),
        dest='overrides',
        help='run the networks by MXNet (default) or by PyTorch, which knows the GPUs of today',
    )
    parser.add_argument(
        '--bfloat16',
        action=_Bfloat16,
        nargs=0,
        dest='overrides',
        help='PyTorch: layers multiply in bfloat16; positions, losses and parameters stay in float32',
    )


def detection_arguments(parser):
    """Add --test-scales and --soft-nms, the short forms of detection's own keys."""
    parser.add_argument(
        '--test-scales',
        action=_TestScales,
        nargs='+',
        dest='overrides',
        metavar='SHORT,LONGEST',
        help='test at each of these sizes in pixels and merge the detections, such as 480,800 576,900 '
        '(after file names)',
    )
    parser.add_argument(
        '--soft-nms',
        action=_SoftNms,
        nargs='?',
        const='gaussian',
        choices=('gaussian', 'linear'),
        dest='overrides',
        help='lower the scores of overlapping boxes instead of dropping them '
        '(TEST.SOFTNMS_THRESH says how much; default method: gaussian)',
    )


class _TestScales(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        pairs = ', '.join(f'[{value}]' for value in values)
        setattr(namespace, self.dest, namespace.overrides + [f'TEST_SCALES=[{pairs}]'])


class _PlainGraph(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, namespace.overrides + ['engine.rewrite=false'])


class _Engine(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, namespace.overrides + [f'engine.name={values}'])


class _Bfloat16(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, namespace.overrides + ['engine.bfloat16=true'])


class _SoftNms(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        chosen = ['TEST.USE_SOFTNMS=true', f'TEST.SOFTNMS_METHOD={values}']
        setattr(namespace, self.dest, namespace.overrides + chosen)


class _Extend(argparse.Action):
    """Values of every --set in one list; what has no "=" is a name that came too late."""

    def __call__(self, parser, namespace, values, option_string=None):
        for text in values:
            if '=' not in text:
                raise UserError(f'--set {text}: expected KEY=VALUE; file names go before --set.')
        setattr(namespace, self.dest, getattr(namespace, self.dest) + values)
