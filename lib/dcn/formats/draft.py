"""What a symbol file holds while it is read: nodes that may still change, in few bytes, and what they share."""

from array import array
from types import MappingProxyType

NO_ATTRS = MappingProxyType({})


class Draft:
    """A node while it is read, and its fields as the file gives them.

    attrs        text to text: a read-only mapping, which other nodes may share, or a dict of its own (``own_attrs``)
    inputs       array of threes: node, output, version, ...; nodes as positions among all drafts
    control_deps array of positions
    """

    __slots__ = ('op', 'name', 'attrs', 'inputs', 'control_deps', 'subgraphs', 'num_outputs')

    def __init__(self, op=None, name=None, attrs=NO_ATTRS):
        self.op, self.name, self.attrs = op, name, attrs
        self.inputs, self.control_deps, self.subgraphs, self.num_outputs = (), (), (), 1

    def entries(self):
        """(node, output, version) of each input."""
        return threes(self.inputs)

    def own_attrs(self):
        """The attributes, to be changed."""
        if not isinstance(self.attrs, dict):
            self.attrs = dict(self.attrs)
        return self.attrs

    def shared_attrs(self):
        """The attributes, for another node too: from now on neither changes them in place."""
        if isinstance(self.attrs, dict):
            self.attrs = MappingProxyType(self.attrs)
        return self.attrs

    def add_input(self, source):
        self.inputs = array('I', (*self.inputs, source, 0, 0))


def threes(numbers):
    """Three after three of a flat row."""
    return zip(numbers[::3], numbers[1::3], numbers[2::3])


class Kept:
    """Equal values of one file, kept once: a network has a thousand nodes and some fifty sets of attributes."""

    def __init__(self):
        self._kept = {}

    def one(self, value):
        """``value``, or the first that was equal to it."""
        return self._kept.setdefault(value, value)

    def mapping(self, attrs):
        """A read-only mapping equal to the dict ``attrs``."""
        if not attrs:
            return NO_ATTRS
        return self._kept.setdefault((tuple(attrs), tuple(attrs.values())), MappingProxyType(attrs))
