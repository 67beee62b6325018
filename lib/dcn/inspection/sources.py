"""What a person may name on the command line, opened: a checkpoint, a symbol file, a YAML file, a symbol class."""

import difflib
import glob
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import dcn
from dcn.config.families import SYMBOLS, nearest
from dcn.errors import UserError
from dcn.formats.graph import Graph
from dcn.formats.params import ParamsFile, open_params
from dcn.formats.pytorch import refuse_convertible
from dcn.formats.symbol_json import read_symbol
from dcn.inspection.graph.network import Network, describe
from dcn.paths import ROOT, find

LIBRARY = os.path.dirname(os.path.dirname(dcn.__file__))
PARTS = {
    '': 'the whole network',
    'rpn': 'region proposals alone',
    'rfcn': 'R-FCN on given RoIs',
    'rcnn': 'Faster R-CNN on given RoIs',
}


class Source(NamedTuple):
    """Either a checkpoint (``params``) or a graph with usual shapes of its inputs; ``label`` is what to call it."""

    label: str
    graph: Optional[Graph] = None
    params: Optional[ParamsFile] = None
    shapes: Dict[str, Tuple[int, ...]] = {}


def open_source(what: str, mode: str = 'test', part: str = '', overrides: Sequence[str] = ()) -> Source:
    """The Source that ``what`` names. YAML files and symbol classes are built by MXNet in a process of their own.

    ``experiments/...`` is found from any folder, unless something of that name is there.
    """
    what = find(what)
    if what.lower().endswith(('.yaml', '.yml')):
        return build(what, mode, part, overrides)
    if os.path.isfile(what):
        with open(what, 'rb') as stream:
            head = stream.read(512)
        if head.lstrip()[:1] == b'{':
            return Source(what, graph=read_symbol(what))
        refuse_convertible(what)
        return Source(what, params=open_params(what))
    if os.path.sep not in what and re.fullmatch(r'[A-Za-z_]\w*(\.\w+)*', what) and '-' not in what:
        return _symbol_class(what, mode, part, overrides)
    if os.path.isdir(what):
        raise UserError(f'{what}: expected a file, found a folder; name a .params, -symbol.json or .yaml file in it')
    raise UserError(f'{what}: no such file; give a .params file, a symbol JSON, a YAML file or the name of a symbol')


def build(
    path: str, mode: str = 'test', part: str = '', overrides: Sequence[str] = (), label: Optional[str] = None
) -> Source:
    """The Source of a YAML file."""
    if not os.path.isfile(path):
        raise UserError(f'{path}: no such file; give the path of a YAML file, such as those in experiments/*/cfgs')
    if importlib.util.find_spec('mxnet') is None:
        raise UserError(
            f'{path}: a YAML file is built by MXNet, which is not installed here; run ./setup.sh, or give the file '
            'PREFIX-symbol.json'
        )
    given = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    places = [LIBRARY, *(os.path.abspath(place) for place in given if place)]
    environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=os.pathsep.join(places))
    with tempfile.TemporaryDirectory() as folder:
        arguments = [os.path.abspath(path), folder, mode, part, json.dumps(list(overrides))]
        done = subprocess.run(
            [sys.executable, '-m', 'dcn.inspection.build', *arguments],
            cwd=folder,  # Python imports from the folder where it starts: nothing of the user's may lie there
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            raise UserError(_reason(path, os.path.join(folder, 'error.txt'), done.stderr))
        with open(os.path.join(folder, 'inputs.json'), encoding='utf-8') as stream:
            shapes = {name: tuple(shape) for name, shape in json.load(stream).items()}
        graph = read_symbol(os.path.join(folder, 'symbol.json'))
    return Source(label or path, graph=graph, shapes=shapes)


def network_of(path: str, overrides: Sequence[str] = ()) -> Network:
    """The test network of a YAML file, described."""
    source = build(path, overrides=overrides)
    assert source.graph is not None, 'a YAML file gives a graph'
    return describe(source.graph, path, source.shapes)


def symbol_beside(path: str) -> Optional[str]:
    """PREFIX-symbol.json beside the checkpoint ``path``, PREFIX-NNNN.params, or None."""
    match = re.fullmatch(r'(.*)-\d{4}\.params', path)
    found = match and match.group(1) + '-symbol.json'
    return found if found and os.path.isfile(found) else None


def yaml_files() -> List[str]:
    """The project's YAML files, of every family."""
    return sorted(glob.glob(os.path.join(ROOT, 'experiments', '*', 'cfgs', '*.yaml')))


def yaml_symbol(path: str) -> Optional[str]:
    """The symbol that a YAML file names, read without loading the configuration; None where it names none."""
    with open(path, encoding='utf-8') as stream:
        match = re.search(r'^symbol:\s*["\']?([\w.]+)', stream.read(), re.MULTILINE)
    return match and match.group(1)


def _symbol_class(name, mode, part, overrides):
    """A class by name (``resnet_v1_101_rfcn_dcn``, with or without its module), at the YAML file that uses it: that for
    VOC where there are several; the one most alike in name where there is none."""
    symbol = name.rsplit('.', 1)[-1]
    if symbol not in SYMBOLS:
        raise UserError(
            f'{name}: no such file, and no symbol class of that name; the nearest is {nearest(symbol, SYMBOLS, 0)}'
        )
    files = [path for path in yaml_files() if path.split(os.sep)[-3] == SYMBOLS[symbol].family]
    exact = sorted((path for path in files if yaml_symbol(path) == symbol), key=lambda path: ('voc' not in path, path))
    alike = sorted(files, key=lambda path: -difflib.SequenceMatcher(None, symbol, os.path.basename(path)).ratio())
    if not files:
        raise UserError(
            f'{name}: expected a YAML file of its family in experiments/{SYMBOLS[symbol].family}/cfgs, found '
            'none; name a YAML file instead'
        )
    path = (exact or alike)[0]
    overrides = overrides if exact else [f'symbol={symbol}', *overrides]
    return build(path, mode, part, overrides, f'{name} (as in {os.path.relpath(path, ROOT)})')


def _reason(path: str, sentence: str, stderr: str) -> str:
    """What the process wrote into the file ``sentence``, or the last line of what it said."""
    if os.path.isfile(sentence):
        with open(sentence, encoding='utf-8') as stream:
            return stream.read()
    lines = [line for line in stderr.splitlines() if line.strip()]
    return f'{path}: the graph could not be built: {lines[-1].strip() if lines else "no message"}'
