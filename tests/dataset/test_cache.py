"""A cache answers for the very files it was made from, and for no others."""

import io
import zipfile

import numpy as np
import pytest

from dcn.dataset import cache, get_imdb, pascal_voc


@pytest.fixture
def parses(monkeypatch):
    """Names of the files parsed so far: a hit of the cache parses none."""
    paths = []
    original = pascal_voc.parse_annotation

    def counted(content, path):
        paths.append(path)
        return original(content, path)

    monkeypatch.setattr(pascal_voc, 'parse_annotation', counted)
    return paths


def boxes_of(tree):
    return [record['boxes'].tolist() for record in get_imdb(tree.cfg(), '2007_trainval').gt_roidb()]


def test_second_reading_comes_from_the_cache(tree, parses):
    first = boxes_of(tree)
    assert len(parses) == 2 and (tree.root / 'cache' / 'voc_2007_trainval_gt_roidb.npz').is_file()
    assert boxes_of(tree) == first and len(parses) == 2


def test_changed_annotation_is_read_again(tree, parses):
    boxes_of(tree)
    # same length of file, so that a key of size or name would miss it
    tree.xml_path('b').write_text(tree.xml_path('b').read_text().replace('<xmin>11', '<xmin>12'))
    assert boxes_of(tree)[1] == [[11, 5, 29, 24]] and len(parses) == 4


def test_changed_list_and_changed_classes_are_read_again(tree, parses):
    boxes_of(tree)
    tree.listing('trainval', 'b', 'a')
    assert boxes_of(tree)[0] == [[10, 5, 29, 24]] and len(parses) == 4
    swapped = get_imdb(tree.cfg(classes=('dog', 'cat')), '2007_trainval').gt_roidb()
    assert swapped[0]['gt_classes'].tolist() == [1] and len(parses) == 6


def test_image_without_objects_survives_the_cache(tree):
    tree.add('e')
    tree.listing('trainval', 'e', 'a', 'e')
    assert boxes_of(tree) == boxes_of(tree) == [[], [[0, 0, 19, 29]], []]


@pytest.mark.parametrize('damage', [b'', b'no archive at all', None])
def test_torn_cache_is_no_cache(tmp_path, damage):
    path = str(tmp_path / 'c.npz')
    cache.store(path, 'k', {'x': np.arange(3)})
    assert cache.load(path, 'k')['x'].tolist() == [0, 1, 2]
    assert cache.load(path, 'other') is None
    content = (tmp_path / 'c.npz').read_bytes()
    (tmp_path / 'c.npz').write_bytes(content[: len(content) // 2] if damage is None else damage)
    assert cache.load(path, 'k') is None


def test_pieces_of_a_key_do_not_run_together():
    assert cache.ContentKey('ab', 'c').text() != cache.ContentKey('a', 'bc').text()


def test_a_file_counts_by_its_content(tmp_path):
    first, second = tmp_path / 'a', tmp_path / 'b'
    for path in (first, second):
        path.write_bytes(b'x' * (1 << 20) + b'y')  # more than a block
    keys = [cache.ContentKey('k') for _ in range(3)]
    keys[0].add_file(first)
    keys[1].add_file(second)
    second.write_bytes(b'x' * (1 << 20) + b'z')
    keys[2].add_file(second)
    assert keys[0].text() == keys[1].text() != keys[2].text()


def damaged_archives(tmp_path):
    """Files that a reader of .npz may trip over."""
    good = tmp_path / 'good.npz'
    np.savez_compressed(good, key=np.array('k'), x=np.arange(1000))
    content = good.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(200):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(256)
        yield bytes(changed)
    for entry in (b'no header', b"\x93NUMPY\x01\x00\x10\x00{'descr': ((((", b'\x93NUMPY\x09\x00'):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, 'w') as archive:
            archive.writestr('x.npy', entry)
        yield packed.getvalue()


def test_damaged_archives_are_no_caches(tmp_path):
    path = tmp_path / 'c.npz'
    for content in damaged_archives(tmp_path):
        path.write_bytes(content)
        found = cache.load(str(path), 'k')
        assert found is None or found['x'].tolist() == list(range(1000))


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path):
    path = tmp_path / 'bomb.npz'
    np.savez_compressed(path, key=np.array('k'), x=np.zeros(1 << 25, np.uint8))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(cache.ArchiveError, match='unpack'):
        cache.read_npz(str(path))
    assert cache.load(str(path), 'k') is None
