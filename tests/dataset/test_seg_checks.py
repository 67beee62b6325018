"""`dcn validate` on segmentation sets: each planted fault is found once, with its file, and nothing else is."""

import os

import numpy as np
import pytest

from dcn.dataset import validate
from tests.dataset.seg_trees import BROKEN, CityTree, broken_label, small_voc_tree


@pytest.fixture
def tree(tmp_path):
    return small_voc_tree(tmp_path)


def found(tree):
    """[(file name, line, what)] of all problems."""
    problems = validate(tree.cfg())
    assert all(problem.todo for problem in problems)
    return [(os.path.basename(p.file), p.line, p.what) for p in problems]


def test_good_data_has_no_problems(tree):
    assert found(tree) == []


@pytest.mark.parametrize('kind', sorted(BROKEN))
def test_broken_label_map(tree, kind):
    broken_label(tree.label_path('t'), kind)
    ((file, line, what),) = found(tree)
    assert (file, line) == ('t.png', None) and BROKEN[kind].split(' .*')[0].split(';')[0] in what


def test_all_faults_are_listed(tree):
    tree.image_path('a').unlink()
    tree.image_path('b').write_bytes(tree.image_path('b').read_bytes()[:300])
    tree.label_path('b').unlink()
    broken_label(tree.label_path('t'), 'values')
    assert [file for file, _, _ in found(tree)] == ['a.jpg', 'b.jpg', 'b.png', 't.png']


def test_size_and_values_of_one_file(tree):
    broken_label(tree.label_path('t'), 'values')
    tree.write_image(tree.image_path('t'), (40, 61))
    assert [what.split(',')[0] for _, _, what in found(tree)] == [
        'the label map has 60 x 40 pixels',
        'the label map holds the values 3',
    ]


def test_id_listed_twice(tree):
    tree.listing('val', 't', 'a')
    ((file, line, what),) = found(tree)
    assert (file, line) == ('val.txt', 2) and "'a' is listed already" in what and what.endswith('train.txt:1')


def test_missing_list(tree):
    tree.listing('val', 't').unlink()
    ((file, _, what),) = found(tree)
    assert file == 'val_seg.txt' and 'Segmentation/val.txt' in what


def test_cityscapes(tmp_path):
    tree = CityTree(tmp_path)
    tree.add('train', 'ulm_000001_000019', [[7, 7, 0], [26, 33, 255]])
    tree.add('val', 'bonn_000001_000019', [[7, 7, 0], [26, 33, 34]])
    ((file, _, what),) = found(tree)
    assert file == 'bonn_000001_000019_gtFine_labelIds.png' and 'holds the value 34; legal are 0 to 33, 255' in what
    tree.add('val', 'bonn_000001_000019', np.zeros((2, 3)))
    assert found(tree) == []


def test_cityscapes_without_images(tmp_path):
    problems = found(CityTree(tmp_path))
    assert [what for _, _, what in problems] == ['the folder is missing or holds no *_leftImg8bit.png'] * 2
