"""Proposals from files in their real layouts: reading, overlaps, flipped copies, and what is wrong with a file."""

import os

import numpy as np
import pytest
import scipy.io

from dcn.dataset import get_imdb
from dcn.dataset.cache import write_npz
from dcn.dataset.problems import DataError
from dcn.dataset.proposals import (
    placed_proposals,
    proposal_path,
    proposal_roidb,
    read_rpn,
    read_selective_search,
    training_proposals,
    write_rpn,
)

# images of 60 x 40; 'a' holds one easy object, 0-based 0 0 19 29, 'b' one at 10 5 29 24 (tests/dataset/trees.py)
BOXES = {'a': [[0, 0, 19, 29], [0, 0, 19, 14], [30.5, 10, 59, 39]], 'b': [[40, 30, 59, 39]]}


def config(tree, proposal, **dataset):
    cfg = tree.cfg()
    cfg.output_path, cfg.name = str(tree.root / 'out'), 'net'
    cfg.dataset.update(proposal=proposal, proposal_path='', **dataset)
    return cfg


def write(path, imdb, boxes=BOXES):
    boxes = [np.array(boxes[image_id], dtype=np.float32).reshape(-1, 4) for image_id in imdb.image_ids]
    write_rpn(path, imdb, boxes, [np.linspace(1, 0, len(rows)) for rows in boxes])


def write_mat(path, *cells):
    """Each cell as MATLAB holds it: rows y1 x1 y2 x2 from 1, uint16."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    column = np.empty((len(cells), 1), dtype=object)
    for index, cell in enumerate(cells):
        column[index, 0] = np.array(cell, dtype=np.uint16)
    scipy.io.savemat(path, {'boxes': column})


def test_rpn_records(tree):
    cfg = config(tree, 'rpn')
    imdb = get_imdb(cfg, '2007_trainval')
    path = proposal_path(cfg, imdb)
    assert path == os.path.join(cfg.output_path, 'net', '2007_trainval', 'rpn_data', 'voc_2007_trainval_rpn.npz')
    write(path, imdb)
    a, b = proposal_roidb(cfg, imdb)
    np.testing.assert_array_equal(a['proposals'], np.array(BOXES['a'], np.float32))
    # the object itself, half of it, nothing; then the ground truth that joins them
    np.testing.assert_allclose(a['max_overlaps'], [1, 0.5, 0, 1])
    assert a['max_classes'].tolist() == [1, 1, 0, 1] and b['max_classes'].tolist() == [0, 2]
    assert a['boxes'].tolist() == [[0, 0, 19, 29]] and a['boxes'].dtype == np.uint16


def test_mirrored_copies_share_and_mirror_their_proposals(tree):
    cfg = config(tree, 'rpn')
    imdb = get_imdb(cfg, '2007_trainval')
    write(proposal_path(cfg, imdb), imdb)
    records = training_proposals(cfg)
    assert [(r['id'], r['flipped']) for r in records] == [('a', False), ('b', False), ('a', True), ('b', True)]
    assert records[2]['proposals'] is records[0]['proposals']
    assert placed_proposals(records[2]).tolist() == [[40, 0, 59, 29], [40, 0, 59, 14], [0, 10, 28.5, 39]]
    np.testing.assert_array_equal(placed_proposals(records[0]), records[0]['proposals'])


def test_images_that_give_no_sample_are_left_out(tree):
    """'b' without ground truth has proposals of overlap 0 only: background with BG_THRESH_LO 0, useless from 0.1."""
    tree.annotation('b')
    for low, ids in ((0.0, ['a', 'b']), (0.1, ['a'])):
        cfg = config(tree, 'rpn')
        cfg.TRAIN.update(BG_THRESH_LO=low, FLIP=False)
        imdb = get_imdb(cfg, '2007_trainval')
        write(proposal_path(cfg, imdb), imdb)
        assert [record['id'] for record in training_proposals(cfg)] == ids


def test_an_image_without_proposals_gets_the_whole_image(tree):
    cfg = config(tree, 'rpn')
    imdb = get_imdb(cfg, '2007_trainval')
    write(proposal_path(cfg, imdb), imdb, dict(BOXES, b=[]))
    assert proposal_roidb(cfg, imdb)[1]['proposals'].tolist() == [[0, 0, 59, 39]]


def test_proposals_are_found_by_id_not_by_place(tree):
    cfg = config(tree, 'rpn')
    imdb = get_imdb(cfg, '2007_trainval')
    path = proposal_path(cfg, imdb)
    write(path, imdb)
    tree.listing('trainval', 'b')
    imdb = get_imdb(cfg, '2007_trainval')
    assert [rows.tolist() for rows in read_rpn(path, imdb)] == [BOXES['b']]


def test_selective_search(tree):
    cfg = config(tree, 'selective_search')
    imdb = get_imdb(cfg, '2007_trainval')
    path = proposal_path(cfg, imdb)
    assert path == os.path.join(str(tree.root), 'selective_search_data', 'voc_2007_trainval.mat')
    # rows y1 x1 y2 x2 from 1: two boxes, the first once more, one too narrow (x2 - x1 = 1), one too low (y2 - y1 = 2)
    write_mat(path, [[6, 11, 25, 30], [1, 1, 40, 60], [6, 11, 25, 30], [1, 5, 30, 6], [4, 1, 6, 30]], np.zeros((0, 0)))
    a, b = proposal_roidb(cfg, imdb)
    assert a['proposals'].tolist() == [[10, 5, 29, 24], [0, 0, 59, 39]]
    assert b['proposals'].tolist() == [[0, 0, 59, 39]] and b['max_overlaps'].tolist() == pytest.approx([400 / 2400, 1])


def test_proposal_path_names_the_folder(tree):
    for proposal, name in (('rpn', 'voc_2007_test_rpn.npz'), ('selective_search', 'voc_2007_test.mat')):
        cfg = config(tree, proposal)
        cfg.dataset.proposal_path = '/some/where'
        assert proposal_path(cfg, get_imdb(cfg, '2007_test')) == '/some/where/' + name


@pytest.mark.parametrize(
    'box, fault',
    [
        ([30, 0, 20, 10], 'is inverted'),
        ([0, 0, 61, 10], 'leaves the image of 60 x 40 pixels'),
        ([0, -2, 5, 10], 'leaves the image'),
        ([0, float('nan'), 5, 10], 'is no number'),
    ],
)
def test_faulty_boxes_name_file_and_image(box, fault, tree):
    cfg = config(tree, 'rpn')
    imdb = get_imdb(cfg, '2007_trainval')
    write(proposal_path(cfg, imdb), imdb, dict(BOXES, b=[box]))
    with pytest.raises(DataError, match=f'voc_2007_trainval_rpn.npz: image b: .*{fault}'):
        proposal_roidb(cfg, imdb)


def test_faulty_rpn_files(tree):
    cfg = config(tree, 'rpn')
    imdb, other = get_imdb(cfg, '2007_trainval'), get_imdb(cfg, '2007_test')
    path = proposal_path(cfg, imdb)
    with pytest.raises(DataError, match='proposals of voc_2007_trainval are missing; .*dcn test --proposals'):
        proposal_roidb(cfg, imdb)
    write(path, other, {'t': [[0, 0, 5, 5]]})
    with pytest.raises(DataError, match='1 proposals of voc_2007_test, expected 1 of voc_2007_trainval'):
        read_rpn(path, imdb)
    write(path, imdb)
    tree.add('c', ('cat', 1, 1, 20, 30))
    tree.listing('trainval', 'a', 'c', 'b')
    with pytest.raises(DataError, match='no proposals of image c, and of 0 others'):
        read_rpn(path, get_imdb(cfg, '2007_trainval'))
    for content in (b'', b'no archive', b'PK\x03\x04torn'):
        with open(path, 'wb') as stream:
            stream.write(content)
        with pytest.raises(DataError, match='not a file of RPN proposals'):
            read_rpn(path, imdb)
    good = {'imdb': imdb.name, 'ids': imdb.image_ids, 'counts': [1] * len(imdb.image_ids)}
    for kind in ('U3', 'S3', 'complex64', 'datetime64[s]'):
        write_npz(
            path, {'boxes': np.zeros((len(imdb.image_ids), 4), kind), **{k: np.array(v) for k, v in good.items()}}
        )
        with pytest.raises(DataError, match='not a file of RPN proposals'):
            read_rpn(path, imdb)


def test_faulty_selective_search_files(tree):
    cfg = config(tree, 'selective_search')
    imdb = get_imdb(cfg, '2007_trainval')
    path = proposal_path(cfg, imdb)
    with pytest.raises(DataError, match='voc_2007_trainval.mat: the proposals .* are missing; put the file there'):
        proposal_roidb(cfg, imdb)
    write_mat(path, [[1, 1, 9, 9]])
    with pytest.raises(DataError, match='boxes of 1 images, but voc_2007_trainval has 2'):
        read_selective_search(path, imdb)
    write_mat(path, [[1, 1, 9, 9]], [[1, 1, 9]])
    with pytest.raises(DataError, match=r'image b: expected rows of 4 numbers, found \(1, 3\)'):
        read_selective_search(path, imdb)
    scipy.io.savemat(path, {'boxen': np.zeros(3)})
    with pytest.raises(DataError, match="a cell array 'boxes'"):
        read_selective_search(path, imdb)
    with open(path, 'wb') as stream:
        stream.write(b'no MATLAB file at all')
    with pytest.raises(DataError, match='not a MATLAB file'):
        read_selective_search(path, imdb)


def test_changed_bytes_of_a_matlab_file_end_nothing(tree):
    """scipy's reader may crash on them, so a process of its own reads the file."""
    cfg = config(tree, 'selective_search')
    imdb = get_imdb(cfg, '2007_trainval')
    path = proposal_path(cfg, imdb)
    write_mat(path, [[1, 1, 9, 9]], [[1, 1, 9, 9]])
    with open(path, 'rb') as stream:
        content = stream.read()
    rng = np.random.default_rng(11)
    for _ in range(6):
        changed = bytearray(content)
        for place in rng.integers(128, len(content), 8):
            changed[place] = rng.integers(256)
        with open(path, 'wb') as stream:
            stream.write(changed)
        try:
            assert len(read_selective_search(path, imdb)) == 2
        except DataError as error:
            assert path in str(error)


def test_a_module_of_the_current_folder_is_not_run(tree, monkeypatch, tmp_path):
    (tmp_path / 'scipy.py').write_text('raise SystemExit(3)')
    monkeypatch.chdir(tmp_path)
    cfg = config(tree, 'selective_search')
    imdb = get_imdb(cfg, '2007_trainval')
    write_mat(proposal_path(cfg, imdb), [[1, 1, 9, 9]], [[1, 1, 9, 9]])
    assert len(read_selective_search(proposal_path(cfg, imdb), imdb)) == 2
