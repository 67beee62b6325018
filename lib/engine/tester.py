"""Testing a detector on a data set."""
import concurrent.futures
import logging
import os
import time

import cv2
import numpy as np

from lib.config import symbol_class
from lib.engine.detections import cache_key, im_detect, load_detections, save_detections, select
from lib.engine.executors import DeviceExecutors
from lib.engine.progress import bar

LOG = logging.getLogger(__name__)


class Predictor:
    """A test graph with its parameters on one device; executors are kept for each image size."""

    def __init__(self, symbol, context, arg_params, aux_params):
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
    network = symbol_class(cfg)()
    symbol = network.get_symbol(cfg, is_train=False)
    short, longest = (cfg.get('TEST_SCALES') or cfg.SCALES)[0]
    shapes = {'data': (1, 3, short, longest), 'im_info': (1, 3)}
    network.infer_shape(shapes)
    network.check_parameter_shapes(arg_params, aux_params, shapes, is_train=False)
    return symbol


def pred_eval(predictors, loader, roidb, imdb, cfg, result_path, params, thresh=1e-3, ignore_cache=False, vis=False, order=None):
    """Detect on every image of ``loader`` (records ``roidb``), write the result files of ``imdb`` and return its evaluation (a dict of scores).

    predictors: one per device; params: (arg_params, aux_params), part of the cache's key; order: permutation of the images to visit, or None.
    """
    os.makedirs(result_path, exist_ok=True)
    path = os.path.join(result_path, f'{imdb.name}_detections.npz')
    key = cache_key(*params, cfg, roidb, thresh)
    all_boxes = None if ignore_cache else load_detections(path, key)
    if all_boxes is None:
        all_boxes = detect_all(predictors, loader, imdb.num_classes, cfg, thresh, order)
        save_detections(path, all_boxes, key)
    else:
        LOG.info(f'detections of these very parameters, settings and images taken from {path} (--ignore_cache detects anew)')
    if vis:
        draw_all(all_boxes, roidb, imdb.classes, os.path.join(result_path, 'vis'))
    return imdb.evaluate_detections(all_boxes, result_path)


def detect_all(predictors, loader, num_classes, cfg, thresh, order=None):
    """all_boxes[class][image] (k, 5) float32, one image per device at a time, the next images loaded meanwhile."""
    total = len(loader)
    order = list(range(total)) if order is None else list(order)
    groups = [order[first:first + len(predictors)] for first in range(0, total, len(predictors))]
    all_boxes = [[None] * total for _ in range(num_classes)]
    times, done = np.zeros(3), 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool, bar(total, 0, 'testing') as progress:
        ahead = pool.submit(_load, loader, groups[0]) if groups else None
        for number, group in enumerate(groups):
            clock = [time.time()]
            items = ahead.result()
            ahead = pool.submit(_load, loader, groups[number + 1]) if number + 1 < len(groups) else None
            clock.append(time.time())
            running = [predictor.start(inputs) for predictor, (inputs, _, _) in zip(predictors, items)]
            outputs = [predictor.collect(executor) for predictor, executor in zip(predictors, running)]
            clock.append(time.time())
            for i, (inputs, scale, _), output in zip(group, items, outputs):
                scores, boxes = im_detect(output, inputs['data'].shape[2:], scale)
                found = select(scores, boxes, thresh, cfg.TEST.NMS, cfg.TEST.max_per_image, cfg.CLASS_AGNOSTIC)
                for j, dets in enumerate(found):
                    all_boxes[j][i] = dets
            times += np.diff(clock + [time.time()])
            done += len(group)
            progress.update(len(group))
            _log_times(done, len(group), total, times / done)
    return all_boxes


def _load(loader, group):
    return [loader.item(i) for i in group]


def _log_times(done, step, total, means):
    """The original's line for every image; here once every hundredth of the data set."""
    every = max(1, total // 100)
    if done // every != (done - step) // every or done == total:
        LOG.info('testing {}/{} data {:.4f}s net {:.4f}s post {:.4f}s'.format(done, total, *means))


def draw_all(all_boxes, roidb, classes, folder, threshold=0.3, limit=200):
    """Write <folder>/<id>.jpg with the detections above ``threshold`` of the first ``limit`` images."""
    from lib.visualize.boxes import draw_detections
    os.makedirs(folder, exist_ok=True)
    for i, record in enumerate(roidb[:limit]):
        rows = np.concatenate([images[i] for images in all_boxes])
        labels = np.concatenate([np.full(len(images[i]), j) for j, images in enumerate(all_boxes)])
        image = cv2.imread(record['image'], cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        drawn = draw_detections(image, rows[:, :4], rows[:, 4], labels, classes, threshold)
        cv2.imwrite(os.path.join(folder, f'{record["id"]}.jpg'), drawn)
    LOG.info(f'pictures: {folder}')
