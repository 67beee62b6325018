"""Writes golden_<family>.json.gz from the JSON descriptions of the original's graphs:

    python -m tests.graphs.make_golden FOLDER FAMILY...

FOLDER holds one file for each YAML file, mode and sub-graph (rfcn__<yaml>__<train|test>.json, alt__rfcn__...): every
node with name, operator, attributes, inputs and output shapes, as MXNet 1.9.1 reports them for the original's symbol
files. Equal records are stored once, and a graph is a list of runs [first record, number of records].
"""

import gzip
import io
import json
import sys
from pathlib import Path

from dcn.files import atomic_write
from tests.graphs.normal_form import from_description, golden_file


def collect(folder, family):
    """The content of a family's golden file."""
    records, graphs, places = [], {}, {}
    for path in sorted([*Path(folder).glob(f'{family}__*.json'), *Path(folder).glob(f'alt__{family}__*.json')]):
        description = json.loads(path.read_text())
        indices = []
        for record in from_description(description):
            key = json.dumps(record)
            if key not in places:
                places[key] = len(records)
                records.append(record)
            indices.append(places[key])
        graphs[path.stem] = {**summary(path.stem, description), 'runs': _runs(indices)}
    return {'records': records, 'graphs': graphs}


def summary(stem, description):
    """What the tests need beside the records."""
    parts = stem.split('__')
    params, macs = description['params'], description['macs']
    kinds = ('total', 'backbone', 'offset', 'head')
    return {
        'yaml': description['yaml'],
        'symbol': description['symbol'],
        'mode': description['mode'],
        'part': parts[3] if parts[0] == 'alt' else '',
        'outputs': description['list_outputs'],
        'input_shapes': description['input_shapes'],
        'params': {kind: params[kind] for kind in kinds},
        'macs': {kind: macs[kind] for kind in kinds},
    }


def _runs(indices):
    runs = []
    for index in indices:
        if runs and index == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([index, 1])
    return runs


def main(folder, *families):
    """Write the golden files."""
    for family in families:
        text = json.dumps(collect(folder, family), separators=(',', ':')).encode()
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode='wb', mtime=0) as stream:  # no time stamp: same input, same file
            stream.write(text)
        with atomic_write(str(golden_file(family))) as stream:
            stream.write(buffer.getvalue())


if __name__ == '__main__':
    main(*sys.argv[1:])
