"""The options --set KEY=VALUE... and their short forms, the same for every command.

All of them gather in ``overrides``: 'KEY=VALUE' strings for load_config.
"""

import argparse
import re

from dcn.errors import UserError


def override_argument(parser: argparse.ArgumentParser) -> None:
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


def graph_argument(parser: argparse.ArgumentParser) -> None:
    """Add --plain-graph, the short form of engine.rewrite."""
    parser.add_argument(
        '--plain-graph',
        action=_short_form(lambda _: ['engine.rewrite=false']),
        nargs=0,
        dest='overrides',
        help='run the graph exactly as published instead of the faster equivalent '
        '(engine.rewrite: false in the experiment file)',
    )


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --engine and --precision, the short forms of engine.name and engine.bfloat16."""
    parser.add_argument(
        '--engine',
        action=_short_form(lambda name: [f'engine.name={name}']),
        choices=('mxnet', 'torch'),
        dest='overrides',
        help='run the networks by MXNet (default) or by PyTorch, which knows the GPUs of today',
    )
    parser.add_argument(
        '--precision',
        action=_short_form(lambda name: [f'engine.bfloat16={str(name == "bfloat16").lower()}']),
        choices=('float32', 'bfloat16'),
        dest='overrides',
        help='bfloat16: layers multiply in it; scores, positions, losses and what is stored stay in float32. Training '
        'wants --engine torch for it (default: float32)',
    )


def kvstore_argument(parser: argparse.ArgumentParser) -> None:
    """Add --kvstore, the short form of default.kvstore."""
    parser.add_argument(
        '--kvstore',
        action=_short_form(lambda name: [f'default.kvstore={name}']),
        choices=('local', 'device', 'dist_sync'),
        dest='overrides',
        help='dist_sync: train with the other workers that "dcn launch" or another launcher started',
    )


def detection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --test-scales and --soft-nms, the short forms of detection's own keys."""
    parser.add_argument(
        '--test-scales',
        action=_short_form(_test_scales),
        nargs='+',
        dest='overrides',
        metavar='SHORT,LONGEST',
        help='test at each of these sizes in pixels and merge the detections, such as 480,800 576,900 '
        '(after file names)',
    )
    parser.add_argument(
        '--soft-nms',
        action=_short_form(lambda method: ['TEST.USE_SOFTNMS=true', f'TEST.SOFTNMS_METHOD={method}']),
        nargs='?',
        const='gaussian',
        choices=('gaussian', 'linear'),
        dest='overrides',
        help='lower the scores of overlapping boxes instead of dropping them '
        '(TEST.SOFTNMS_THRESH says how much; default method: gaussian)',
    )


def _short_form(settings):
    """An argparse action: what ``settings`` makes of the option's values joins the overrides."""

    class ShortForm(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None):
            setattr(namespace, self.dest, namespace.overrides + settings(values))

    return ShortForm


def _test_scales(values):
    pairs = ', '.join(f'[{value}]' for value in values)
    return [f'TEST_SCALES=[{pairs}]']


_KEY = re.compile(r'(?:TRAIN|TEST|network|dataset|default|engine)\.\w+|[A-Z_]+')  # what may be meant for a key


class _Extend(argparse.Action):
    """Values of every --set in one list; what has no "=" is a name that came too late."""

    def __call__(self, parser, namespace, values, option_string=None):
        for text in values:
            if '=' not in text:
                such = f', such as {text}=VALUE without spaces' if _KEY.fullmatch(text) else ''
                raise UserError(f'--set {text}: expected KEY=VALUE{such}; file names go before --set.')
        setattr(namespace, self.dest, getattr(namespace, self.dest) + values)
