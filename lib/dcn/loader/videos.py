"""Videos, frame by frame: read and written by OpenCV, one frame in memory at a time."""

import contextlib
import os
from typing import Iterator, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from dcn.errors import UserError
from dcn.files import atomic_path
from dcn.formats.foreign import kind

EXTENSIONS = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv', '.ogv', '.flv', '.gif')
ENDINGS = ('.mp4', '.avi')  # of videos that are written
_USUAL_FPS = 25.0  # where a file names none


class BrokenVideo(UserError):
    """A video that cannot be read, or not to its end."""


class Video(NamedTuple):
    """An open video. ``frames``: how many its head promises, 0 where it does not say."""

    path: str
    fps: float  # frames a second
    frames: int
    capture: cv2.VideoCapture

    def read(self, every: int = 1, between: bool = False) -> Iterator[Tuple[int, Optional[np.ndarray]]]:
        """(number from 0, frame (H, W, 3) uint8 BGR) of every so many frames; with ``between`` of the others as well.

        BrokenVideo at the end where frames are missing.
        """
        number = 0
        while True:
            if between or number % every == 0:
                done, frame = self.capture.read()
            else:
                done, frame = self.capture.grab(), None
            if not done:
                break
            if frame is not None:
                yield number, frame
            number += 1
        # heads are off by a frame or two where a file was cut without being encoded anew
        if number == 0 or self.frames - number > max(2, self.frames // 50):
            promised = f' of {self.frames}' if self.frames else ''
            raise BrokenVideo(
                f'{self.path}: the video ends after {number}{promised} frames: it is cut off or damaged; copy or '
                'download it again'
            )


def is_video(path: str) -> bool:
    """Whether a file's name is that of a video."""
    return path.lower().endswith(EXTENSIONS)


@contextlib.contextmanager
def opened(path: str) -> Iterator[Video]:
    """The Video in the file ``path``; BrokenVideo with the cause where there is none."""
    if not os.path.isfile(path):
        raise BrokenVideo(f'{path}: the video is missing; restore it or give the path of another')
    with open(path, 'rb') as stream:
        head = stream.read(512)
    with _silent():
        capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise BrokenVideo(
                f'{path}: the video cannot be read: it is {kind(head)}, or cut off or damaged; expected a video that '
                'FFmpeg reads'
            )
        fps, frames = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        yield Video(path, fps if 0 < fps < 1000 else _USUAL_FPS, int(max(0, min(frames, 1 << 40))), capture)
    finally:
        capture.release()


class VideoWriter:
    """Frames, as they come, to a video of their size; the file appears whole or not at all (:func:`writing`)."""

    def __init__(self, path: str, fps: float, name: str):
        """path: of the file; name: what to call it in messages."""
        self.path, self.fps, self.name, self.frames, self._writer = path, fps, name, 0, None

    def write(self, frame: np.ndarray) -> None:
        """Add a frame (H, W, 3) uint8 BGR."""
        if self._writer is None:
            self._writer = self._open(frame.shape[1::-1])
        self._writer.write(frame)
        self.frames += 1

    def _open(self, size):
        backend, code = (cv2.CAP_OPENCV_MJPEG, 'MJPG') if self.path.endswith('.avi') else (cv2.CAP_FFMPEG, 'mp4v')
        with _silent():
            writer = cv2.VideoWriter(self.path, backend, cv2.VideoWriter_fourcc(*code), self.fps, size)
        if not writer.isOpened():
            raise UserError(
                f'{self.name}: OpenCV cannot write a video of {size[0]} x {size[1]} pixels; take single frames'
            )
        return writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.release()


@contextlib.contextmanager
def writing(path: str, fps: float) -> Iterator[VideoWriter]:
    """A VideoWriter whose file takes the place ``path`` when the block ends well. UserError where it was not written
    whole, as on a full disk, of which OpenCV says nothing."""
    with atomic_path(path) as temporary:
        writer = VideoWriter(temporary, fps, path)
        try:
            yield writer
        finally:
            writer.close()
        if not writer.frames or _promised(temporary) < writer.frames:
            raise UserError(f'{path}: the video could not be written whole; is the disk full?')


def name_for(size: Sequence[int], stem: str) -> str:
    """The name of a video of frames of ``size`` (height, width, ...): MP4 where both are even; its encoder would cut a
    pixel off others, which go to AVI."""
    return stem + ENDINGS[size[0] % 2 or size[1] % 2]


def _promised(path):
    with _silent():
        capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    frames = capture.get(cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0
    capture.release()
    return frames


@contextlib.contextmanager
def _silent():
    """Without what OpenCV and FFmpeg print of a file that they cannot open: a sentence follows."""
    os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')  # read when the first video is opened
    level = cv2.setLogLevel(0)
    try:
        yield
    finally:
        cv2.setLogLevel(level)
