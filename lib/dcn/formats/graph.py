"""A symbol as a value: nodes in the order in which MXNet visits them, never changed after they were read."""

from types import MappingProxyType
from typing import List, Mapping, NamedTuple, Set, Tuple

from dcn.formats import operators
from dcn.formats.attributes import Attributes

VARIABLE = 'null'  # the operator's name of a variable, in files and here


class Opaque(str):
    """An attribute that holds a pickled Python object: kept as text, shown as its size, never opened."""

    def __str__(self):
        return f'<pickled Python object of {len(self)} characters, not opened>'

    __repr__ = __str__

    def __format__(self, spec):
        return format(str(self), spec)

    @property
    def text(self) -> str:
        """What the file holds."""
        return str.__str__(self)


class Node(NamedTuple):
    """One operator or variable.

    op           MXNet's present name of the operator; 'null' for a variable
    attrs        read-only mapping of text to text (a pickled value: Opaque)
    inputs       ((node, output), ...): positions in ``Graph.nodes`` and which output of that node
    versions     one number for each input, how often MXNet saw it written before: above 0 for auxiliary states
    num_outputs  hidden ones included
    """

    op: str
    name: str
    attrs: Mapping[str, str] = MappingProxyType({})
    inputs: Tuple[Tuple[int, int], ...] = ()
    versions: Tuple[int, ...] = ()
    num_outputs: int = 1
    control_deps: Tuple[int, ...] = ()
    subgraphs: Tuple['Graph', ...] = ()

    @property
    def is_variable(self) -> bool:
        return self.op == VARIABLE

    @property
    def typed_attrs(self) -> Attributes:
        """The attributes as Python values; an error names the node."""
        return Attributes(self.attrs, f'node {self.name} ({self.op})')


class Graph(NamedTuple):
    """A symbol; ``heads`` ((node, output), ...) are its outputs.

    ``version`` is the MXNet that wrote the file: 10901 for 1.9.1, 800 where the file does not say.
    """

    nodes: Tuple[Node, ...]
    heads: Tuple[Tuple[int, int], ...]
    head_versions: Tuple[int, ...] = ()
    version: int = 10901
    np_shape: bool = False

    @property
    def arg_nodes(self) -> Tuple[int, ...]:
        """Positions of all variables, in order."""
        return tuple(i for i, node in enumerate(self.nodes) if node.is_variable)

    def _auxiliary_nodes(self):
        found: Set[int] = set()
        for node in self.nodes:
            known = operators.auxiliary_inputs(node.op)
            found.update(source for i, (source, _) in enumerate(node.inputs) if i in known or node.versions[i] > 0)
        return found

    def arguments(self) -> List[str]:
        """Names as ``Symbol.list_arguments`` gives them."""
        auxiliary = self._auxiliary_nodes()
        return [self.nodes[i].name for i in self.arg_nodes if i not in auxiliary]

    def auxiliary(self) -> List[str]:
        """Names as ``Symbol.list_auxiliary_states`` gives them."""
        auxiliary = self._auxiliary_nodes()
        return [self.nodes[i].name for i in self.arg_nodes if i in auxiliary]
