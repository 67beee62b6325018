"""What the commands that look at photos one by one have in common: which photos, which network, which pictures."""

import argparse
import contextlib
import os
import sys
import time
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from easydict import EasyDict

from dcn.cli.records import Records
from dcn.config import load_config
from dcn.config.families import kind_of
from dcn.errors import UserError
from dcn.files import Inputs, require_room
from dcn.loader.photos import bgr_image, find_photos, stems
from dcn.loader.videos import ENDINGS, BrokenVideo, is_video, name_for, opened, writing
from dcn.loader.videos import EXTENSIONS as VIDEOS
from dcn.paths import find, in_project
from dcn.text import printable


class Network(NamedTuple):
    """An experiment file and a checkpoint of its network, both relative to the project's root."""

    cfg: str
    params: str


class Job(NamedTuple):
    """A photo and the paths of its pictures, or a video."""

    photo: str
    pictures: List[str]
    frame: Optional[Callable[[int], List[str]]] = None  # of a video: paths of the pictures of a frame
    video: str = ''  # path of the annotated video, without its ending


class Sight(NamedTuple):
    """What a command does with an image (H, W, 3) uint8 BGR."""

    look: Callable[[np.ndarray, Job], Any]  # what is found
    save: Callable[[np.ndarray, Any, List[str]], None]  # writes its pictures
    lines: Callable[[Any], Iterable[str]] = lambda found: ()  # to print
    record: Callable[[Any], Dict[str, Any]] = lambda found: {}  # for programs
    paint: Optional[Callable[[np.ndarray, Any], np.ndarray]] = None  # a frame of a video, its size kept


class Videos(NamedTuple):
    """How videos are looked at."""

    every: int = 1  # so many frames
    frames: bool = False  # write the frames that are looked at, each a picture, instead of a video


# endings of files that are named in the place of photos, and the options that take them
_OPTIONS = {'.yaml': '--cfg', '.yml': '--cfg', '.params': '--params', '.safetensors': '--params', '.pth': '--params'}


def jobs(
    names: Iterable[str],
    out: str,
    pictures: Sequence[str],
    videos: bool = False,
    read: Iterable[Optional[str]] = (),
    check: Callable[[Inputs], None] = lambda inputs: None,
) -> List[Job]:
    """A Job for each photo, or video where ``videos`` are taken, that ``names`` stand for. pictures: names such as
    'seg_{}.png', around that of the photo, the one to look at last. read: further files that the command reads; check:
    of further outputs, is told of all inputs.

    UserError where no photo is there, a picture would replace a photo, or none could be written.
    """
    require_room(out, '--out')
    photos = find_photos(names, VIDEOS if videos else ())
    for photo in photos:
        for ending, option in _OPTIONS.items():
            if photo.lower().endswith(ending):
                raise UserError(f'{photo}: expected photos, found what belongs to {option}; write {option} {photo}')
    if not any(map(os.path.exists, photos)):
        stdin = ' (/dev/stdin stands for standard input)' if '-' in photos else ''
        raise UserError('\n'.join(f'{photo}: no such file; give the path of a photo{stdin}.' for photo in photos))
    inputs = Inputs([*photos, *read])
    check(inputs)

    def paths(folder, name):
        return [inputs.spare(os.path.join(folder, picture.format(name))) for picture in pictures]

    def job(photo, stem):
        if not is_video(photo):
            return Job(photo, paths(out, stem))
        if not videos:
            raise UserError(f'{photo}: expected photos, found a video; dcn detect and dcn segment look at videos.')
        whole = os.path.join(out, os.path.splitext(pictures[-1].format(stem))[0])
        for ending in ENDINGS:
            inputs.spare(whole + ending)
        return Job(photo, [], lambda number: paths(os.path.join(out, stem), f'{number:06d}'), whole)

    return [job(photo, stem) for photo, stem in zip(photos, stems(photos))]


def each_photo(work: Iterable[Job], sight: Sight, videos: Videos = Videos(), records: Optional[Records] = None) -> int:
    """Look at one photo after the other, print the time that took and what was found, write its pictures and its
    record; of a video all that for each frame that is looked at.

    What cannot be read is named, and the rest goes on. Returns the exit status: 1 where that happened.
    """
    records, written, failed = records or Records([]), [], 0
    for job in work:
        try:
            if job.frame is None:
                written += _photo(job, sight, records)
            else:
                for path in _video(job, sight, videos, records):
                    written.append(path)
        except _Unreadable as error:
            failed += 1
            print(printable(f'error: {error}'), file=sys.stderr, flush=True)
            records.add({'file': job.photo, 'error': str(error)})
    lines = ['pictures:', *(f'  {path}' for path in written)] if written else ['no pictures written']
    print('\n'.join(map(printable, lines)))
    return 1 if failed else 0


class _Unreadable(Exception):
    """A photo or video of many."""


def _photo(job, sight, records):
    try:
        image = bgr_image(job.photo)
    except (UserError, OSError) as error:
        raise _Unreadable(error) from None
    found = _looked(job, sight, image, os.path.basename(job.photo))
    sight.save(image, found, job.pictures)
    records.add({**sight.record(found), 'file': job.photo, 'pictures': job.pictures})
    return job.pictures


def _video(job, sight, videos, records):
    """Yields what was written: single frames, or one video, in which frames that were not looked at show what was found
    on the last that was."""
    name, film, broken, found = os.path.basename(job.photo), None, None, None
    with contextlib.ExitStack() as stack:
        try:
            video = stack.enter_context(opened(job.photo))
            for number, image in video.read(videos.every, between=not videos.frames):
                pictures = []
                if number % videos.every == 0:
                    seconds = round(number / video.fps, 3)
                    found = _looked(job, sight, image, f'{name} frame {number}')
                    if videos.frames:
                        pictures = job.frame(number)
                        sight.save(image, found, pictures)
                        yield from pictures
                    record = {'file': job.photo, 'frame': number, 'seconds': seconds, **sight.record(found)}
                    records.add({**record, 'file': job.photo, 'pictures': pictures})
                if not videos.frames:
                    film = film or stack.enter_context(writing(name_for(image.shape, job.video), video.fps))
                    film.write(sight.paint(image, found))
        except BrokenVideo as error:
            broken = error  # what was found before stays
    if film:
        yield film.name
    if broken:
        raise _Unreadable(broken)


def _looked(job, sight, image, name):
    """What is found; it is printed with the time that it took."""
    start = time.time()
    found = sight.look(image, job)
    print(printable(f'testing {name} {time.time() - start:.4f}s'))
    for line in sight.lines(found):
        print(printable(line))
    sys.stdout.flush()
    return found


def chosen_network(
    args: argparse.Namespace, shipped_network: Network, kind: Optional[str] = None
) -> Tuple[EasyDict, str]:
    """(configuration, checkpoint path) that --cfg and --params name; all before MXNet is loaded.

    shipped_network: the one without either; kind: what the command does, 'detection' or 'segmentation'; None: both.
    """
    from dcn.checkpoint import checkpoint_prefix, existing, existing_file, params_path

    if args.params and not args.cfg:
        return _recognised(existing_file(find(args.params)), args.overrides, kind)
    cfg = load_config(args.cfg or in_project(shipped_network.cfg), args.overrides)
    if args.params:
        return cfg, existing_file(find(args.params))
    if not args.cfg:
        return cfg, shipped(shipped_network.params)
    path = params_path(checkpoint_prefix(cfg), cfg.TEST.test_epoch)
    if not os.path.isfile(path):
        raise UserError(
            f'{path}: no such checkpoint ({existing(checkpoint_prefix(cfg))}); give one with --params, or train it: '
            f'dcn train --cfg {args.cfg}'
        )
    return cfg, path


def _recognised(params, overrides, kind):
    from dcn.inspection.checkpoint.experiment import experiment_of

    found = experiment_of(params, overrides)
    cfg = load_config(find(found.cfg), [*found.changes, *overrides])
    if kind not in (None, kind_of(cfg)):
        command = {'detection': 'detect', 'segmentation': 'segment'}[kind_of(cfg)]
        raise UserError(f'{params}: this is a network for {kind_of(cfg)} ({found.symbol}); use dcn {command}.')
    changes = f' with {" ".join(found.changes)}' if found.changes else ''
    print(printable(f'{params}: {found.symbol}; taken: {found.cfg}{changes}, {found.source}'))
    return cfg, params


def shapes_only(names: Iterable[str], more: str, example: Network) -> str:
    """What the shipped network knows, and how to get one that knows ``more``."""
    return (
        f"This network knows only the generated data set's shapes: {', '.join(names)}.\n"
        f"For {more} get the authors' released {os.path.basename(example.params)}, put it into model/ and add: "
        f'--params {example.params}'
    )


def shipped(path: str) -> str:
    """Path of a checkpoint that comes with the project."""
    if not os.path.isfile(in_project(path)):
        raise UserError(
            f"{in_project(path)} is missing: it comes with the project; restore it with 'git checkout -- {path}'"
        )
    return in_project(path)
