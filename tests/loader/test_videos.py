"""Videos: their frames in order, their size and pace kept, and a sentence for each that is broken."""

import cv2
import numpy as np
import pytest

from dcn.errors import UserError
from dcn.loader.videos import BrokenVideo, is_video, name_for, opened, writing


def frame(number, size=(48, 64)):
    """A frame whose brightness tells its number."""
    return np.full((*size, 3), 30 + 10 * (number % 20), np.uint8)


def write(path, count=9, size=(48, 64), fps=12.5):
    with writing(str(path), fps) as writer:
        for number in range(count):
            writer.write(frame(number, size))
    return str(path)


def numbers(frames):
    return [int(round((image.mean() - 30) / 10)) for _, image in frames]


@pytest.mark.parametrize('size', [(48, 64), (49, 64), (48, 63)])
def test_size_pace_and_frames_are_kept(size, tmp_path):
    """Also where a side is odd, which MP4's encoder would cut."""
    path = write(name_for(size, str(tmp_path / 'clip')), size=size, fps=12)
    with opened(path) as video:
        frames = list(video.read())
        assert (video.fps, video.frames) == (12, 9)
    assert [number for number, _ in frames] == numbers(frames) == list(range(9))
    assert {image.shape for _, image in frames} == {(*size, 3)}
    assert sorted(tmp_path.iterdir()) == [tmp_path / path]


def test_every_third_frame_with_or_without_those_between(tmp_path):
    path = write(tmp_path / 'clip.mp4', fps=29.97)
    with opened(path) as video:
        assert video.fps == pytest.approx(29.97)
        assert numbers(video.read(3)) == [0, 3, 6]
    with opened(path) as video:
        assert len(list(video.read(3, between=True))) == 9


def test_another_program_reads_what_is_written(tmp_path):
    """PIL knows no video, OpenCV's own reader of MJPEG is not FFmpeg."""
    path = write(tmp_path / 'clip.avi', size=(49, 63), fps=12)
    capture = cv2.VideoCapture(path, cv2.CAP_OPENCV_MJPEG)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 9 and capture.read()[1].shape == (49, 63, 3)


def test_broken_videos_are_named(tmp_path, capfd):
    whole = write(tmp_path / 'whole.mp4', 20)
    content = (tmp_path / 'whole.mp4').read_bytes()
    made = {
        'text.mp4': (b'no video', "a text that begins with 'no video'"),
        'empty.avi': (b'', 'an empty file'),
        'half.mp4': (content[: len(content) // 2], 'cut off or damaged'),
    }
    for name, (data, told) in made.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BrokenVideo, match=rf'{name}: the video cannot be read: .*{told}'):
            with opened(str(tmp_path / name)):
                pass
    with pytest.raises(BrokenVideo, match='none.mp4: the video is missing'):
        with opened(str(tmp_path / 'none.mp4')):
            pass
    # what FFmpeg would say of it is said by the sentence
    assert capfd.readouterr().err == ''
    with opened(whole) as video:
        assert numbers(video.read(19)) == [0, 19]


def test_frames_that_the_head_promises_and_the_file_lacks(tmp_path):
    path = tmp_path / 'clip.avi'
    write(path, 40, (49, 63), 12)
    content = path.read_bytes()
    (tmp_path / 'cut.avi').write_bytes(content[: len(content) * 2 // 3])
    found = []
    with pytest.raises(BrokenVideo, match='cut.avi: the video (cannot be read|ends after .* of 40 frames)'):
        with opened(str(tmp_path / 'cut.avi')) as video:
            found += video.read()
    assert len(found) < 40


def test_nothing_is_left_of_a_video_that_is_not_finished(tmp_path):
    with pytest.raises(RuntimeError):
        with writing(str(tmp_path / 'clip.mp4'), 25) as writer:
            writer.write(frame(0))
            raise RuntimeError
    with pytest.raises(UserError, match='could not be written whole'):
        with writing(str(tmp_path / 'clip.mp4'), 25):
            pass
    assert list(tmp_path.iterdir()) == []


def test_names_of_videos():
    assert is_video('a/B.MP4') and is_video('x.webm') and not is_video('a.jpg') and not is_video('mp4')
