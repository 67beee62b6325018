"""What MXNet 1.9.1 changes in a symbol of an older MXNet (``legacy_json_util.cc``), step by step and in its order.

Works on ``Draft`` nodes, in the order of visit (inputs first).
"""

from typing import List, Sequence

from dcn.formats import operators
from dcn.formats.draft import Draft
from dcn.formats.graph import VARIABLE

CURRENT_VERSION = 10901
OLDEST_VERSION = 800  # a file without a version is older than the version's invention in 0.9
_HIDDEN_KEYS = ('ctx_group', 'lr_mult', 'wd_mult', 'force_mirroring', 'mirror_stage')


def upgrade(drafts: List[Draft], order: Sequence[int], version: int) -> None:
    """Bring those of ``drafts`` whose positions are in ``order`` from MXNet ``version`` (major * 10000 + minor * 100 +
    patch) to 1.9.1.

    New variables come behind the others in ``drafts`` and are linked as inputs.
    """
    if version < CURRENT_VERSION:
        _each(drafts, order, _hide_keys)
    if version < 900:
        _each(drafts, order, _add_missing_inputs)
    if version < 904:
        _each(drafts, order, _set_initializers)
    if version < 905:
        _each(drafts, order, _drop_last_axis)


def _each(drafts, order, step):
    for i in order:
        step(drafts, drafts[i])


def _hide_keys(drafts, draft):
    """lr_mult becomes __lr_mult__; weight_lr_mult moves to the variable at the input ``weight``, as __lr_mult__."""
    kept = {key: value for key, value in draft.attrs.items() if any(_is_hidden(key, hidden) for hidden in _HIDDEN_KEYS)}
    for key in kept:
        del draft.own_attrs()[key]
    for key, value in kept.items():
        owner, new_key = _new_home(drafts, draft, key)
        owner.own_attrs()[new_key] = value


def _is_hidden(key, hidden):
    return key.startswith(hidden) and key.rfind(hidden) == 0 or key.endswith(hidden)


def _new_home(drafts, draft, key):
    if key in _HIDDEN_KEYS:
        return draft, f'__{key}__'
    for hidden in _HIDDEN_KEYS:
        prefix = len(key) - len(hidden)
        if prefix > 1 and key.endswith(hidden):
            target = _input_variable(drafts, draft, key[: prefix - 1])
            return (target, f'__{hidden}__') if target is not None else (draft, key)
    return draft, key


def _input_variable(drafts, draft, name):
    """The variable at the input called ``name`` of the operator ``draft``, if there is one."""
    names = operators.input_names(draft.op, draft.attrs)
    if draft.op == VARIABLE or name not in names or 3 * names.index(name) >= len(draft.inputs):
        return None
    source = drafts[draft.inputs[3 * names.index(name)]]
    return source if source.op == VARIABLE else None


def _add_missing_inputs(drafts, draft):
    """Before 0.9 auxiliary states were not in the file. A new variable takes the operator's attributes, as in MXNet."""
    for name in operators.input_names(draft.op, draft.attrs)[len(draft.inputs) // 3 :]:
        draft.add_input(len(drafts))
        drafts.append(Draft(VARIABLE, f'{draft.name}_{name}' if draft.name else name, draft.shared_attrs()))


def _set_initializers(drafts, draft):
    """0.9.4 moved the initial values of some variables from the initializer into the graph."""
    for index, (source, _, _) in enumerate(draft.entries()):
        variable = drafts[source]
        value = operators.initializer(draft.op, index) if variable.op == VARIABLE else None
        if value is not None and '__init__' not in variable.attrs:
            variable.own_attrs()['__init__'] = value


def _drop_last_axis(_, draft):
    """Before 0.9.5 axis -1 of argmax and argmin meant all axes, which is now said by leaving it out."""
    if draft.op in ('argmax', 'argmin') and draft.attrs.get('axis') == '-1':
        del draft.own_attrs()['axis']
