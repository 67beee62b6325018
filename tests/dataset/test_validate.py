"""Each planted fault is found, with its file and its line, and nothing else is."""

import os

import pytest

from dcn.cli.validate import main
from dcn.dataset import validate


def found(tree, **cfg):
    """[(file name, line, what)] of all problems."""
    problems = validate(tree.cfg(**cfg))
    assert all(problem.todo for problem in problems)
    return [(os.path.basename(p.file), p.line, p.what) for p in problems]


def one(tree, **cfg):
    problems = found(tree, **cfg)
    assert len(problems) == 1, problems
    return problems[0]


def test_good_data_has_no_problems(tree):
    assert found(tree) == []


@pytest.mark.parametrize(
    'box, what',
    [
        ((30, 5, 10, 20), 'is inverted'),
        ((3, 5, 62, 20), 'leaves the image of 60 x 40 pixels'),
        ((3, 5, 3, 20), 'has zero width or height'),
        ((0, 5, 9, 20), 'leaves the image by one pixel'),
        ((3, 5, 9, 41), 'leaves the image by one pixel'),
    ],
)
def test_broken_box(tree, box, what):
    tree.annotation('b', ('cat', 1, 1, 5, 5), ('dog',) + box)
    file, line, message = one(tree)
    assert (file, line) == ('b.xml', 11) and what in message and "'dog'" in message


def test_all_broken_boxes_of_a_file_are_listed(tree):
    tree.annotation('b', ('cat', 9, 1, 5, 5), ('dog', 1, 9, 5, 5), ('dog', 1, 1, 5, 50))
    assert [(file, line) for file, line, _ in found(tree)] == [('b.xml', 6), ('b.xml', 11), ('b.xml', 16)]


def test_unknown_class(tree):
    tree.annotation('b', ('cow', 1, 1, 5, 5))
    assert one(tree) == ('b.xml', 3, "unknown class 'cow'")


def test_size_in_the_annotation_differs_from_the_image(tree):
    tree.image('b', width=60, height=41)
    assert one(tree) == ('b.xml', 2, '<size> is 60 x 40, but the image has 60 x 41 pixels')


def test_missing_image(tree):
    tree.image_path('b').unlink()
    file, line, what = one(tree)
    assert (file, line) == ('b.jpg', None) and what.endswith('trainval.txt:2')


@pytest.mark.parametrize('cut', [0, 10, 400])
def test_image_that_cannot_be_decoded(tree, cut):
    """Empty, without a header, and torn in the middle of the pixels."""
    content = tree.image_path('b').read_bytes()
    assert len(content) > 600
    tree.image_path('b').write_bytes(content[:cut])
    file, line, what = one(tree)
    assert (file, line) == ('b.jpg', None) and 'cannot be decoded' in what


def test_missing_and_malformed_annotation(tree):
    tree.xml_path('a').unlink()
    tree.xml_path('b').write_text('<annotation>\n<size>\n</annotation>')
    (first, _, missing), (second, line, malformed) = found(tree)
    assert first == 'a.xml' and missing.endswith('trainval.txt:1')
    assert (second, line) == ('b.xml', 3) and 'not well-formed XML (mismatched tag)' in malformed


def test_id_listed_twice(tree):
    tree.listing('trainval', 'a', 'b', 'a')
    file, line, what = one(tree)
    assert (file, line) == ('trainval.txt', 3) and what.endswith('trainval.txt:1')


def test_training_image_in_the_test_set(tree):
    tree.listing('test', 't', 'b')
    file, line, what = one(tree)
    assert (file, line) == ('test.txt', 2) and what.endswith('trainval.txt:2')


def test_same_set_for_training_and_test_is_no_fault(tree):
    assert found(tree, test_image_set='2007_trainval') == []


def test_empty_and_missing_sets(tree):
    tree.listing('trainval')
    tree.list_path('test').unlink()
    assert [(file, what.partition(' (')[0]) for file, _, what in found(tree)] == [
        ('trainval.txt', 'the image list is empty'),
        ('test.txt', 'the image list cannot be read'),
    ]


def test_fault_of_the_configuration_is_a_row(tree):
    file, line, what = found(tree, image_set='trainval')[0]
    assert (file, line) == ('configuration', None) and "'YEAR_SET'" in what


def test_progress_sees_every_image(tree):
    seen = []
    validate(tree.cfg(), progress=lambda images: seen.extend(images) or images)
    assert seen == ['a', 'b', 't']


YAML = """
symbol: resnet_v1_101_rfcn
dataset:
  dataset: PascalVOC
  NUM_CLASSES: 3
  CLASSES: [cat, dog]
  image_set: 2007_trainval
"""


def run(tree, capsys):
    """(status, printed lines) of the command."""
    path = tree.root / 'voc.yaml'
    path.write_text(YAML)
    folders = [f'dataset.{key}={tree.root}' for key in ('dataset_path', 'root_path')]
    status = main(['--cfg', str(path), '--set', *folders])
    return status, capsys.readouterr().out.splitlines()


def test_command_says_that_all_is_well(tree, capsys):
    status, printed = run(tree, capsys)
    assert (status, printed[-1]) == (0, '0 problems in PascalVOC 2007_trainval and 2007_test')
    assert printed[:-1] == [
        'voc_2007_trainval: images 2 (60 x 40 pixels), objects 2',
        '  sides of boxes: 20 x 20 to 20 x 30 (median 20 x 25) pixels',
        '  objects of each class: cat 1, dog 1',
        '  left out by training: 1 marked as difficult',
        'voc_2007_test: images 1 (60 x 40 pixels), objects 1',
        '  sides of boxes: 39 x 33 pixels',
        '  objects of each class: cat 1',
        '  classes without objects: dog',
    ]


def test_command_prints_a_problem_a_line(tree, capsys):
    tree.annotation('b', ('cow', 1, 1, 5, 5))
    status, lines = run(tree, capsys)
    assert status == 1 and lines[-1].startswith('1 problem in')
    assert lines[0].startswith(f"{tree.xml_path('b')}:3: unknown class 'cow'; ")
