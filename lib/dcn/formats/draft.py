"""What a symbol file holds while it is read: nodes that may still change, in few bytes, and what they share."""

from array import array
from types import MappingProxyType
from typing import Any, Dict, Iterator, Mapping, Sequence, Tuple, TypeVar

NO_ATTRS: Mapping[str, str] = MappingProxyType({})


T = TypeVar('T')


class Draft:
    """A node while it is read, and its fields as the file gives them.

    attrs        text to text: a read-only mapping, which other nodes may share, or a dict of its own (``own_attrs``)
    inputs       array of threes: node, output, version, ...; nodes as positions among all drafts
    control_deps array of positions
    """

    __slots__ = ('op', 'name', 'attrs', 'inputs', 'control_deps', 'subgraphs', 'num_outputs')

    def __init__(self, op: str = '', name: str = '', attrs: Mapping[str, str] = NO_ATTRS) -> None:
        self.op, self.name, self.attrs = op, name, attrs
        self.inputs: Sequence[int] = ()
        self.control_deps: Sequence[int] = ()
        self.subgraphs: Sequence = ()
        self.num_outputs = 1

    def entries(self) -> Iterator[Tuple[int, int, int]]:
        """(node, output, version) of each input."""
        return threes(self.inputs)

    def own_attrs(self) -> Dict[str, str]:
        """The attributes, to be changed."""
        if not isinstance(self.attrs, dict):
            self.attrs = dict(self.attrs)
        return self.attrs

    def shared_attrs(self) -> Mapping[str, str]:
        """The attributes, for another node too: from now on neither changes them in place."""
        if isinstance(self.attrs, dict):
            self.attrs = MappingProxyType(self.attrs)
        return self.attrs

    def add_input(self, source: int) -> None:
        self.inputs = array('I', (*self.inputs, source, 0, 0))


def threes(numbers: Sequence[int]) -> Iterator[Tuple[int, int, int]]:
    """Three after three of a flat row."""
    return zip(numbers[::3], numbers[1::3], numbers[2::3])


class Kept:
    """Equal values of one file, kept once: a network has a thousand nodes and some fifty sets of attributes."""

    def __init__(self) -> None:
        self._kept: Dict[Any, Any] = {}  # value, or keys and values of a mapping -> the first of its kind

    def one(self, value: T) -> T:
        """``value``, or the first that was equal to it."""
        return self._kept.setdefault(value, value)

    def mapping(self, attrs: Dict[str, str]) -> Mapping[str, str]:
        """A read-only mapping equal to the dict ``attrs``."""
        if not attrs:
            return NO_ATTRS
        return self._kept.setdefault((tuple(attrs), tuple(attrs.values())), MappingProxyType(attrs))
