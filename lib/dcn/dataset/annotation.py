"""PASCAL VOC annotation files: XML in, objects with their line numbers out. Every fault names its file and line."""

from collections import namedtuple
from xml.etree import ElementTree
from xml.parsers import expat

from dcn.dataset.problems import DataError

Annotation = namedtuple('Annotation', 'path width height size_line objects')
"""One file: ``width`` and ``height`` in pixels (int) as written under <size>, found at line ``size_line``."""

Object = namedtuple('Object', 'name box difficult line box_line')
"""One <object>: lower-case ``name``; ``box`` four floats x1 y1 x2 y2 as written (1-based, inclusive corners)."""


class _Element(ElementTree.Element):
    """An XML element that knows the line where it starts."""

    line = 0


def parse_annotation(content, path):
    """``content`` (bytes) of a VOC annotation file -> Annotation; ``path`` serves the messages alone.

    Raises DataError with file and line for XML that cannot be read and for anything that is missing or no number.
    """
    root = _parse_xml(content, path)
    size = _child(root, 'size', path)
    height, width = (int(_number(size, tag, path)) for tag in ('height', 'width'))
    if height <= 0 or width <= 0:
        raise DataError(
            path,
            size.line,
            f'<size> is {width} x {height}, expected positive numbers of pixels',
            'write the size of the image',
        )
    return Annotation(path, width, height, size.line, [_object(node, path) for node in root.findall('object')])


def _object(node, path):
    """One <object>. Parts of an object (<part>, with boxes of their own) are no direct children and stay unread."""
    name = _text(_child(node, 'name', path), path).strip().lower()
    box = _child(node, 'bndbox', path)
    corners = tuple(_number(box, tag, path) for tag in ('xmin', 'ymin', 'xmax', 'ymax'))
    difficult = node.find('difficult')
    is_difficult = difficult is not None and bool(int(_number(node, 'difficult', path)))
    return Object(name, corners, is_difficult, node.line, box.line)


def _child(node, tag, path):
    child = node.find(tag)
    if child is None:
        raise DataError(path, node.line, f'<{node.tag}> has no <{tag}>', 'add it')
    return child


def _text(node, path):
    if not (node.text or '').strip():
        raise DataError(path, node.line, f'<{node.tag}> is empty', 'fill it in')
    return node.text


def _number(parent, tag, path):
    """The number below ``tag``. Some VOC2012 files hold fractions, so it is a float."""
    node = _child(parent, tag, path)
    text = _text(node, path).strip()
    try:
        value = float(text)
    except ValueError:
        value = float('nan')
    if not abs(value) < 1e9:
        raise DataError(path, node.line, f'<{tag}> is {text!r}, expected a number', 'correct it')
    return value


def _parse_xml(content, path):
    """XML bytes -> root _Element. ElementTree keeps no line numbers, so expat feeds its builder directly."""
    parser = expat.ParserCreate()
    builder = ElementTree.TreeBuilder(element_factory=_Element)

    def start(tag, attributes):
        builder.start(tag, attributes).line = parser.CurrentLineNumber

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise DataError(
            path,
            error.lineno,
            f'the annotation is no well-formed XML ({expat.ErrorString(error.code)})',
            'repair or replace the file',
        ) from None
    except (ValueError, LookupError) as error:
        # an encoding that expat does not know
        raise DataError(path, 1, f'the annotation cannot be decoded ({error})', 'save it as UTF-8') from None
    return builder.close()
