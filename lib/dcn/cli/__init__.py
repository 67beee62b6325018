"""The command ``dcn``: one table of commands; each one's module is imported only when it is called."""

import difflib
import errno
import importlib
import os
import sys
from typing import Callable, Optional

from dcn.errors import UserError
from dcn.text import printable

# name -> (module, its main function, one line for --help)
COMMANDS = {
    'demo': ('dcn.cli.demo', 'main', "test a family's small networks, plain and deformable, and write pictures"),
    'detect': ('dcn.cli.detect', 'main', 'detect objects on photos with any checkpoint'),
    'segment': ('dcn.cli.segment', 'main', 'semantic segmentation of photos with any checkpoint'),
    'train': ('dcn.cli.train_test', 'dcn_train', 'train the network of a YAML file'),
    'test': ('dcn.cli.train_test', 'dcn_test', "test a trained network with its data set's own metric"),
    'launch': ('dcn.cli.launch', 'main', 'start a training on several machines, or in several processes of this one'),
    'new': ('dcn.cli.new', 'main', 'write a YAML file for your own data'),
    'validate': ('dcn.cli.validate', 'main', 'check a data set before training; names each problem with file and line'),
    'keys': ('dcn.cli.keys', 'main', 'every key of a YAML file: meaning and default'),
    'inspect': ('dcn.cli.inspect', 'main', 'show a network or checkpoint as a table, JSON, Graphviz or a web page'),
    'offsets': ('dcn.cli.offsets', 'main', 'where deformable layers look: table 2 and figures 5 to 7, as a web page'),
    'diff': ('dcn.cli.diff', 'main', 'compare two graphs or two checkpoints'),
    'doctor': (
        'dcn.cli.doctor',
        'main',
        'which network a checkpoint belongs to, what is wrong with it, what to do',
    ),
    'paper': ('dcn.cli.paper', 'main', 'published results: commands, data, and your scores beside them'),
    'report': ('dcn.cli.report', 'main', 'a page of what a run did: scores, errors, worst images, training'),
    'convert': ('dcn.cli.convert', 'main', 'weights from Gluon, torchvision or Caffe; safetensors, npz, .pth'),
    'export': ('dcn.cli.export', 'main', 'write a checkpoint as an ONNX or OpenVINO file, with a certificate'),
    'verify': ('dcn.cli.verify', 'main', 'compare an exported file with the engine and write its certificate'),
    'bench': ('dcn.benchmarks.operators', 'main', "time the project's operators against MXNet's"),
}


def usage() -> str:
    rows = '\n'.join(f'  {name:10s} {line}' for name, (_, _, line) in COMMANDS.items())
    return f"usage: dcn COMMAND [options]\n\n{rows}\n\n'dcn COMMAND --help' explains a command."


def guarded(main: Callable, argv: Optional[list] = None) -> int:
    """Run an entry point: a user's mistake ends in its one sentence and status 2, an interrupt in status 130."""
    try:
        try:
            return main(argv) or 0
        finally:
            sys.stdout.flush()  # a reader that has gone is noticed here, not when Python ends
    except UserError as error:
        lines = [printable(line) for line in f'error: {error}'.split('\n')]
        print('\n'.join(lines), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # nobody reads any more, as after "| head": end without a word, with the status of that signal
        _to_nowhere(sys.stdout, sys.stderr)
        return 141
    except MemoryError:
        print('error: not enough memory for what was asked; take smaller files or images', file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split('.')[0] == 'dcn':
            raise
        print(
            f'error: the package {error.name} is not installed for {sys.executable}; activate the environment first '
            '(source .venv/bin/activate; ./setup.sh makes it), or install this project with its dependencies there',
            file=sys.stderr,
        )
        return 2
    except OSError as error:
        if error.strerror is None:
            raise  # not the system's word on a file or folder
        place = error.filename
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            todo = 'make room there, or give another path'
            if place is None:  # all files are written under their names
                place = 'standard output'
                _to_nowhere(sys.stdout)  # Python would try once more, and tell of it
        else:
            todo = 'give a path that can be read or written here, or change this one'
        where = '' if place is None else f'{printable(os.fsdecode(place))}: '
        print(f'error: {where}{error.strerror}; {todo}', file=sys.stderr)
        return 2


def _to_nowhere(*streams):
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


def main(argv: Optional[list] = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv or argv[0] in ('-h', '--help'):
        return guarded(lambda _: print(usage()))
    if argv[0] not in COMMANDS:
        close = difflib.get_close_matches(argv[0], list(COMMANDS), 1)
        meant = f"; did you mean '{close[0]}'?" if close else ''
        print(printable(f"error: unknown command '{argv[0]}'{meant}"), f'\n{usage()}', sep='\n', file=sys.stderr)
        return 2
    module, function, _ = COMMANDS[argv[0]]
    sys.argv = [f'dcn {argv[0]}', *argv[1:]]  # for usage lines and the log
    return guarded(lambda rest: getattr(importlib.import_module(module), function)(rest), argv[1:])
