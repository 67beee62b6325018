"""What the commands that look at photos one by one have in common: which photos, which network, which pictures."""

import argparse
import os
import sys
import time
from typing import Any, Callable, Iterable, List, NamedTuple, Tuple

import numpy as np
from easydict import EasyDict

from dcn.config import load_config
from dcn.errors import UserError
from dcn.files import Inputs, require_room
from dcn.loader.photos import bgr_image, find_photos, stems
from dcn.paths import find, in_project


class Network(NamedTuple):
    """An experiment file and a checkpoint of its network, both relative to the project's root."""

    cfg: str
    params: str


class Job(NamedTuple):
    """A photo and the paths of its pictures."""

    photo: str
    pictures: List[str]


def jobs(names: Iterable[str], out: str, pictures: Iterable[str]) -> List[Job]:
    """A Job for each photo that ``names`` stand for. pictures: names such as 'seg_{}.png', around that of the photo.

    UserError where no photo is there, a picture would replace a photo, or none could be written.
    """
    require_room(out, '--out')
    photos = find_photos(names)
    if not any(map(os.path.exists, photos)):
        raise UserError('\n'.join(f'{photo}: no such file; give the path of a photo.' for photo in photos))
    inputs = Inputs(photos)
    return [
        Job(photo, [inputs.spare(os.path.join(out, name.format(stem))) for name in pictures])
        for photo, stem in zip(photos, stems(photos))
    ]


def each_photo(
    work: Iterable[Job],
    look: Callable[[np.ndarray, Job], Any],
    draw: Callable[[np.ndarray, Any, List[str]], Iterable[str]],
) -> int:
    """Read one photo after the other, look(image, job), print the time that took, and then what draw(image, what was
    found, paths of its pictures) returns: lines, after it has written the pictures.

    A photo that cannot be read is named, and the rest goes on. Returns the exit status: 1 where that happened.
    """
    written, failed = [], 0
    for job in work:
        photo, pictures = job
        try:
            image = bgr_image(photo)
        except (UserError, OSError) as error:
            failed += 1
            print(f'error: {error}', file=sys.stderr, flush=True)
            continue
        start = time.time()
        found = look(image, job)
        print(f'testing {os.path.basename(photo)} {time.time() - start:.4f}s')
        for line in draw(image, found, pictures):
            print(line)
        sys.stdout.flush()
        written += pictures
    print('\n'.join(['pictures:', *(f'  {path}' for path in written)]) if written else 'no pictures written')
    return 1 if failed else 0


def chosen_network(args: argparse.Namespace, shipped_network: Network, example: Network) -> Tuple[EasyDict, str]:
    """(configuration, checkpoint path) that --cfg and --params name; all before MXNet is loaded.

    shipped_network: the one without --cfg; example: the one to name where --cfg is missing.
    """
    from dcn.checkpoint import checkpoint_prefix, existing_file, params_path

    if args.params and not args.cfg:
        raise UserError(
            '--params needs --cfg: the experiment file of the network that the checkpoint belongs to, '
            f'such as --cfg {example.cfg} for {os.path.basename(example.params)}'
        )
    cfg = load_config(args.cfg or in_project(shipped_network.cfg), args.overrides)
    if args.params:
        return cfg, existing_file(find(args.params))
    if not args.cfg:
        return cfg, shipped(shipped_network.params)
    path = params_path(checkpoint_prefix(cfg), cfg.TEST.test_epoch)
    if not os.path.isfile(path):
        raise UserError(f'{path}: no such checkpoint; give one with --params, or train it: dcn train --cfg {args.cfg}')
    return cfg, path


def shapes_only(names: Iterable[str], more: str, example: Network) -> str:
    """What the shipped network knows, and how to get one that knows ``more``."""
    return (
        f"This network knows only the generated data set's shapes: {', '.join(names)}.\n"
        f"For {more} get the authors' released {os.path.basename(example.params)}, put it into model/ and add: "
        f'--cfg {example.cfg} --params {example.params}'
    )


def shipped(path: str) -> str:
    """Path of a checkpoint that comes with the project."""
    if not os.path.isfile(in_project(path)):
        raise UserError(
            f"{in_project(path)} is missing: it comes with the project; restore it with 'git checkout -- {path}'"
        )
    return in_project(path)
