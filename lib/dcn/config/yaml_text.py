"""YAML text -> plain values, with every fault of the text in one sentence.

As PyYAML's safe loader, but for what would change or stop a run without a word: a key that stands twice in a section
(PyYAML keeps the last), values that refer to themselves or multiply (anchors), and dates and numbers that begin with a
zero (octal ones there), which are text here.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from dcn.errors import UserError

# kinds of plain values that are recognised otherwise than by PyYAML, or not at all
_PATTERNS = {
    'tag:yaml.org,2002:timestamp': None,
    'tag:yaml.org,2002:int': re.compile(r'[-+]?(?:0b[01]+|0x[0-9a-fA-F]+|0|[1-9][0-9]*)$'),
}
MOST_VALUES = 100000  # in a file, each use of an anchor counted: no experiment comes near
DEEPEST = 100  # brackets in brackets

_MERGE = 'tag:yaml.org,2002:merge'
_TOO_DEEP = 'not a YAML file that can be used: it is nested too deep.'
_TOO_MANY = f'holds more than {MOST_VALUES} values; an experiment file has some hundred.'


class _Loader(yaml.SafeLoader):
    # dates, times of day and names such as 2012_1 stay text
    yaml_implicit_resolvers = {
        letter: [(tag, _PATTERNS.get(tag, pattern)) for tag, pattern in resolvers if _PATTERNS.get(tag, pattern)]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._pairs = 0  # that merge keys (<<) brought
        self._flat: set[int] = set()  # ids of mappings that have theirs

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        if self.flow_level >= DEEPEST:  # PyYAML's time grows with the square of the depth
            raise UserError(_TOO_DEEP)
        super().fetch_flow_collection_start(TokenClass)

    def flatten_mapping(self, node: Any) -> None:
        """Give a mapping what its merge keys name, once; construct_mapping() begins with it."""
        if id(node) in self._flat:
            return
        self._flat.add(id(node))
        self._check_keys(node)
        for key, value in node.value:
            if key.tag == _MERGE:
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(part, yaml.MappingNode):
                        self.flatten_mapping(part)
                        self._pairs += len(part.value)
                        if self._pairs > MOST_VALUES:
                            raise UserError(_TOO_MANY)
        super().flatten_mapping(node)

    def _check_keys(self, node):
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            key = '<<' if key_node.tag == _MERGE else self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool, type(None))):
                raise UserError(f'line {line}: a key is no plain text; write KEY: VALUE')
            if key in lines:
                raise UserError(f'the key "{key}" stands in line {lines[key]} and in line {line}; keep one of them')
            lines[key] = line


def parse_yaml(text: str) -> Any:
    """The value of a YAML ``text``; UserError, without the name of the file, for text that cannot be used."""
    try:
        return _unshared(yaml.load(text, _Loader), [MOST_VALUES], frozenset())
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'not a YAML file: {" ".join(str(error).split())[:300]}.') from None
    except (LookupError, AttributeError):  # PyYAML's, for !!int "" and the like
        raise UserError('not a YAML file: a value is not of the kind that its tag (!!) names.') from None
    except (RecursionError, OverflowError):
        raise UserError(_TOO_DEEP) from None


def _unshared(value, left, above):
    """``value`` with a copy at each use of an anchor. left: [values that may still come]; above: ids of its holders."""
    left[0] -= 1
    if left[0] < 0:
        raise UserError(_TOO_MANY)
    if not isinstance(value, (dict, list)):
        return value
    if id(value) in above:
        raise UserError('an anchor (&) is used inside of its own value; write the values out.')
    above = above | {id(value)}
    if isinstance(value, dict):
        return {key: _unshared(item, left, above) for key, item in value.items()}
    return [_unshared(item, left, above) for item in value]
