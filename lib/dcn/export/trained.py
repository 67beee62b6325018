"""A configuration with its checkpoint, opened for an export: graph, arrays, names, and where they are from."""

import hashlib
import json
import os
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from dcn.config import load_config
from dcn.config.families import kind_of
from dcn.dataset.class_names import class_names
from dcn.engine import task_of
from dcn.files import sha256
from dcn.formats.graph import Graph
from dcn.formats.symbol_json import loads


class Trained(NamedTuple):
    """cfg: its configuration; graph: the test graph; params: {name: array}, the *_test weights in place; shapes:
    {input: shape} of the largest image of testing; class_names: the background first; source: the files, settings and
    hashes, for metadata and certificates."""

    cfg: Any
    graph: Graph
    params: Dict[str, np.ndarray]
    shapes: Dict[str, Tuple[int, ...]]
    class_names: Tuple[str, ...]
    source: Dict[str, Any]


def open_trained(cfg_path: str, params_path: str, overrides: Sequence[str] = ()) -> Trained:
    """The Trained of a YAML file and a ``.params`` file; files that are none, or do not fit, are a UserError."""
    cfg = load_config(cfg_path, overrides)
    source = {
        'cfg': os.fspath(cfg_path),
        'settings': list(overrides),
        'params': os.fspath(params_path),
        'params_sha256': sha256(params_path),
    }
    params = task_of(cfg, is_train=False).test_graph().read_parameters(os.fspath(params_path))
    return trained(cfg, *params, source)


def trained(cfg: Any, arg_params: Dict[str, Any], aux_params: Dict[str, Any], source: Mapping[str, Any]) -> Trained:
    """The Trained of a configuration and {name: NDArray}, the *_test weights in place; ``source``: what is known of
    their files."""
    graph = task_of(cfg, is_train=False).test_graph()
    graph.check_parameters(arg_params, aux_params)
    text = graph.symbol.tojson()
    source = dict(source, graph_sha256=hashlib.sha256(text.encode()).hexdigest())
    params = {name: array.asnumpy() for group in (arg_params, aux_params) for name, array in group.items()}
    return Trained(cfg, loads(text), params, graph.inputs, class_names(cfg.dataset, kind_of(cfg)), source)


def stored_source(metadata: Mapping[str, str]) -> Optional[Dict[str, Any]]:
    """The ``source`` that a file's metadata {text: text} hold, or None."""
    return json.loads(metadata['source']) if 'source' in metadata else None
