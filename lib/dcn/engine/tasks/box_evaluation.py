"""Testing a detector on a data set."""

import logging
import os
from typing import Iterable, List, Optional, Sequence

import numpy as np
from easydict import EasyDict

from dcn.dataset.imdb import IMDB
from dcn.engine.inference.postprocessing import im_detect, over_scales, select
from dcn.engine.inference.predictor import Predictor, each_image
from dcn.engine.tasks.stored_results import cache_key, load_detections, results_path, save_detections
from dcn.engine.tasks.task import TestOptions
from dcn.loader import TestLoader
from dcn.loader.image import load_image
from dcn.visualize import PICTURES
from dcn.visualize.boxes import draw_detections
from dcn.visualize.canvas import save

LOG = logging.getLogger(__name__)


def pred_eval(
    predictors: List[Predictor],
    loader: TestLoader,
    roidb: List[dict],
    imdb: IMDB,
    cfg: EasyDict,
    result_path: str,
    params: tuple,
    options: TestOptions = TestOptions(),
    order: Optional[Iterable[int]] = None,
) -> dict:
    """Detect on every image of ``loader``, write the result files of ``imdb``; returns a dict of its scores.

    predictors: one for each device; roidb: the loader's records; params: (arg_params, aux_params), part of the key of
    the stored detections; order: the order in which to visit the images, or None.
    """
    os.makedirs(result_path, exist_ok=True)
    path = results_path(result_path, imdb)
    key = cache_key(*params, cfg, roidb, options.thresh)
    all_boxes = None if options.ignore_cache else load_detections(path, key)
    if all_boxes is None:
        all_boxes = detect_all(predictors, loader, imdb.num_classes, cfg, options.thresh, order)
        save_detections(path, all_boxes, key)
    else:
        LOG.info(
            f'using detections stored for these parameters, settings and images: {path} (--ignore_cache detects again)'
        )
    if options.vis:
        draw_all(all_boxes, roidb, imdb.classes, os.path.join(result_path, 'vis'))
    return imdb.evaluate_detections(all_boxes, result_path)


def detect_all(
    predictors: List[Predictor],
    loader: TestLoader,
    num_classes: int,
    cfg: EasyDict,
    thresh: float,
    order: Optional[Iterable[int]] = None,
) -> List[List[np.ndarray]]:
    """all_boxes[class][image] (k, 5) float32; what is found at the loader's scales goes through NMS together."""
    scales, found = len(loader.scales), []
    images = len(loader) // scales
    views = [image * scales + scale for image in (range(images) if order is None else order) for scale in range(scales)]
    all_boxes = [[None] * images for _ in range(num_classes)]
    for view, inputs, scale, outputs in each_image(predictors, loader, views):
        image, found = view // scales, found + [im_detect(outputs, inputs, scale)]
        if len(found) == scales:
            for j, dets in enumerate(select(*over_scales(found), thresh, cfg.TEST, cfg.CLASS_AGNOSTIC)):
                all_boxes[j][image] = dets
            found = []
    return all_boxes


def draw_all(
    all_boxes: List[List[np.ndarray]],
    roidb: List[dict],
    classes: Sequence[str],
    folder: str,
    threshold: float = 0.3,
    limit: int = PICTURES,
) -> None:
    """Write <folder>/<id>.jpg with the detections above ``threshold`` of the first ``limit`` images."""
    os.makedirs(folder, exist_ok=True)
    for i, record in enumerate(roidb[:limit]):
        rows = np.concatenate([images[i] for images in all_boxes])
        labels = np.concatenate([np.full(len(images[i]), j) for j, images in enumerate(all_boxes)])
        drawn = draw_detections(load_image(record), rows[:, :4], rows[:, 4], labels, classes, threshold)
        save(os.path.join(folder, f'{record["id"]}.jpg'), drawn)
    LOG.info(f'pictures: {folder}')
