"""Text for a terminal: tables, and names from files made harmless."""

import argparse
import codecs
from typing import Any, Collection, List, NoReturn, Optional, Sequence, Tuple


def printable(text: str) -> str:
    """``text`` with control characters, line breaks and lone surrogates escaped: a name cannot steer the terminal."""
    return ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)


def printable_lines(text: str) -> str:
    """The same of a text of several lines, whose line breaks and tabs stay."""
    return '\n'.join('\t'.join(map(printable, line.split('\t'))) for line in text.split('\n'))


class Parser(argparse.ArgumentParser):
    """As argparse's, for every command; an argument that it repeats in an error, such as a file's name, cannot steer
    the terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(printable_lines(message))


def wide_text(content: bytes) -> Optional[str]:
    """A noun phrase for text in UTF-16 or UTF-32, which may lack a byte order mark; None for anything else."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return 'UTF-32 text'
    even, odd = set(content[:512:2]), set(content[1:512:2])
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if marked or even == {0} and 0 not in odd or odd == {0} and 0 not in even:
        return 'UTF-16 text, as PowerShell writes it'
    return None


def undecodable(error: UnicodeDecodeError) -> Tuple[int, str]:
    """(line, byte) of what cannot be decoded, such as (2, 'fc')."""
    return error.object.count(b'\n', 0, error.start) + 1, f'{error.object[error.start]:02x}'


def table(head: Sequence[object], rows: Sequence[Sequence[object]], right: Collection[int] = ()) -> List[str]:
    """Lines of a table; columns whose number is in ``right`` are flush right."""
    cells = [head, *rows]
    widths = [max(len(str(row[k])) for row in cells) for k in range(len(head))]
    lines = []
    for row in cells:
        texts = [
            str(cell).rjust(width) if k in right else str(cell).ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append('  '.join(texts).rstrip())
    return lines[:1] + ['-' * max(len(line) for line in lines)] + lines[1:]


def markdown_table(head: Sequence[object], rows: Sequence[Sequence[object]], right: Collection[int] = ()) -> List[str]:
    """The same in Markdown."""
    rule = ['---:' if k in right else '---' for k in range(len(head))]
    return [f'| {" | ".join(map(str, row))} |' for row in (head, rule, *rows)]


def names_text(names: Sequence[str], most: int = 5) -> str:
    """The first ``most`` of the names, and how many more there are."""
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more


def shape_text(shape: Optional[Sequence[int]]) -> str:
    return '?' if shape is None else ' x '.join(str(length) for length in shape) if shape else 'scalar'


def count_text(count: Optional[int]) -> str:
    """12,345,678 as 12.346 M; exact below 100,000."""
    if count is None:
        return '?'
    if count < 100000:
        return f'{count:,}' if count else ''
    return f'{count / 1e6:.3f} M'


def macs_text(count: Optional[int]) -> str:
    if count is None:
        return '?'
    return '' if not count else f'{count / 1e9:.2f} G' if count >= 1e9 else f'{count / 1e6:.2f} M'


def number_text(value: Optional[float]) -> str:
    return '' if value is None else f'{value:.4g}'


def field_text(field: Any) -> Tuple[str, str]:
    """Receptive field and stride, as two texts: '483' or '3 x 5', '16'; a word for RoIs and whole images."""
    if field is None:
        return '', ''
    if field.size is None:
        return {'region': 'its RoI', 'image': 'the image'}[field.size_word], ''
    size, stride = (
        ' x '.join(f'{float(v):g}' for v in (pair[:1] if pair[0] == pair[1] else pair))
        for pair in (field.size, field.stride)
    )
    return size, stride
