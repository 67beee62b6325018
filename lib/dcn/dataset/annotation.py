"""PASCAL VOC annotation files: XML in, objects with their line numbers out. Every fault names its file and line."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from dcn.dataset.images import MOST_SIDE
from dcn.dataset.problems import DataError
from dcn.formats.foreign import kind
from dcn.text import undecodable


class Object(NamedTuple):
    """One <object>: lower-case ``name``; ``box`` four floats x1 y1 x2 y2 as written (1-based, inclusive corners)."""

    name: str
    box: tuple[float, float, float, float]
    difficult: bool
    line: int
    box_line: int


class Annotation(NamedTuple):
    """One file: ``width`` and ``height`` in pixels as written under <size> at line ``size_line``, 0 where it gives none
    (labelImg wrote 0 x 0 for years)."""

    path: str
    width: int
    height: int
    size_line: int | None
    objects: list[Object]


class _Element(ElementTree.Element):
    """An XML element that knows the line where it starts."""

    line = 0


def parse_annotation(content: bytes, path: str) -> Annotation:
    """``content`` of a VOC annotation file -> Annotation; ``path`` serves the messages alone.

    Raises DataError with file and line for XML that cannot be read and for anything that is missing or no number.
    Memory holds one <object> as XML at a time.
    """
    reader, encoding = _Reader(path), None
    if _MULTIBYTE.match(content):  # which expat does not know
        content, encoding = _in_utf8(content), 'UTF-8'
    parser = expat.ParserCreate(encoding)
    parser.StartElementHandler = lambda tag, _: reader.start(tag, parser.CurrentLineNumber)
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.EntityDeclHandler = lambda *_: reader.refuse_entities(parser.CurrentLineNumber)
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise DataError(path, *_malformed(content, error)) from None
    except (ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        # an encoding that expat does not know
        raise DataError(path, 1, f'the annotation cannot be decoded ({error})', 'save it as UTF-8') from None
    if reader.root != 'annotation' and reader.size is None and not reader.objects:
        what = f'this is no annotation: its root is <{reader.root}>, expected <annotation>'
        raise DataError(path, None, what, 'replace the file')
    width, height, line = reader.size or (0, 0, None)
    return Annotation(path, width, height, line, reader.objects)


_DECLARED = rb'\s*<\?xml[^>]*encoding\s*=\s*["\'](%s)["\']'
_MULTIBYTE = re.compile(_DECLARED % rb'gb2312|gbk|gb18030|big5|shift_jis|euc-jp|euc-kr', re.IGNORECASE)


def _in_utf8(content):
    """``content`` in UTF-8, whatever it declares; as it is where that is not what it declares."""
    name = _MULTIBYTE.match(content).group(1).decode().lower()
    try:
        return content.decode('gb18030' if name.startswith('gb') else name).encode()
    except UnicodeDecodeError:
        return content


def _malformed(content, error):
    """(line, what, todo) for content that is no XML."""
    if not content.lstrip(codecs.BOM_UTF8).lstrip().startswith((b'<', codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return None, f'the annotation is no XML but {kind(content[:512])}', 'replace the file'
    try:
        content.decode()
    except UnicodeDecodeError as fault:
        line, byte = undecodable(fault)
        if line <= error.lineno and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            what = f'the annotation is not UTF-8, beginning with the byte {byte}'
            return line, what, 'save it as UTF-8, or declare its encoding'
    reason = expat.ErrorString(error.code)
    return error.lineno, f'the annotation is not well-formed XML ({reason})', 'repair or replace the file'


def _plain(tag):
    """'v:Object' -> 'object'."""
    return tag.rpartition(':')[2].lower()


class _Reader:
    """Takes an annotation's elements one after the other; a child of the root is dropped when it has been read."""

    def __init__(self, path):
        self.path, self.size, self.objects = path, None, []
        self.root, self._part = '', ''
        self._depth, self._builder = 0, None

    def start(self, tag, line):
        tag = _plain(tag)
        self._depth += 1
        if self._depth == 1:
            self.root = tag
        elif tag == 'object' and self._depth > 2 and self._part != 'object':
            what = f'an <object> stands inside of <{self._part}>, expected directly below the root'
            raise DataError(self.path, line, what, 'move it up')
        if self._depth == 2:
            self._part = tag
            self._builder = ElementTree.TreeBuilder(element_factory=_Element)
        if self._depth >= 2:
            self._builder.start(tag, {}).line = line

    def text(self, data):
        if self._depth >= 2:
            self._builder.data(data)

    def end(self, tag):
        tag = _plain(tag)
        if self._depth >= 2:
            self._builder.end(tag)
        if self._depth == 2:
            node = self._builder.close()
            if tag == 'object':
                self.objects.append(_object(node, self.path))
            elif tag == 'size' and self.size is None:
                self.size = (*_size(node, self.path), node.line)
        self._depth -= 1

    def refuse_entities(self, line):
        raise DataError(self.path, line, 'the annotation declares XML entities', 'write plain text in their place')


def _size(node, path):
    """(width, height) under <size>; (0, 0) where both are missing or 0."""
    sides = []
    for tag in ('width', 'height'):
        text = node.findtext(tag)
        sides.append(int(_number(node, tag, path)) if text and text.strip() else 0)
    if any(sides) and min(sides) <= 0:
        raise DataError(
            path,
            node.line,
            f'<size> is {sides[0]} x {sides[1]}, expected positive numbers of pixels',
            'write the size of the image',
        )
    if max(sides) > MOST_SIDE:
        raise DataError(
            path,
            node.line,
            f'<size> is {sides[0]} x {sides[1]}, expected at most {MOST_SIDE} pixels along a side',
            'write the size of the image; cut it into tiles if it is as large',
        )
    return tuple(sides)


def _object(node, path):
    """One <object>. Parts of an object (<part>, with boxes of their own) are no direct children and stay unread."""
    name = _text(_child(node, 'name', path), path).strip().lower()
    box = _child(node, 'bndbox', path)
    x1, y1, x2, y2 = (_number(box, tag, path) for tag in ('xmin', 'ymin', 'xmax', 'ymax'))
    return Object(name, (x1, y1, x2, y2), _difficult(node, path), node.line, box.line)


def _difficult(node, path):
    text = (node.findtext('difficult') or '').strip().lower()
    if text in ('', 'false', 'true', 'unspecified'):
        return text == 'true'
    return bool(int(_number(node, 'difficult', path)))


def _child(node, tag, path):
    child = node.find(tag)
    if child is None:
        raise DataError(path, node.line, f'<{node.tag}> has no <{tag}>', 'add it')
    if len(node.findall(tag)) > 1:
        raise DataError(path, node.line, f'<{node.tag}> has more than one <{tag}>', 'keep the right one')
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
        shown = text if len(text) <= 40 else text[:37] + '...'
        raise DataError(path, node.line, f'<{tag}> is {shown!r}, expected a number', 'correct it')
    return value
