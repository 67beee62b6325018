"""YAML text -> plain values, with every fault of the text in one sentence.

As PyYAML's safe loader, but for what would change or stop a run without a word: a key that stands twice in a section
(PyYAML keeps the last), values that refer to themselves or multiply (anchors), and dates, which are text here.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from dcn.errors import UserError

# kinds of plain values that are recognised otherwise than by PyYAML, or not at all
_PATTERNS = {
    'tag:yaml.org,2002:timestamp': None,
    'tag:yaml.org,2002:int': re.compile(r'[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$'),
}
MOST_VALUES = 100000  # in a file, each use of an anchor counted: no experiment comes near


class _Loader(yaml.SafeLoader):
    # dates, times of day and names such as 2012_1 stay text
    yaml_implicit_resolvers = {
        letter: [(tag, _PATTERNS.get(tag, pattern)) for tag, pattern in resolvers if _PATTERNS.get(tag, pattern)]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == 'tag:yaml.org,2002:merge':
                continue
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise UserError(f'line {line}: a key is no plain text; write KEY: VALUE')
            if key in lines:
                raise UserError(f'the key "{key}" stands in line {lines[key]} and in line {line}; keep one of them')
            lines[key] = line
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """The value of a YAML ``text``; UserError, without the name of the file, for text that cannot be used."""
    try:
        return _unshared(yaml.load(text, _Loader), [MOST_VALUES], frozenset())
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'not a YAML file: {" ".join(str(error).split())[:300]}.') from None
    except (RecursionError, OverflowError):
        raise UserError('not a YAML file that can be used: it is nested too deep.') from None


def _unshared(value, left, above):
    """``value`` with a copy at each use of an anchor. left: [values that may still come]; above: ids of its holders."""
    left[0] -= 1
    if left[0] < 0:
        raise UserError(f'holds more than {MOST_VALUES} values; an experiment file has some hundred.')
    if not isinstance(value, (dict, list)):
        return value
    if id(value) in above:
        raise UserError('an anchor (&) is used inside of its own value; write the values out.')
    above = above | {id(value)}
    if isinstance(value, dict):
        return {key: _unshared(item, left, above) for key, item in value.items()}
    return [_unshared(item, left, above) for item in value]
