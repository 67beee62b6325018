"""Parts of a page, as HTML, and the page around them.

Text is escaped wherever it comes from; what is HTML already says so by its type, :class:`Html`.
"""

from __future__ import annotations

import base64
import html
import os
from typing import Collection, Iterable, NamedTuple, Sequence

from dcn.files import atomic_write
from dcn.text import printable

_FOLDER = os.path.dirname(os.path.abspath(__file__))


class Html(str):
    """Text that is HTML."""


class Section(NamedTuple):
    """A part of a page with its heading; ``anchor``: the name that a link ends in (page.html#anchor)."""

    title: str
    anchor: str
    parts: Sequence[Html]


def escaped(value: object) -> Html:
    """``value`` as HTML: Html as it is, anything else as plain text, control characters made visible."""
    return value if isinstance(value, Html) else Html(html.escape(printable(str(value))))


def joined(parts: Iterable[object], between: str = '\n') -> Html:
    """Parts one behind the other."""
    return Html(between.join(map(escaped, parts)))


def element(tag: str, content: object, **attributes: object) -> Html:
    """<tag attribute="value">content</tag>; an attribute that is None is left out, ``class_`` means class."""
    given = ''.join(
        f' {name.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f'<{tag}{given}>{escaped(content)}</{tag}>')


def paragraph(*parts: object) -> Html:
    """A paragraph: text and Html, one behind the other."""
    return element('p', joined(parts, ''))


def heading(text: object, anchor: str | None = None) -> Html:
    """A heading within a section."""
    return element('h3', text, id=anchor)


def note(*parts: object) -> Html:
    """A paragraph in small print."""
    return element('p', joined(parts, ''), class_='note')


def warning(*parts: object) -> Html:
    """A paragraph that must not be overlooked."""
    return element('p', joined(parts, ''), class_='warning')


def link(text: object, target: str) -> Html:
    return element('a', text, href=target)


def code(text: str) -> Html:
    return element('code', text)


def listing(text: str) -> Html:
    """Lines as they are: a command, a file."""
    return element('pre', element('code', Html(html.escape('\n'.join(map(printable, text.split('\n')))))))


def folded(summary: object, *parts: object) -> Html:
    """Parts that are shown when the summary is clicked."""
    return element('details', joined([element('summary', summary), *parts]))


def table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    right: Collection[int] = (),
    caption: object = None,
    marked: Collection[int] = (),
) -> Html:
    """A table; the columns whose number is in ``right`` hold numbers, the rows whose number is in ``marked`` stand out.

    It scrolls sideways by itself where the page is too narrow.
    """

    def line(cells, tag, kind=None):
        found = [
            element(tag, cell, class_='n' if k in right else None, scope='col' if tag == 'th' else None)
            for k, cell in enumerate(cells)
        ]
        return element('tr', joined(found, ''), class_=kind)

    parts = [] if caption is None else [element('caption', caption)]
    parts += [element('thead', line(head, 'th'))] if head else []
    body = [line(cells, 'td', 'marked' if k in marked else None) for k, cells in enumerate(rows)]
    return element('div', element('table', joined([*parts, element('tbody', joined(body))])), class_='scroll')


def facts(rows: Iterable[tuple[object, object]]) -> Html:
    """Names with their values, below each other."""
    return element('dl', joined([part for name, value in rows for part in (element('dt', name), element('dd', value))]))


def data_uri(content: bytes, kind: str) -> str:
    """``content`` as an address, of the MIME type ``kind`` ('image/png')."""
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def figure(content: Html, caption: object = '') -> Html:
    """A picture or chart with a caption below."""
    return element('figure', joined([content, element('figcaption', caption)] if caption else [content]))


def gallery(figures: Iterable[Html], width: int = 300) -> Html:
    """Figures side by side, as many in a row as find room at ``width`` pixels."""
    return element('div', joined(figures), class_='gallery', style=f'--least: {width}px')


def style() -> str:
    """The style of a document, colours first."""
    return colours() + _read('document.css')


def colours() -> str:
    """The colours of all pages, light and dark, as variables."""
    return _read('colours.css')


def document(title: str, subtitle: object, sections: Sequence[Section], lead: Sequence[Html] = ()) -> str:
    """A whole page: title, ``lead`` (what it says in short), links to the sections, the sections."""
    links = joined([link(section.title, f'#{section.anchor}') for section in sections], '')
    parts = [
        element('header', joined([element('h1', title), element('p', subtitle, class_='soft')])),
        element('nav', links) if len(sections) > 1 else '',
        *([element('section', joined(lead), class_='lead')] if lead else []),
        *(
            element('section', joined([element('h2', section.title), *section.parts]), id=section.anchor)
            for section in sections
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escaped(title)}</title>\n<style>\n{style()}</style>\n</head>\n<body>\n'
        f'{joined(part for part in parts if part)}\n</body>\n</html>\n'
    )


def write(path: str, text: str) -> str:
    """Write a page, whole or not at all; returns the path."""
    with atomic_write(path) as stream:
        stream.write(text.encode('utf-8'))
    return path


def _read(name):
    with open(os.path.join(_FOLDER, name), encoding='utf-8') as stream:
        return stream.read()
