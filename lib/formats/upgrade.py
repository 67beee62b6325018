"""What MXNet 1.9.1 changes in a symbol of an older MXNet (``legacy_json_util.cc``), step by step and in its order.

Works on ``Draft`` nodes, in the order of visit (inputs first).
"""

from typing import Dict, List, NamedTuple

from lib.formats import operators
from lib.formats.graph import VARIABLE, Graph

CURRENT_VERSION = 10901
OLDEST_VERSION = 800  # a file without a version is older than the version's invention in 0.9
_HIDDEN_KEYS = ('ctx_group', 'lr_mult', 'wd_mult', 'force_mirroring', 'mirror_stage')


class Draft(NamedTuple):
    """A node while it is read; ``inputs`` holds [node, output, version] with nodes as Drafts."""

    op: str
    name: str
    attrs: Dict[str, str]
    inputs: List[list]
    control_deps: List['Draft']
    subgraphs: List[Graph]
    num_outputs: int


def upgrade(drafts, version):
    """Bring ``drafts`` from MXNet ``version`` (major * 10000 + minor * 100 + patch) to 1.9.1.

    New variables are linked as inputs, not listed.
    """
    if version < CURRENT_VERSION:
        _each(drafts, _hide_keys)
    if version < 900:
        _each(drafts, _add_missing_inputs)
    if version < 904:
        _each(drafts, _set_initializers)
    if version < 905:
        _each(drafts, _drop_last_axis)


def _each(drafts, step):
    for draft in drafts:
        step(draft)


def _hide_keys(draft):
    """lr_mult becomes __lr_mult__; weight_lr_mult moves to the variable at the input ``weight``, as __lr_mult__."""
    kept = {key: value for key, value in draft.attrs.items() if any(_is_hidden(key, hidden) for hidden in _HIDDEN_KEYS)}
    for key in kept:
        del draft.attrs[key]
    for key, value in kept.items():
        owner, new_key = _new_home(draft, key)
        owner.attrs[new_key] = value


def _is_hidden(key, hidden):
    return key.startswith(hidden) and key.rfind(hidden) == 0 or key.endswith(hidden)


def _new_home(draft, key):
    if key in _HIDDEN_KEYS:
        return draft, f'__{key}__'
    for hidden in _HIDDEN_KEYS:
        prefix = len(key) - len(hidden)
        if prefix > 1 and key.endswith(hidden):
            target = _input_variable(draft, key[: prefix - 1])
            return (target, f'__{hidden}__') if target is not None else (draft, key)
    return draft, key


def _input_variable(draft, name):
    """The variable at the input called ``name`` of the operator ``draft``, if there is one."""
    names = operators.input_names(draft.op, draft.attrs)
    if draft.op == VARIABLE or name not in names or names.index(name) >= len(draft.inputs):
        return None
    source = draft.inputs[names.index(name)][0]
    return source if source.op == VARIABLE else None


def _add_missing_inputs(draft):
    """Before 0.9 auxiliary states were not in the file. A new variable takes the operator's attributes, as in MXNet."""
    for name in operators.input_names(draft.op, draft.attrs)[len(draft.inputs) :]:
        full_name = f'{draft.name}_{name}' if draft.name else name
        draft.inputs.append([Draft(VARIABLE, full_name, dict(draft.attrs), [], [], [], 1), 0, 0])


def _set_initializers(draft):
    """0.9.4 moved the initial values of some variables from the initializer into the graph."""
    for index, (source, _, _) in enumerate(draft.inputs):
        value = operators.initializer(draft.op, index) if source.op == VARIABLE else None
        if value is not None:
            source.attrs.setdefault('__init__', value)


def _drop_last_axis(draft):
    """Before 0.9.5 axis -1 of argmax and argmin meant all axes, which is now said by leaving it out."""
    if draft.op in ('argmax', 'argmin') and draft.attrs.get('axis') == '-1':
        del draft.attrs['axis']
