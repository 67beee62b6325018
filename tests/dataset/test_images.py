"""Image files: which way up they are read, what keeps them from being read, and that all readers agree."""

import io
import logging
import os

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from dcn.dataset import images
from dcn.dataset.images import ImageReader
from dcn.dataset.problems import DataError
from dcn.loader.image import load_image
from tests.dataset.trees import png

PICTURE = np.random.default_rng(3).integers(0, 255, (40, 60, 3), dtype=np.uint8)  # red green blue


def write(path, orientation=None, pixels=PICTURE, **options):
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    Image.fromarray(pixels).save(path, exif=exif, **options)
    return str(path)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('name, options', [('a.png', {}), ('a.tif', {}), ('a.webp', {'lossless': True}), ('a.jpg', {})])
def test_orientation_is_as_pillow_has_it(tmp_path, name, options, orientation):
    path = write(tmp_path / name, orientation, **options)
    stored = images.read_pixels(path, upright=False)
    assert stored.shape == PICTURE.shape
    if name == 'a.jpg':  # lossy: its own decoder tells
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        assert (stored == cv2.imread(path, flags)).all()
    else:
        assert (stored[..., ::-1] == PICTURE).all()
    source = Image.fromarray(stored[..., ::-1])
    source.getexif()[274] = orientation
    assert (images.read_pixels(path)[..., ::-1] == np.array(ImageOps.exif_transpose(source))).all()
    height, width = images.read_pixels(path).shape[:2]
    assert ImageReader('upright').size(path) == (width, height)
    assert ImageReader('stored').size(path) == ImageReader().size(path) == (60, 40)


def test_a_photo_without_exif_or_with_nonsense_in_it_is_left_alone(tmp_path):
    for orientation in (None, 9, 77):
        path = write(tmp_path / 'a.png', orientation)
        assert (images.read_pixels(path)[..., ::-1] == PICTURE).all()


def record(path, size=(60, 40), reader=None):
    return {'id': 'a', 'image': path, 'width': size[0], 'height': size[1], 'reader': reader or ImageReader()}


def test_training_warns_once_of_turned_photos_that_nobody_decided_about(tmp_path, caplog):
    paths = [write(tmp_path / f'{k}.png', 3) for k in range(3)]
    for setting, warnings in ((None, 1), ('stored', 0), ('upright', 0)):
        reader = ImageReader(setting)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            pixels = [load_image(record(path, reader=reader)) for path in paths]
        assert len(caplog.records) == warnings
        expected = PICTURE[::-1, ::-1] if setting == 'upright' else PICTURE
        assert all((image[..., ::-1] == expected).all() for image in pixels)
    assert 'dataset.ORIENTATION' in ImageReader().problems(paths[0], None, paths[0], None, 'size')[0].todo


@pytest.mark.parametrize(
    'setting, size, words',
    [
        (None, (40, 60), 'belong to the upright photo'),
        ('stored', (40, 60), 'belong to the upright photo'),
        ('upright', (60, 40), 'belong to the stored photo'),
        (None, (120, 80), 'is 120 x 80, but the image has 60 x 40 pixels; restore the image'),
        ('upright', (30, 20), 'is 30 x 20, but the image has 40 x 60 pixels; restore the image'),
    ],
)
def test_another_size_than_annotated_stops(tmp_path, setting, size, words):
    path = write(tmp_path / 'a.png', 6)
    with pytest.raises(DataError, match=words.replace('(', r'\(')):
        load_image(record(path, size, ImageReader(setting)))
    (problem,) = ImageReader(setting).problems(path, size, 'list', 3, '<size>')
    assert (problem.file, problem.line) == ('list', 3)
    good = (40, 60) if setting == 'upright' else (60, 40)
    assert load_image(record(path, good, ImageReader(setting))).shape[1::-1] == good


def encoded(kind, **options):
    packed = io.BytesIO()
    Image.fromarray(PICTURE).save(packed, kind, **options)
    return packed.getvalue()


def tiff_of_floats():
    packed = io.BytesIO()
    Image.fromarray(PICTURE[..., 0] / np.float32(255)).save(packed, 'TIFF')
    return packed.getvalue()


CAUSES = {
    'web page': (b'<!DOCTYPE html><html>404', 'it is a web page'),
    'pointer': (b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', 'Git LFS pointer.*git lfs pull'),
    'empty': (b'', 'it is an empty file'),
    'iPhone': (b'\0\0\0\x18ftypheic' + bytes(40), 'a HEIC photo'),
    'film': (b'\0\0\0\x18ftypisom' + bytes(40), 'an MP4 film'),
    'GIF': (encoded('GIF'), 'a GIF image'),
    'archive': (b'PK\x03\x04' + bytes(40), 'a zip archive'),
    'half JPEG': (encoded('JPEG')[:-900], 'cut off'),
    'half progressive JPEG': (encoded('JPEG', progressive=True)[:-900], 'cut off'),
    'half PNG': (encoded('PNG')[:3000], 'cut off'),
    'damaged PNG': (encoded('PNG')[:60] + bytes(200) + encoded('PNG')[260:], 'damaged'),
    'half JPEG with an end marker': (encoded('JPEG')[:-900] + b'\xff\xd9', 'cut off'),
    'AVIF': (b'\0\0\0\x20ftypavif' + bytes(40), 'an AVIF image'),
    'iPhone, another brand': (b'\0\0\0\x20ftypheis' + bytes(40), 'a HEIC photo'),
    'raw photo': (b'II*\0\x10\0\0\0CR\2\0' + bytes(40), 'a raw photo'),
    'raw photo, newer': (b'\0\0\0\x18ftypcrx ' + bytes(40), 'a raw photo'),
    'drawing': (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', 'an SVG drawing'),
    'page with a byte order mark': (b'\xef\xbb\xbf<html>', 'it is a web page'),
    'page in UTF-16': ('<html>'.encode('utf-16'), 'it is a web page'),
    'pointer of old': (b'version https://hawser.github.com/spec/v1\noid sha256:0\n', 'Git LFS pointer.*git lfs pull'),
    'git-annex': (b'/annex/objects/SHA256E-s1--0.jpg\n', 'a git-annex pointer'),
    'note of macOS': (b'\0\5\x16\7\0\2\0\0Mac OS X        ' + bytes(40), 'what macOS keeps about another file'),
    'sound': (b'RIFF\x40\0\0\0WAVEfmt ' + bytes(40), 'a WAV sound'),
    'numbers with fractions': (tiff_of_floats(), 'floating-point numbers'),
    'gigapixels': (png(40000, 30000, 8, 2, b''), '40000 x 30000 pixels, more than the 1073741824'),
    'long': (png(70000, 10, 8, 2, b''), 'expected at most 65535 along a side'),
}


@pytest.mark.parametrize('name', CAUSES)
def test_the_cause_is_named_and_all_readers_refuse_alike(tmp_path, capfd, name):
    content, cause = CAUSES[name]
    path = tmp_path / 'x.jpg'
    path.write_bytes(content)
    found = []
    for read in (
        lambda: images.read_pixels(str(path)),
        lambda: load_image(record(str(path))),
        lambda: ImageReader().pixels(str(path)),
    ):
        with pytest.raises(DataError, match=f'x.jpg.*{cause}') as error:
            read()
        found.append(error.value.problem.what.replace('image a: ', ''))
    (problem,) = ImageReader().problems(str(path), None, 'x', None, '<size>')
    assert {*found, problem.what} == {found[0]}
    assert 'JPEG' not in capfd.readouterr().err  # its decoder prints no line without a file name


def test_folders_missing_files_and_pipes(tmp_path):
    os.mkfifo(tmp_path / 'pipe.jpg')
    with pytest.raises(DataError, match='is a folder'):
        images.read_pixels(str(tmp_path))
    with pytest.raises(DataError, match='the image is missing'):
        images.read_pixels(str(tmp_path / 'none.jpg'))
    with pytest.raises(DataError, match='the image cannot be read .*null'):
        images.read_pixels('a\0b')
    with pytest.raises(DataError, match='a pipe or device'):  # and nothing hangs
        images.read_pixels(str(tmp_path / 'pipe.jpg'))


def test_a_pipe_is_read_where_that_is_wanted():
    reading, writing = os.pipe()
    os.write(writing, encoded('PNG'))
    os.close(writing)
    assert (images.read_pixels(f'/dev/fd/{reading}', pipes=True)[..., ::-1] == PICTURE).all()
    os.close(reading)


def test_no_device_is_read_to_its_end(tmp_path, monkeypatch):
    """/dev/zero has none; a pipe may have none, and a file of a disk image's size is no photo."""
    os.symlink('/dev/zero', tmp_path / 'zeros.jpg')
    with pytest.raises(DataError, match='zeros.jpg: is a pipe or device'):
        images.read_pixels(str(tmp_path / 'zeros.jpg'), pipes=True)
    with open(tmp_path / 'large.jpg', 'wb') as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DataError, match='large.jpg: the file has more than the 2147483647 bytes'):
        images.read_pixels(str(tmp_path / 'large.jpg'))
    monkeypatch.setattr(images, 'MOST_BYTES', 100)
    reading, writing = os.pipe()
    os.write(writing, encoded('PNG'))  # and it stays open
    with pytest.raises(DataError, match='more than the 100 bytes'):
        images.read_pixels(f'/dev/fd/{reading}', pipes=True)
    os.close(reading), os.close(writing)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'BMP', 'JPEG', 'WEBP'])
@pytest.mark.parametrize('mode', ['L', 'LA', 'P', '1', 'RGBA', 'CMYK', 'I;16'])
def test_pixels_of_any_depth_become_8_bits_of_three_colours(tmp_path, kind, mode):
    """As OpenCV reads them from the disk."""
    path, picture = str(tmp_path / 'a'), Image.fromarray(PICTURE)
    try:
        (Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257) if mode == 'I;16' else picture.convert(mode)).save(
            path, kind
        )
    except (OSError, ValueError):
        pytest.skip(f'{kind} has no {mode}')
    expected = cv2.imread(path, cv2.IMREAD_COLOR)
    assert expected.shape == PICTURE.shape
    assert (images.read_pixels(path) == expected).all()


@pytest.mark.parametrize('options', [{}, {'restart_marker_blocks': 3}, {'progressive': True}, {'optimize': True}])
@pytest.mark.parametrize('shape', [(1, 1), (8, 8), (17, 33), (40, 7)])
def test_a_jpeg_is_read_as_opencv_reads_it(options, shape, capfd):
    """Its end marker is taken away first; what stands behind it, a second picture too, changes nothing."""
    for subsampling in (0, 1, 2):
        content, second = (
            encoded_pixels(PICTURE[: shape[0], : shape[1]], subsampling=subsampling, **options),
            encoded('JPEG'),
        )
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        for tail in (b'', b'\xff\xd9', second):
            expected = cv2.imdecode(np.frombuffer(content + tail, np.uint8), flags)
            assert (images.decode(content + tail, 'a.jpg') == expected).all()
    assert capfd.readouterr().err == ''


def encoded_pixels(pixels, **options):
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, 'JPEG', **options)
    return packed.getvalue()


@pytest.mark.parametrize('transparent', [False, True])
def test_notes_in_a_png_that_libpng_complains_about_are_passed_over(tmp_path, capfd, transparent):
    """Colour profiles that are none, as image editors wrote them for years; each was a line on the terminal."""
    path = str(tmp_path / 'a.png')
    picture = Image.fromarray(PICTURE).convert('P') if transparent else Image.fromarray(PICTURE)
    picture.save(path, icc_profile=b'no profile' * 20, **({'transparency': 3} if transparent else {}))
    assert (images.read_pixels(path)[..., ::-1] == np.array(picture.convert('RGB'))).all()
    assert capfd.readouterr().err == ''
    cv2.imread(path)
    assert 'libpng warning: iCCP' in capfd.readouterr().err  # what it would be without


def test_large_images_are_read_without_a_warning(tmp_path, recwarn):
    """Above the limits at which PIL warns (89 million pixels) and refuses (179 million)."""
    path = str(tmp_path / 'large.png')
    cv2.imwrite(path, np.zeros((1, 60000), np.uint8))
    assert images.read_header(path)[:2] == (60000, 1)
    content = png(20000, 10000, 8, 2, b'')
    (tmp_path / 'huge.png').write_bytes(content)
    assert images.read_header(str(tmp_path / 'huge.png'))[:2] == (20000, 10000)
    assert not [w for w in recwarn if 'Decompression' in str(w.category)]
