"""What is found on photos, written for programs while it is found: JSON and CSV."""

import contextlib
import csv
import io
import json
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from dcn.files import Inputs, atomic_write

Record = Dict[str, Any]


class Table(NamedTuple):
    """A CSV file of records: names of the columns beside file, frame, seconds and error; rows of a record."""

    columns: Sequence[str]
    rows: Callable[[Record], Iterable[Sequence[Any]]]


class Records:
    """Takes one record after the other; none is kept."""

    def __init__(self, writers: List[Callable[[Record], None]]):
        self._writers = writers

    def add(self, record: Record) -> None:
        for write in self._writers:
            write(record)


def check_records(json_path: Optional[str], csv_path: Optional[str], inputs: Inputs) -> None:
    """UserError, before the work, where --json and --csv could not be written or would replace something that is
    read, or each other."""
    for path, name in ((json_path, '--json'), (csv_path, '--csv')):
        if path:
            inputs.output(path, name)


@contextlib.contextmanager
def records(json_path: Optional[str], csv_path: Optional[str], table: Table) -> Iterator[Records]:
    """Records to the files that are named; they appear when the block ends well."""
    with contextlib.ExitStack() as stack:
        writers = []
        if json_path:
            stream = stack.enter_context(atomic_write(json_path))
            writers.append(stack.enter_context(_json_list(stream)))
        if csv_path:
            writers.append(_csv_rows(stack.enter_context(atomic_write(csv_path)), table))
        yield Records(writers)


@contextlib.contextmanager
def _json_list(stream):
    """A list with a record on each line."""
    stream.write(b'[')
    separator = b'\n'

    def write(record):
        nonlocal separator
        stream.write(separator + json.dumps(record).encode())
        separator = b',\n'

    yield write
    stream.write(b'\n]\n')


def _csv_rows(stream, table):
    def row(values):
        line = io.StringIO()
        csv.writer(line, lineterminator='\n').writerow(values)
        stream.write(line.getvalue().encode('utf-8', 'surrogateescape'))  # names of files may be no text

    def write(record):
        origin = [record.get(key) for key in ('file', 'frame', 'seconds')]
        # a photo without a find has a row too
        for values in [] if 'error' in record else list(table.rows(record)) or [[None] * len(table.columns)]:
            row([*origin, *values, None])
        if 'error' in record:
            row([*origin, *[None] * len(table.columns), record['error']])

    row(['file', 'frame', 'seconds', *table.columns, 'error'])
    return write
