"""A graph while a pass works on it: nodes keep their positions until the pass is done."""

from __future__ import annotations

from dcn.formats.graph import VARIABLE, Graph, Node

CONVOLUTIONS = ('Convolution', '_contrib_DeformableConvolution', '_contrib_ModulatedDeformableConvolution')


class Sketch:
    """Nodes of a graph to be changed (``nodes[i] = ...``), added and replaced; ``finish`` gives the new graph.

    Positions mean the old graph's nodes, and those that ``add`` returned, until ``finish``: that drops what no head
    reaches any more and puts the rest in the order in which MXNet visits it.
    """

    def __init__(self, graph: Graph):
        self.nodes: list[Node] = list(graph.nodes)
        self._graph = graph
        self._instead: dict[int, int] = {}
        self._users: list[list[tuple[int, int] | None]] = [[] for _ in self.nodes]
        for i, node in enumerate(graph.nodes):
            for slot, (source, _) in enumerate(node.inputs):
                self._users[source].append((i, slot))
        for source, _ in graph.heads:
            self._users[source].append(None)

    def users(self, i: int) -> list[tuple[int, int] | None]:
        """What uses node ``i`` of the old graph: (node, which of its inputs), and None where it is an output."""
        return self._users[i]

    def sole_user(self, i: int) -> int | None:
        """The node of the old graph that alone uses node ``i``; None where several do, or where it is an output."""
        users = self._users[i]
        return users[0][0] if len(users) == 1 and users[0] is not None else None

    def add(self, node: Node) -> int:
        """The position of the new ``node``."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def add_variable(self, name: str) -> int:
        return self.add(Node(VARIABLE, name))

    def free_name(self, name: str) -> str:
        """``name``, or with a number behind it where a node has it already."""
        taken, number, free = {node.name for node in self.nodes}, 0, name
        while free in taken:
            number += 1
            free = f'{name}{number}'
        return free

    def change(self, i: int, inputs: tuple[tuple[int, int], ...], **attrs: str) -> None:
        """Give node ``i`` other ``inputs`` ((node, output), ...) and further ``attrs``."""
        node = self.nodes[i]
        attrs = {**node.attrs, **attrs}
        self.nodes[i] = node._replace(inputs=inputs, versions=(0,) * len(inputs), attrs=attrs)

    def replace(self, old: int, new: int) -> None:
        """Whatever uses ``old``, outputs of the graph too, uses ``new`` from now on."""
        self._instead[old] = new

    def finish(self) -> Graph:
        heads = [self._entry(head) for head in self._graph.heads]
        places: dict[int, int] = {}
        order: list[int] = []
        for head, _ in heads:
            waiting = [(head, False)]
            while waiting:
                i, done = waiting.pop()
                if done:
                    places[i] = len(order)
                    order.append(i)
                elif i not in places:
                    places[i] = -1  # under way
                    node = self.nodes[i]
                    waiting.append((i, True))
                    sources = [self._entry(entry)[0] for entry in node.inputs] + list(node.control_deps)
                    waiting += [(source, False) for source in reversed(sources) if source not in places]
        nodes = []
        for i in order:
            node = self.nodes[i]
            inputs = [self._entry(entry) for entry in node.inputs]
            nodes.append(
                node._replace(
                    inputs=tuple((places[source], k) for source, k in inputs),
                    control_deps=tuple(places[source] for source in node.control_deps),
                )
            )
        return self._graph._replace(
            nodes=tuple(nodes), heads=tuple((places[source], k) for source, k in heads), head_versions=(0,) * len(heads)
        )

    def _entry(self, entry: tuple[int, int]) -> tuple[int, int]:
        source, output = entry
        while source in self._instead:
            source = self._instead[source]
        return source, output


def without_unread(graph: Graph, parameters: dict) -> tuple[Graph, dict]:
    """``graph``, and the ``parameters`` that its nodes read."""
    names = {node.name for node in graph.nodes if node.is_variable}
    return graph, {name: value for name, value in parameters.items() if name in names}
