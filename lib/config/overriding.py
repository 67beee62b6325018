"""The option --set KEY=VALUE..., the same for every command."""
import argparse

from lib.errors import UserError


def override_argument(parser):
    """Add --set, which gathers its values in ``overrides``: 'KEY=VALUE' strings for load_config."""
    parser.add_argument('--set', action=_Extend, nargs='+', default=[], metavar='KEY=VALUE', dest='overrides',
                        help='change keys of the experiment file, such as TRAIN.lr=0.001 (after file names)')


class _Extend(argparse.Action):
    """Values of every --set in one list; what has no "=" is a name that came too late."""

    def __call__(self, parser, namespace, values, option_string=None):
        for text in values:
            if '=' not in text:
                raise UserError(f'--set {text}: expected KEY=VALUE; file names go before --set.')
        setattr(namespace, self.dest, getattr(namespace, self.dest) + values)
