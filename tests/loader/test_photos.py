"""Photos from paths, folders and arrays; what is wrong with a file that is none; names for their pictures."""

import os
import threading

import cv2
import numpy as np
import pytest

from dcn.errors import UserError
from dcn.loader.photos import bgr_image, find_photos, stems


def test_photos_of_one_name_get_numbers():
    assert stems(['a/cat.jpg', 'b/cat.png', 'dog.jpg']) == ['cat_1', 'cat_2', 'dog']
    # a number that another photo's name has already is left out
    assert stems(['a.png', 'b/a.png', 'a_1.png', 'a_1.png']) == ['a_2', 'a_3', 'a_1_1', 'a_1_2']
    assert stems(['a_1.png', 'a.png', 'b/a.png']) == ['a_1', 'a_2', 'a_3']


def test_names_that_differ_in_case_are_one_name_on_some_disks():
    assert stems(['Cat.jpg', 'cat.jpg', 'CAT_1.png']) == ['Cat_2', 'cat_3', 'CAT_1']


def test_folders_files_and_globs(tmp_path):
    for name in ('b.PNG', 'a.jpg', 'notes.txt', 'x[1].png', 'x1.png', '._a.jpg'):  # macOS keeps notes beside photos
        (tmp_path / name).write_bytes(b'')
    paths = [str(tmp_path / name) for name in ('a.jpg', 'b.PNG', 'x1.png', 'x[1].png')]
    assert find_photos([str(tmp_path)]) == paths
    assert find_photos([str(tmp_path / '*.jpg'), str(tmp_path / 'b.PNG')]) == paths[:2]
    # a file whose name looks like a glob is that file
    assert find_photos([paths[3]]) == [paths[3]]
    assert find_photos(['nowhere.jpg']) == ['nowhere.jpg']
    with pytest.raises(UserError, match='matches no file'):
        find_photos([str(tmp_path / '*.gif')])


def encoded(extension='.jpg'):
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return cv2.imencode(extension, pixels)[1].tobytes()


@pytest.mark.parametrize('truncated_allowed', [False, True])  # a global of PIL, which gluoncv sets
@pytest.mark.parametrize(
    'content, cause',
    [
        (b'', 'an empty file'),
        (b'<!DOCTYPE html><html>', 'a web page'),
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'a Git LFS pointer'),
        (b'\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'HEIC'),
        (encoded()[:-3000], 'cut off'),
        (encoded('.png')[:100], 'cut off'),
    ],
    ids=['empty', 'web page', 'pointer', 'HEIC', 'half a JPEG', 'half a PNG'],
)
def test_what_a_file_is_instead(tmp_path, monkeypatch, content, cause, truncated_allowed):
    monkeypatch.setattr('PIL.ImageFile.LOAD_TRUNCATED_IMAGES', truncated_allowed)
    path = tmp_path / 'photo.jpg'
    path.write_bytes(content)
    with pytest.raises(UserError, match=f'photo.jpg: .*{cause}'):
        bgr_image(str(path))


def test_what_cameras_append_to_a_jpeg_is_not_missing(tmp_path):
    """Videos and further pictures behind the end, start markers among their bytes."""
    path = tmp_path / 'motion.jpg'
    path.write_bytes(encoded() + b'video \xff\xda and more \xff\xd8\xff')
    np.testing.assert_array_equal(bgr_image(path), cv2.imread(str(path)))


def test_a_pipe_is_read(tmp_path):
    pipe, data = str(tmp_path / 'pipe'), encoded('.png')
    os.mkfifo(pipe)

    def write():
        with open(pipe, 'wb') as stream:
            stream.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    assert bgr_image(pipe).shape == (60, 80, 3)
    writer.join()
