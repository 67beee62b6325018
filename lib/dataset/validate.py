"""`dcn validate`: every fault of a data set in one list, with file, line and what to do, before training finds one."""
import argparse
import functools
import os

from PIL import Image
from tqdm import tqdm

from lib.config import load_config
from lib.config.overriding import override_argument
from lib.dataset.annotation import parse_annotation
from lib.dataset.factory import get_imdb, split_image_sets
from lib.dataset.pascal_voc import box_fault, class_fault
from lib.dataset.problems import DataError, Problem, at
from lib.errors import UserError


def validate(cfg, progress=iter):
    """List of Problem (file, line, what, todo) over all training and test sets of ``cfg.dataset``; empty if all is well

    Every image is decoded, which takes about 10 ms each; ``progress`` wraps the iterable of images (tqdm will do).
    """
    problems, places = [], {}
    for image_set in _image_sets(cfg):
        try:
            imdb = get_imdb(cfg, image_set)
        except DataError as error:
            problems.append(error.problem)
            continue
        except UserError as error:
            problems.append(Problem('configuration', None, *_halves(str(error))))
            continue
        problems += _list_problems(imdb, places)
        lines = dict(zip(imdb.image_ids, imdb.image_lines))
        for image_id in progress(list(lines)):
            problems += _image_problems(imdb, image_id, lines[image_id])
    # an image in two sets would report its faults twice
    return list(dict.fromkeys(problems))


def main(argv=None):
    """``dcn validate``: prints one problem a line; status 1 if there are any."""
    parser = argparse.ArgumentParser(
        prog='dcn validate', description='Check the training and test data of an experiment before a network meets it: '
        'broken boxes, missing or unreadable images, unknown classes, ids listed twice. One problem a line: '
        'file:line: what is wrong; what to do. Status 1 if there are problems.')
    parser.add_argument('--cfg', required=True, metavar='YAML', help='experiment file; its dataset section is checked')
    override_argument(parser)
    args = parser.parse_args(argv)
    cfg = load_config(args.cfg, args.overrides)
    problems = validate(cfg, functools.partial(tqdm, desc='checking', unit='image', disable=None, leave=False))
    for problem in problems:
        print(problem)
    sets = ' and '.join(_image_sets(cfg))
    print(f'{len(problems)} problem{"s" * (len(problems) != 1)} in {cfg.dataset.dataset} {sets}')
    return 1 if problems else 0


def _image_sets(cfg):
    """All sets of the configuration, each once, training first."""
    return list(dict.fromkeys(split_image_sets(cfg.dataset.image_set) + split_image_sets(cfg.dataset.test_image_set)))


def _halves(message):
    what, _, todo = message.partition('; ')
    return what, todo or 'correct the configuration'


def _list_problems(imdb, places):
    """Ids listed twice, in one list or in two. ``places``: (data folder, id) -> 'list:line', filled here."""
    problems = []
    for image_id, line in zip(imdb.image_ids, imdb.image_lines):
        first = places.setdefault((imdb.data_path, image_id), at(imdb.list_path, line))
        if first != at(imdb.list_path, line):
            problems.append(Problem(imdb.list_path, line, f'the id {image_id!r} is listed already at {first}',
                                    'keep one of the two'))
    return problems


def _image_problems(imdb, image_id, line):
    """Faults of one image and its annotation."""
    path = imdb.annotation_path(image_id)
    size, problems = _image_size(imdb, image_id, line)
    try:
        annotation = parse_annotation(imdb.annotation_bytes(image_id, line), path)
    except DataError as error:
        return problems + [error.problem]
    if size and size != (annotation.width, annotation.height):
        what = f'<size> is {annotation.width} x {annotation.height}, but the image has {size[0]} x {size[1]} pixels'
        problems.append(Problem(path, annotation.size_line, what, 'write the size of the image and check the boxes'))
    for item in annotation.objects:
        problems += _object_problems(item, annotation, imdb.classes[1:])
    return problems


def _object_problems(item, annotation, known):
    """Faults of one object: its class, then its box."""
    if item.name not in known:
        yield Problem(annotation.path, item.line, *class_fault(item.name, known))
    fault = box_fault(item, annotation.width, annotation.height)
    x1, y1, x2, y2 = item.box
    if fault:
        yield Problem(annotation.path, item.box_line, *fault)
    elif x1 == x2 or y1 == y2:
        yield Problem(annotation.path, item.box_line, f'the box of {item.name!r} has zero width or height',
                      'correct its corners or remove the object')
    elif min(x1, y1) < 1 or int(x2) > annotation.width or int(y2) > annotation.height:
        yield Problem(annotation.path, item.box_line, f'the box of {item.name!r} leaves the image by one pixel',
                      'count corners from 1 and include the last pixel (reading clips the box)')


def _image_size(imdb, image_id, line):
    """((width, height) or None, problems) of the image file, decoded to its last row."""
    path = imdb.image_path(image_id)
    if not os.path.isfile(path):
        return None, [imdb.missing(path, 'the image is missing', line).problem]
    try:
        with Image.open(path) as image:
            image.load()
            return image.size, []
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return None, [Problem(path, None, f'the image cannot be decoded ({error})', 'replace the file')]
