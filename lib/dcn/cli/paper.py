"""``dcn paper``: the published results, experiment and commands behind each, and how a finished run compares."""

import argparse
import collections
import functools
import json
import os
import shlex
import textwrap

import yaml

from dcn.cli.detect import in_project
from dcn.errors import UserError
from dcn.text import table

RESULTS = os.path.join(os.path.dirname(__file__), 'paper_results.yaml')
NOT_RUN = 'not run by this project, for want of the data'

# keys that say where things lie and what computes
PLACES = ('output_path', 'gpus', 'network.pretrained', 'dataset.root_path', 'dataset.dataset_path')

Row = collections.namedtuple('Row', 'id table title cells')
Row.__doc__ = """A row of a published table: its name here, its table (see paper_results.yaml), what sets it apart."""

Cell = collections.namedtuple('Cell', 'network published file overrides gpus why')
Cell.__doc__ = """Numbers of one network: published {metric: points}, its experiment file, --set values and the
--gpus other than its own; or file None and why there is no command."""


def main(argv=None):
    args = parser().parse_args(argv)
    if args.row is None:
        print('\n'.join(overview()))
    elif args.row not in rows():
        raise UserError(f'dcn paper {args.row}: no such row; expected one of {", ".join(rows())}.')
    else:
        print('\n'.join(all_about(rows()[args.row], args.output)))


def parser():
    made = argparse.ArgumentParser(
        prog='dcn paper',
        description='The results that the authors published: without ROW all of them, with it the '
        'commands, data and weights behind one, and beside it what a finished run of those commands measured.',
    )
    made.add_argument('row', nargs='?', metavar='ROW', help='a name of the first column, such as rfcn-dcn-voc')
    made.add_argument('--output', metavar='DIR', help="output_path of the run (default: the experiment file's)")
    return made


@functools.lru_cache(maxsize=None)
def rows():
    """{name: Row} of all tables."""
    with open(RESULTS, encoding='utf-8') as stream:
        published = yaml.safe_load(stream)
    found = [_row(entry, whole, published['sources']) for whole in published['tables'] for entry in whole['rows']]
    return {row.id: row for row in found}


def _row(entry, whole, sources):
    whole = dict(whole, text=sources[whole['source']])
    cells = entry.get('cells') or {None: entry['numbers']}
    return Row(
        entry['id'],
        whole,
        entry['title'],
        [_cell(entry, whole, whole['columns'][name] if name else entry, numbers) for name, numbers in cells.items()],
    )


def _cell(entry, whole, column, numbers):
    published = dict(zip(column.get('metrics', whole['metrics']), numbers))
    why = entry.get('none') or column.get('none')
    if why:
        return Cell(column['network'], published, None, [], None, why)
    # variants of one experiment file must not take each other's place
    place = [f'output_path=./output/paper/{entry["id"]}'] if whole['source'] == 'paper' else []
    changes = entry.get('set', []) + (entry.get('detector_set', []) if column.get('pooling') else [])
    path = f'experiments/{column["file"]}'
    return Cell(column['network'], published, path, changes + place, column.get('gpus'), None)


def overview():
    """The lines of all tables."""
    by_table = {}
    for row in rows().values():
        by_table.setdefault(row.table['id'], []).append(row)
    for found in by_table.values():
        yield f'{found[0].table["title"]}\n'
        yield from (networks_table if len(found[0].cells) > 1 else metrics_table)(found)
        yield ''
    sources = {row.table['source']: row.table['text'] for row in rows().values()}
    for name, text in sources.items():
        yield from textwrap.wrap(f'{name}: {text}.', 120)
    yield f"\nEvery row: {NOT_RUN}. 'dcn paper ROW' shows its commands and what they need."


def networks_table(found):
    """Lines of a table whose rows have several networks: one column each, its metrics joined."""
    networks = list(dict.fromkeys(cell.network for row in found for cell in row.cells))
    metrics = dict.fromkeys(' / '.join(cell.published) for row in found for cell in row.cells)
    texts = [{cell.network: ' / '.join(map(str, cell.published.values())) for cell in row.cells} for row in found]
    body = [[row.id, row.title, *(text.get(network, '') for network in networks)] for row, text in zip(found, texts)]
    return table(['ROW', '; '.join(metrics), *networks], body, range(2, 2 + len(networks)))


def metrics_table(found):
    """Lines of a table whose rows have one network: one column for each metric."""
    metrics = list(dict.fromkeys(metric for row in found for metric in row.cells[0].published))
    body = [
        [row.id, f'{row.cells[0].network}, {row.title}', *(cell.published.get(metric, '') for metric in metrics)]
        for row in found
        for cell in row.cells
    ]
    return table(['ROW', '', *metrics], body, range(2, 2 + len(metrics)))


def _numbers(published):
    return ', '.join(f'{metric} {value}' for metric, value in published.items())


def all_about(row, output=None):
    """The lines about one row; ``output``: output_path of a run of its commands."""
    yield f'{row.id}: {row.table["title"]}, {row.title}'
    yield from textwrap.wrap(f'source: {row.table["text"]}.', 120)
    for cell in row.cells:
        yield f'\n{cell.network}'
        yield f'  published: {_numbers(cell.published)}'
        if cell.file is None:
            yield f'  no command: {cell.why}'
        else:
            yield from _experiment(cell, output)


def _experiment(cell, output):
    from dcn.config import load_config

    changes = cell.overrides + ([f'output_path={output}'] if output else [])
    cfg = load_config(in_project(cell.file), changes)
    options = f' --gpus {cell.gpus}' if cell.gpus else ''
    options += f' --set {" ".join(map(shlex.quote, changes))}' if changes else ''
    for command in ('train', 'test '):
        yield f'  dcn {command} --cfg {cell.file}{options}'
    gpus = len((cell.gpus or cfg.gpus).split(','))
    yield f'  {cfg.TRAIN.end_epoch} epochs on {gpus} GPU{"s" * (gpus > 1)}, as the learning rate expects'
    yield '  needs:'
    yield from (f'    {path} ({"is there" if os.path.exists(path) else "missing"})' for path in needed(cfg))
    yield from _comparison(cell, cfg)


def needed(cfg):
    """Paths of the files and folders that training and testing read."""
    sets = [*cfg.dataset.image_set.split('+'), cfg.dataset.test_image_set]
    paths = [path for name in sets for path in LAYOUTS[cfg.dataset.dataset](cfg.dataset.dataset_path, name)]
    return [*dict.fromkeys(paths), f'{cfg.network.pretrained}-{cfg.network.pretrained_epoch:04d}.params']


def _voc(root, image_set):
    from dcn.dataset.voc_segmentation import image_lists, year_folder

    year, _, name = image_set.partition('_')
    if name.endswith('_seg'):
        folder, labels = year_folder(root, year), 'SegmentationClass'
        lists = image_lists(folder, name)
    else:
        folder, labels = os.path.join(root, 'VOC' + year), 'Annotations'
        lists = [os.path.join(folder, 'ImageSets', 'Main', f'{name}.txt')]
    image_list = next(filter(os.path.isfile, lists), lists[0])
    return [image_list, os.path.join(folder, 'JPEGImages'), os.path.join(folder, labels)]


def _coco(root, image_set):
    from dcn.dataset.coco import FOLDERS

    kind = 'image_info' if 'test' in image_set else 'instances'
    return [
        os.path.join(root, 'annotations', f'{kind}_{image_set}.json'),
        os.path.join(root, 'images', FOLDERS.get(image_set, image_set)),
    ]


def _cityscapes(root, image_set):
    folder, _, split = image_set.partition('_')
    return [os.path.join(root, folder, split), os.path.join(root, 'gtFine', split)]


LAYOUTS = {'PascalVOC': _voc, 'coco': _coco, 'CityScape': _cityscapes}


def _comparison(cell, cfg):
    """Published beside measured, from the scores.json that testing writes."""
    from dcn.config import difference_from_default, output_folder

    path = os.path.join(output_folder(cfg, cfg.dataset.test_image_set), 'scores.json')
    if not os.path.isfile(path):
        yield f'  measured: {NOT_RUN}; a run of these commands is looked for in {path}'
        return
    with open(path, encoding='utf-8') as stream:
        run = json.load(stream)
    yield f'  measured with {run["checkpoint"]} on {run["images"]} images:'
    theirs, ours = run.get('difference', {}), difference_from_default(cfg)
    yield from (
        f'    but with {key} {theirs.get(key, "as by default")}, not {ours.get(key, "as by default")}'
        for key in sorted({*theirs, *ours})
        if key not in PLACES and theirs.get(key) != ours.get(key)
    )
    yield f'    {"":12s}{"published":>10s}{"measured":>10s}{"difference":>12s}'
    for metric, published in cell.published.items():
        if run['scores'].get(metric) is None:
            yield (
                f'    {metric:12s}{published:10.1f}         - (the run has none; of a test set without public '
                'annotations the server tells it)'
            )
            continue
        measured = 100 * run['scores'][metric]
        yield f'    {metric:12s}{published:10.1f}{measured:10.1f}{measured - published:+12.1f}'
