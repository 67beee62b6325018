"""MXNet's symbol JSON, of every age: a Graph as MXNet 1.9.1 would see the file, and the text that it would save.

Nodes may stand in any order that has no circle, and what no head reaches is dropped, both as MXNet does. No code in a
file is ever run.
"""

from typing import Union

from dcn.files import atomic_write
from dcn.formats import foreign
from dcn.formats.errors import FormatError
from dcn.formats.graph import Graph, Node, Opaque
from dcn.formats.json_scanner import JsonScanner
from dcn.formats.json_writer import dump_graph
from dcn.formats.mapping import Buffer, PathLike, map_file
from dcn.formats.symbol_fields import read_graph
from dcn.formats.symbol_links import link

__all__ = ['FormatError', 'Graph', 'Node', 'Opaque', 'dumps', 'loads', 'read_symbol', 'write_symbol']


def read_symbol(path: PathLike) -> Graph:
    """The Graph of the symbol file ``path``."""
    return loads(map_file(path), str(path))


def loads(text: Union[str, Buffer], label: str = 'symbol') -> Graph:
    """The Graph of ``text`` (str, bytes or a memory map); ``label`` is what errors call it."""
    data = text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text
    scanner = JsonScanner(data, label)
    head = bytes(data[:512])
    if head.lstrip()[:1] != b'{':
        raise scanner.fail(
            'a symbol in JSON, which begins with {',
            foreign.kind(head),
            advice='give the -symbol.json file that MXNet saved',
        )
    raw = read_graph(scanner)
    scanner.end()
    return link(raw, scanner)


def dumps(graph: Graph) -> str:
    """The text that MXNet 1.9.1 saves for ``graph``, byte for byte."""
    return dump_graph(graph)


def write_symbol(path: PathLike, graph: Graph) -> None:
    """Write ``dumps(graph)`` to the file ``path``, whole or not at all."""
    with atomic_write(str(path)) as stream:
        stream.write(dumps(graph).encode('utf-8'))
