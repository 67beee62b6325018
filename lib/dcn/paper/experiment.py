"""One row: its commands, what they need, and published beside measured."""

import os
import shlex
import textwrap
from typing import Iterator, List, Optional, Sequence

from easydict import EasyDict

from dcn import ledger
from dcn.config import difference_from_default, load_config, output_folder
from dcn.paper.rows import Row
from dcn.paper.sources import preparation
from dcn.paths import in_project

NOT_RUN = 'not run by this project, for want of the data'


def all_about(row: Row, output: Optional[str] = None) -> Iterator[str]:
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
    changes = cell.overrides + ([f'output_path={output}'] if output else [])
    cfg = load_config(in_project(cell.file), changes)
    options = f' --gpus {cell.gpus}' if cell.gpus else ''
    options += f' --set {" ".join(map(shlex.quote, changes))}' if changes else ''
    for command in ('train', 'test '):
        yield f'  dcn {command} --cfg {cell.file}{options}'
    gpus = len((cell.gpus or cfg.gpus).split(','))
    yield f'  {cfg.TRAIN.end_epoch} epochs; the learning rate counts on {gpus} GPU{"s" * (gpus > 1)}'
    yield '  needs:'
    yield from (f'    {path} ({"is there" if os.path.exists(path) else "missing"})' for path in needed(cfg))
    yield from (f'  {line}' for line in preparation(cfg, gpus))
    yield from _comparison(cell, cfg)


def needed(cfg: EasyDict) -> List[str]:
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
    from dcn.dataset.coco import FOLDERS, annotation_file

    return [annotation_file(root, image_set)[0], os.path.join(root, 'images', FOLDERS.get(image_set, image_set))]


def _cityscapes(root, image_set):
    folder, _, split = image_set.partition('_')
    return [os.path.join(root, folder, split), os.path.join(root, 'gtFine', split)]


LAYOUTS = {'PascalVOC': _voc, 'coco': _coco, 'CityScape': _cityscapes}


def _comparison(cell, cfg):
    """Published, measured and its interval side by side, from the scores.json that testing writes."""
    path = os.path.join(output_folder(cfg, cfg.dataset.test_image_set), 'scores.json')
    if not os.path.isfile(path):
        yield f'  measured: {NOT_RUN}; a run of these commands leaves its scores in {path}'
        return
    run = ledger.read_entry(path)
    yield f'  measured with {run["checkpoint"]} on {run["images"]} images:'
    theirs, ours = run.get('difference', {}), difference_from_default(cfg)
    yield from (
        f'    but with {key} {theirs.get(key, "as by default")}, not {ours.get(key, "as by default")}'
        for key in sorted({*theirs, *ours})
        if key not in ledger.PLACES and theirs.get(key) != ours.get(key)
    )
    intervals = (run.get('interval') or {}).get('scores', {})
    head = f'{100 * run["interval"]["confidence"]:g} % interval' if intervals else ''
    yield f'    {"":12s}{"published":>10s}{"measured":>10s}{"difference":>12s}{head:>18s}'.rstrip()
    for metric, published in cell.published.items():
        if run['scores'].get(metric) is None:
            yield (
                f'    {metric:12s}{published:10.1f}         - (the run has none; of a test set without public '
                'annotations the server tells it)'
            )
            continue
        measured = 100 * run['scores'][metric]
        text = interval_text(intervals.get(metric))
        yield f'    {metric:12s}{published:10.1f}{measured:10.1f}{measured - published:+12.1f}{text:>18s}'.rstrip()


def interval_text(bounds: Optional[Sequence[float]]) -> str:
    """'83.1 to 86.9' in points, '' where there is none."""
    return f'{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}' if bounds else ''


def _numbers(published):
    return ', '.join(f'{metric} {value}' for metric, value in published.items())
