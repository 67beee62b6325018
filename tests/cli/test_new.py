"""`dcn new`: a file for own data that loads, validates and fits what is there."""

import numpy as np
import pytest

from dcn.cli.new import main
from dcn.cli.validate import main as validate
from dcn.config import load_config
from dcn.dataset.survey import fitting_anchors, fitting_epochs, fitting_scale
from dcn.errors import UserError
from tests.dataset.seg_trees import VocSegTree, small_voc_tree
from tests.dataset.trees import coco, tree  # noqa: F401


def made(folder, tmp_path, *more):
    """The configuration that is written, after it was validated."""
    out = tmp_path / 'mine.yaml'
    assert main([str(folder), '--out', str(out), *more]) == 0
    assert validate(['--cfg', str(out)]) == 0
    return load_config(str(out)), out.read_text()


def test_voc(tree, tmp_path, capsys):
    cfg, text = made(tree.root, tmp_path)
    dataset = cfg.dataset
    assert (dataset.dataset, dataset.CLASSES, dataset.NUM_CLASSES) == ('PascalVOC', ['cat', 'dog'], 3)
    assert (dataset.image_set, dataset.test_image_set) == ('2007_trainval', '2007_test')
    assert cfg.symbol == 'resnet_v1_101_rfcn_dcn' and cfg.TEST.test_epoch == cfg.TRAIN.end_epoch == 60
    assert cfg.SCALES == [(128, 213)] or cfg.SCALES[0][0] < 600  # small images are not blown up
    assert len(cfg.network.ANCHOR_SCALES) * len(cfg.network.ANCHOR_RATIOS) == cfg.network.NUM_ANCHORS
    assert '# in the order of their numbers' in text and 'cat 1, dog 1' in capsys.readouterr().out
    with pytest.raises(UserError, match='exists already'):
        main([str(tree.root), '--out', str(tmp_path / 'mine.yaml')])


def test_coco_with_chosen_classes_and_family(coco, tmp_path):
    cfg, _ = made(coco.folder, tmp_path, '--family', 'fpn', '--classes', 'dog')
    assert (cfg.dataset.dataset, cfg.dataset.CLASSES, cfg.dataset.image_set) == ('coco', ['dog'], 'train2014')
    assert cfg.symbol == 'resnet_v1_101_fpn_dcn_rcnn' and cfg.network.ANCHOR_SCALES == [8]


def test_label_maps(tmp_path):
    small = small_voc_tree(tmp_path / 'data')
    cfg, _ = made(small.root, tmp_path, '--family', 'deeplab', '--classes', 'one,two')
    assert cfg.dataset.CLASSES == ['background', 'one', 'two'] and cfg.dataset.NUM_CLASSES == 3
    assert cfg.symbol == 'resnet_v1_101_deeplab_dcn'
    with pytest.raises(UserError, match='--classes A,B'):
        main([str(small.root), '--layout', 'segmentation', '--out', str(tmp_path / 'b.yaml')])


@pytest.mark.parametrize('name, words', [('none', 'no such folder'), ('.', 'neither annotations/instances')])
def test_nothing_to_look_at(tmp_path, name, words):
    with pytest.raises(UserError, match=words):
        main([str(tmp_path / name), '--out', str(tmp_path / 'a.yaml')])
    assert not (tmp_path / 'a.yaml').exists()


def test_no_lists_and_no_objects(tree, tmp_path):
    for name in ('a', 'b'):
        tree.annotation(name)
    with pytest.raises(UserError, match='hold no object'):
        main([str(tree.root), '--out', str(tmp_path / 'a.yaml')])
    for name in ('trainval', 'test'):
        tree.list_path(name).unlink()
    with pytest.raises(UserError, match='no list of images; write train.txt'):
        main([str(tree.root), '--out', str(tmp_path / 'a.yaml')])


def test_brackets_in_the_name_of_a_folder(tree, tmp_path):
    folder = tmp_path / 'data [1]'
    folder.mkdir()
    tree.folder.rename(folder / tree.folder.name)
    cfg, _ = made(folder, tmp_path)
    assert cfg.dataset.dataset_path == str(folder) and cfg.dataset.CLASSES == ['cat', 'dog']


def test_test_images_alone_have_no_label_maps(tmp_path):
    small = VocSegTree(tmp_path / 'data')
    small.write_image(small.image_path('t'))
    small.listing('test', 't')
    with pytest.raises(UserError, match=r't.png: the label map is missing, listed at .*test.txt:1; restore it'):
        main([str(small.root), '--family', 'deeplab', '--classes', 'one', '--out', str(tmp_path / 'a.yaml')])
    assert not (tmp_path / 'a.yaml').exists()


def test_scales_and_anchors_fit():
    sizes = np.array([[500, 375]] * 3)
    assert fitting_scale(sizes, np.array([[100, 80]]), (600, 1000)) == (600, 1000)
    assert fitting_scale(sizes, np.array([[10, 8]]), (600, 1000)) == (800, 1333)
    assert fitting_scale(sizes // 5, np.array([[10, 8]]), (600, 1000))[0] < 200
    # boxes of 32 to 256 pixels at stride 16
    boxes = np.array([[32, 32], [64, 64], [128, 128], [256, 256]] * 10)
    assert fitting_anchors(boxes, 1, 16) == ([2, 4, 8, 16], [0.5, 1, 2])
    assert fitting_anchors(np.array([[160, 20]] * 9), 1, 16)[1] == [0.25, 0.5, 1, 2]
    assert (fitting_epochs(2), fitting_epochs(1000), fitting_epochs(10**5)) == (60, 10, 7)
