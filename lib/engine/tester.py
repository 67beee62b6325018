"""Testing a detector on a data set."""
import concurrent.futures
import contextlib
import logging
import os
import time

import cv2
import numpy as np

from lib.config import symbol_class
from lib.engine.detections import cache_key, im_detect, load_detections, save_detections, select
from lib.engine.executors import DeviceExecutors
from lib.engine.progress import bar
from lib.engine.settings import check_testable
from lib.errors import UserError
from lib.loader.image import load_image
from lib.visualize.boxes import draw_detections

LOG = logging.getLogger(__name__)


class Predictor:
    """A test graph with its parameters on one device; executors are kept for each image size."""
    def __init__(self, symbol, context, arg_params, aux_params):
        self.context = context
        self.executors = DeviceExecutors(symbol, context, arg_params, aux_params, limit=16)
        self.names = symbol.list_outputs()

    def start(self, inputs):
        """Queue a forward pass on {'data' (1, 3, h, w), 'im_info' (1, 3)}; collect() it before the next one."""
        return self.executors.run(inputs, is_train=False)

    def collect(self, executor):
        """{output name: numpy array}"""
        return {name: output.asnumpy() for name, output in zip(self.names, executor.outputs)}

    def predict(self, inputs):
        return self.collect(self.start(inputs))


def checked_symbol(cfg, arg_params, aux_params):
    """The test graph, after a check that the parameters fit it."""
    check_testable(cfg)
    network = symbol_class(cfg)()
    symbol = network.get_symbol(cfg, is_train=False)
    short, longest = (cfg.get('TEST_SCALES') or cfg.SCALES)[0]
    shapes = {'data': (1, 3, short, longest), 'im_info': (1, 3)}
    network.infer_shape(shapes)
    network.check_parameter_shapes(arg_params, aux_params, shapes, is_train=False)
    # further parameters do no harm, but these mean that the checkpoint is of a network that computes something else
    surplus = sorted(name for name in set(arg_params) - set(network.arg_shape_dict) if 'offset' in name)
    if surplus:
        raise UserError(f'the checkpoint holds offsets of deformable layers ({", ".join(surplus)}), but {cfg.name} has '
                        'none there; give the experiment file of the deformable network.')
    return symbol


def pred_eval(predictors, loader, roidb, imdb, cfg, result_path, params, thresh=1e-3, ignore_cache=False, vis=False,
              order=None):
    """Detect on every image of ``loader``, write the result files of ``imdb``; returns a dict of its scores.

    predictors: one for each device; roidb: the loader's records; params: (arg_params, aux_params), part of the key of
    the stored detections; order: the order in which to visit the images, or None.
    """
    os.makedirs(result_path, exist_ok=True)
    path = os.path.join(result_path, f'{imdb.name}_detections.npz')
    key = cache_key(*params, cfg, roidb, thresh)
    all_boxes = None if ignore_cache else load_detections(path, key)
    if all_boxes is None:
        all_boxes = detect_all(predictors, loader, imdb.num_classes, cfg, thresh, order)
        save_detections(path, all_boxes, key)
    else:
        LOG.info(f'detections of these very parameters, settings and images taken from {path} (--ignore_cache detects '
                 'anew)')
    if vis:
        draw_all(all_boxes, roidb, imdb.classes, os.path.join(result_path, 'vis'))
    return imdb.evaluate_detections(all_boxes, result_path)


def detect_all(predictors, loader, num_classes, cfg, thresh, order=None):
    """all_boxes[class][image] (k, 5) float32; one image for each device at a time, the next are loaded meanwhile."""
    total = len(loader)
    order = list(range(total)) if order is None else list(order)
    groups = [order[first:first + len(predictors)] for first in range(0, total, len(predictors))]
    all_boxes = [[None] * total for _ in range(num_classes)]
    clock = _Clock(total)
    with contextlib.closing(bar(total, 0, 'testing')) as progress:
        for group, items in _loaded(loader, groups):
            clock.lap()
            outputs = _run(predictors, [inputs for inputs, _, _ in items])
            clock.lap()
            for i, (inputs, scale, _), output in zip(group, items, outputs):
                scores, boxes = im_detect(output, inputs['data'].shape[2:], scale)
                found = select(scores, boxes, thresh, cfg.TEST.NMS, cfg.TEST.max_per_image, cfg.CLASS_AGNOSTIC)
                for j, dets in enumerate(found):
                    all_boxes[j][i] = dets
            clock.lap()
            clock.log(len(group))
            progress.update(len(group))
    return all_boxes


def _loaded(loader, groups):
    """Yield (group, its items), one group loaded ahead."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(_load, loader, group) for group in groups[:1]]
        for number, group in enumerate(groups):
            waiting += [pool.submit(_load, loader, following) for following in groups[number + 1:number + 2]]
            yield group, waiting.pop(0).result()


def _load(loader, group):
    return [loader.item(i) for i in group]


def _run(predictors, inputs):
    """Outputs of every predictor on its input: GPUs at the same time, CPU contexts one after the other."""
    if predictors[0].context.device_type == 'cpu':
        # each context has an engine thread of its own, and the wheel's OpenBLAS must not be entered by two
        return [predictor.predict(values) for predictor, values in zip(predictors, inputs)]
    running = [predictor.start(values) for predictor, values in zip(predictors, inputs)]
    return [predictor.collect(executor) for predictor, executor in zip(predictors, running)]


class _Clock:
    """Mean seconds an image for loading, network and the rest, in the original's words; a hundred lines in all."""

    def __init__(self, total):
        self.total, self.done, self.laps = total, 0, [time.time()]
        self.sums = np.zeros(3)

    def lap(self):
        self.laps.append(time.time())

    def log(self, images):
        self.sums += np.diff(self.laps)
        self.laps, before = self.laps[-1:], self.done
        self.done += images
        every = max(1, self.total // 100)
        if self.done // every != before // every or self.done == self.total:
            data, net, post = self.sums / self.done
            LOG.info(f'testing {self.done}/{self.total} data {data:.4f}s net {net:.4f}s post {post:.4f}s')


def draw_all(all_boxes, roidb, classes, folder, threshold=0.3, limit=200):
    """Write <folder>/<id>.jpg with the detections above ``threshold`` of the first ``limit`` images."""
    os.makedirs(folder, exist_ok=True)
    for i, record in enumerate(roidb[:limit]):
        rows = np.concatenate([images[i] for images in all_boxes])
        labels = np.concatenate([np.full(len(images[i]), j) for j, images in enumerate(all_boxes)])
        drawn = draw_detections(load_image(record), rows[:, :4], rows[:, 4], labels, classes, threshold)
        cv2.imwrite(os.path.join(folder, f'{record["id"]}.jpg'), drawn)
    LOG.info(f'pictures: {folder}')
