"""What an exported file computes beside the engine: the same images through both, compared, as JSON and as a table."""

import json
import os
import platform
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import cv2
import numpy as np
import skimage

from dcn.bbox.overlaps import bbox_overlaps
from dcn.checkpoint import read_params
from dcn.config.families import kind_of
from dcn.dataset.shapes.scene import make_scene
from dcn.engine import task_of
from dcn.engine.inference.postprocessing import best_classes, im_detect, select, without_padding
from dcn.engine.inference.predictor import bound
from dcn.errors import UserError
from dcn.export.builder import onnx_package
from dcn.export.runtime import Runtime, certificate_paths
from dcn.export.trained import Trained
from dcn.files import atomic_write, sha256
from dcn.loader.image import network_input, resized_shape, to_tensor
from dcn.loader.loaders import testing_scales
from dcn.loader.photos import bgr_image
from dcn.loader.segmentation import graph_inputs
from dcn.rng import generator

import mxnet as mx

Found = Tuple[np.ndarray, np.ndarray, np.ndarray]  # boxes (N, 4), scores (N,), classes (N,)
IOU = 0.99  # boxes that overlap by this much, of one class, are the same
SAME_SCORE = 1e-5  # scores of copies differ by rounding alone
AT_THRESHOLD = 1e-4  # a score this near to the threshold may fall to either side of it
SAME_PIXELS = 0.9999  # of a segmentation
PHOTOS = (
    'astronaut.png chelsea.png coffee.png motorcycle_left.png motorcycle_right.png rocket.jpg color.png cell.png '
    'hubble_deep_field.jpg retina.jpg'
).split()
FEWEST = 20


def images(count: int, shape: Optional[Tuple[int, int]] = None) -> List[Tuple[str, np.ndarray]]:
    """[(name, image (h, w, 3) uint8 BGR), ...]: photos that scikit-image ships, then generated scenes, ``count`` in
    all; of ``shape`` (h, w) where the file takes no other."""
    folder = os.path.join(os.path.dirname(skimage.__file__), 'data')
    paths = {name: os.path.join(folder, name) for name in PHOTOS}
    found = [(name, bgr_image(path)) for name, path in paths.items() if os.path.isfile(path)][:count]
    for index in range(count - len(found)):
        rng = generator(0, 'export', index)
        # of one side 160, as the shapes networks know them, and others
        side = 160 if index % 2 == 0 else int(rng.integers(120, 500))
        scene = make_scene(rng, side).image
        rows = int(rng.integers(side // 2, side + 1)) if index % 4 == 3 else side
        found.append((f'scene {index}', np.ascontiguousarray(scene[:rows])))
    if shape is not None:
        found = [(name, cv2.resize(image, shape[::-1])) for name, image in found]
    return found


class Engine:
    """The MXNet engine, asked the same things as the file."""

    def __init__(self, cfg: Any, params_path: str, threshold: float):
        self.cfg, self._threshold = cfg, threshold
        params = read_params(params_path, process=True)
        (self._predictor,) = bound(task_of(self.cfg, is_train=False).test_graph(), params, [mx.cpu()])
        self.detector = kind_of(self.cfg) == 'detection'

    def inputs(self, image: np.ndarray, fixed: bool) -> Tuple[Dict[str, np.ndarray], float]:
        """The network's inputs for a photo, and the scale; as it is where its size is ``fixed``."""
        if fixed:
            height, width = image.shape[:2]
            blob = {'data': to_tensor(image, self.cfg.network.PIXEL_MEANS)}
            return dict(blob, im_info=np.array([[height, width, 1]], np.float32)), 1.0
        network = self.cfg.network
        return network_input(image, *testing_scales(self.cfg)[0], network.IMAGE_STRIDE, network.PIXEL_MEANS)

    def run(self, inputs: Dict[str, np.ndarray]) -> Tuple[Dict[str, np.ndarray], float]:
        """The graph's outputs {name: array}, and the seconds."""
        inputs = inputs if self.detector else graph_inputs(inputs)
        start = time.perf_counter()
        return self._predictor.predict(inputs), time.perf_counter() - start

    def boxes(self, outputs: Dict[str, np.ndarray], inputs: Dict[str, np.ndarray], scale: float) -> Found:
        """boxes (N, 4), scores (N,), classes (N,), best first."""
        found = select(*im_detect(outputs, inputs, scale), self._threshold, self.cfg.TEST, self.cfg.CLASS_AGNOSTIC)
        rows = np.concatenate(found)
        classes = np.concatenate([np.full(len(dets), j) for j, dets in enumerate(found)])
        order = np.argsort(-rows[:, 4], kind='stable')
        return rows[order, :4], rows[order, 4], classes[order]

    def pixels(
        self, outputs: Dict[str, np.ndarray], inputs: Dict[str, np.ndarray], scale: float, shape: Tuple[int, int]
    ) -> np.ndarray:
        """The class of each pixel of an image of ``shape``."""
        return best_classes(without_padding(outputs, resized_shape(*shape, scale)), shape)


def compare(
    runtime: Runtime,
    trained: Trained,
    params_path: str,
    count: int = FEWEST,
    log: Callable[[str], None] = print,
    engine: Optional[Engine] = None,
) -> Dict[str, Any]:
    """The certificate, a dict of plain values, of the file that ``runtime`` has loaded.

    trained: of the checkpoint that it was made from, at ``params_path``; count: how many images; log: called with a
    line for each; engine: an Engine of these that is there already.
    """
    metadata, shapes = runtime.about['metadata'], runtime.about['inputs']
    stage, inside = metadata['stage'], metadata['preprocessing'] == 'inside'
    threshold = float(metadata['threshold'])
    engine = engine or Engine(trained.cfg, params_path, threshold)
    sides = shapes['image'][:2] if inside else shapes['data'][2:]
    fixed = (sides[0], sides[1]) if all(isinstance(side, int) for side in sides) else None
    totals: Dict[str, Dict[str, float]] = {}
    rows, boxes = [], _Boxes(threshold)
    for number, (name, image) in enumerate(images(count, fixed)):
        inputs, scale = engine.inputs(image, fixed is not None and not inside)
        given = {'image': image} if inside else {key: inputs[key] for key in shapes}
        if number == 0:  # the first run of each makes its memory: the second one is timed
            engine.run(inputs)
            first, _ = runtime.run(given)
        expected, own_seconds = engine.run(inputs)
        found, seconds = runtime.run(given)
        if number == 0:  # what a user sees first; a runtime may fail in its first run alone
            found = first
        row = {'image': name, 'size': list(image.shape[:2]), 'engine_ms': own_seconds * 1e3, 'file_ms': seconds * 1e3}
        if stage == 'network':
            _add_errors(totals, expected, found)
        if engine.detector:
            others = engine.boxes(found, inputs, scale) if stage == 'network' else _of_file(found)
            row.update(boxes.add(engine.boxes(expected, inputs, scale), others))
        else:
            (height, width), scale = (image.shape[:2], scale) if inside else (inputs['data'].shape[2:], 1.0)
            pixels = engine.pixels(found, inputs, scale, (height, width)) if stage == 'network' else found['classes']
            row['same_pixels'] = float(np.mean(pixels == engine.pixels(expected, inputs, scale, (height, width))))
        rows.append(row)
        log(_line(row))
    return _certificate(runtime, trained, stage, rows, totals, boxes if engine.detector else None)


def _of_file(found):
    return found['boxes'], found['scores'], found['classes']


class _Boxes:
    """Counts over all images of boxes that engine and file share."""

    def __init__(self, threshold):
        self._threshold = threshold
        self.counts = dict.fromkeys(('engine', 'file', 'matched', 'copies', 'at_threshold', 'unmatched'), 0)
        self.lowest_iou, self.pixels, self.scores = 1.0, [], []

    def add(self, own, others):
        """Match an image's boxes one to one, the best overlap first; returns what there is to say of the image.

        Copies of a box that has its counterpart do not count: where proposals run short, the operator repeats some at
        random and the file the first, and NMS leaves copies without area.
        """
        pairs = matches(own, others)
        left, copies = [], 0
        for name, side, rivals, matched in (
            ('engine', own, others, [i for i, _, _ in pairs]),
            ('file', others, own, [j for _, j, _ in pairs]),
        ):
            again = _copies(side, matched)
            copies += len(again)
            left += _left(side, rivals, again.union(matched), name)
        near = sum(box['score'] < self._threshold + AT_THRESHOLD for box in left)
        added = {
            'engine': len(own[1]),
            'file': len(others[1]),
            'matched': len(pairs),
            'copies': copies,
            'at_threshold': near,
            'unmatched': len(left) - near,
        }
        for key, value in added.items():
            self.counts[key] += value
        added['left'] = left
        for i, j, iou in pairs:
            self.lowest_iou = min(self.lowest_iou, iou)
            self.pixels.append(float(np.abs(own[0][i] - others[0][j]).max()))
            self.scores.append(float(abs(own[1][i] - others[1][j])))
        return added

    def summary(self):
        return {
            **self.counts,
            'iou_of_a_match': IOU,
            'lowest_iou': float(self.lowest_iou),
            'largest_error_pixels': max(self.pixels, default=0.0),
            'mean_error_pixels': float(np.mean(self.pixels or [0.0])),
            'largest_error_score': max(self.scores, default=0.0),
            'mean_error_score': float(np.mean(self.scores or [0.0])),
        }


def matches(own: Found, others: Found) -> List[Tuple[int, int, float]]:
    """[(i, j, IoU), ...] of boxes of one class that overlap by IOU or more, each in one pair, the best first.

    own, others: boxes (N, 4), scores (N,), classes (N,). Boxes whose corners are nearer than 1 - IOU pixels are the
    same, too: where a small one has no width left, there is no IoU.
    """
    (boxes, scores, classes), (other_boxes, other_scores, other_classes) = own, others
    if not len(boxes) or not len(other_boxes):
        return []
    overlaps = _likeness(boxes, other_boxes)
    overlaps[classes[:, None] != other_classes[None]] = 0
    i, j = np.nonzero(overlaps >= IOU)
    # of equal overlaps, the nearest scores: copies of one box are told apart by them
    order = np.lexsort((np.abs(scores[i] - other_scores[j]), -overlaps[i, j]))
    found, taken, other_taken = [], set(), set()
    for a, b in zip(i[order], j[order]):
        if a not in taken and b not in other_taken:
            taken.add(a)
            other_taken.add(b)
            found.append((int(a), int(b), float(overlaps[a, b])))
    return found


def _likeness(boxes, others):
    """(N, K): IoU, or 1 - the distance of the farthest corner in pixels, whichever is more."""
    boxes, others = (np.asarray(side, np.float64) for side in (boxes, others))
    distance = np.abs(boxes[:, None] - others[None]).max(axis=2)
    return np.maximum(bbox_overlaps(boxes, others), 1 - distance)


def _copies(found, matched):
    """Those of ``found`` that are not ``matched`` and like one that is, with its score."""
    boxes, scores, classes = found
    rest = np.setdiff1d(np.arange(len(scores)), matched)
    if not len(rest) or not len(matched):
        return set()
    same = _likeness(boxes[rest], boxes[matched]) >= IOU
    same &= classes[rest][:, None] == classes[matched][None]
    same &= np.abs(scores[rest][:, None] - scores[matched][None]) < SAME_SCORE
    return set(rest[same.any(axis=1)])


def _left(found, others, known, name):
    """What there is to say of the boxes of ``found``, of the side ``name``, that are not ``known``."""
    boxes, scores, classes = found
    for i in set(range(len(scores))) - known:
        rivals = others[0][others[2] == classes[i]]
        overlaps = _likeness(boxes[i : i + 1], rivals) if len(rivals) else np.zeros((1, 1))
        yield {
            'of': name,
            'class': int(classes[i]),
            'score': float(scores[i]),
            'box': [float(x) for x in boxes[i]],
            'lowest_score': float(min(scores)),
            'best_iou': float(overlaps.max()),
        }


def _add_errors(totals, expected, found):
    """Largest and summed errors of each output; those of RoIs count where both have the same RoI."""
    same = None
    if 'rois_output' in expected:
        same = np.abs(expected['rois_output'] - found['rois_output']).max(axis=1) < 0.01
    for name, values in found.items():
        own = expected[name]
        if same is not None and len(same) in own.shape[:2]:
            axis = own.shape[:2].index(len(same))
            own, values = (np.compress(same, array, axis=axis) for array in (own, values))
        errors = np.abs(own.astype(np.float64) - values)
        entry = totals.setdefault(name, {'largest': 0.0, 'sum': 0.0, 'count': 0, 'largest_value': 0.0})
        entry['largest'] = max(entry['largest'], float(errors.max(initial=0)))
        entry['largest_value'] = max(entry['largest_value'], float(np.abs(own).max(initial=0)))
        entry['sum'], entry['count'] = entry['sum'] + float(errors.sum()), entry['count'] + errors.size


def _certificate(runtime, trained, stage, rows, totals, boxes):
    found = {
        'file': os.path.basename(runtime.path),
        'file_sha256': sha256(runtime.path),
        'stage': stage,
        'source': trained.source,
        'versions': {
            'python': platform.python_version(),
            'mxnet': mx.__version__,
            'numpy': np.__version__,
            'opencv': cv2.__version__,
            'onnx': onnx_package().__version__,
            'runtime': runtime.about['runtime'],
            'python_of_the_runtime': runtime.about['python'],
        },
        'images': len(rows),
        'outputs': {
            name: {
                'largest_error': entry['largest'],
                'mean_error': entry['sum'] / max(1, entry['count']),
                'largest_value': entry['largest_value'],
            }
            for name, entry in totals.items()
        },
        'milliseconds': {
            'engine': float(np.median([row['engine_ms'] for row in rows])),
            'file': float(np.median([row['file_ms'] for row in rows])),
        },
        'rows': rows,
    }
    if boxes is not None:
        found['boxes'] = boxes.summary()
        found['equal'] = boxes.counts['unmatched'] == 0
    else:
        found['same_pixels'] = min(row['same_pixels'] for row in rows)
        found['equal'] = found['same_pixels'] >= SAME_PIXELS
    return found


def _line(row):
    size = 'x'.join(map(str, row['size'][::-1]))
    if 'same_pixels' in row:
        what = f'{row["same_pixels"]:.6f} of the pixels equal'
    else:
        what = f'{row["engine"]} boxes, {row["matched"]} matched, {row["unmatched"]} not'
    return f'{row["image"]:24s} {size:>10s}  engine {row["engine_ms"]:6.0f} ms  file {row["file_ms"]:6.0f} ms  {what}'


def table(certificate: Dict[str, Any]) -> str:
    """The certificate as text to read."""
    source = certificate['source']
    lines = [
        f'{certificate["file"]} (SHA-256 {certificate["file_sha256"]})',
        f'made from {source["params"]} (SHA-256 {source["params_sha256"]})',
        f'with {source["cfg"]}' + (f', {" ".join(source["settings"])}' if source['settings'] else ''),
        'versions: ' + ', '.join(f'{name} {value}' for name, value in certificate['versions'].items()),
        f'{certificate["images"]} images through the MXNet engine and through the file:',
    ]
    for name, entry in certificate['outputs'].items():
        lines.append(
            f'  {name:32s} largest error {entry["largest_error"]:.2g}, mean {entry["mean_error"]:.2g}, '
            f'of values up to {entry["largest_value"]:.4g}'
        )
    if 'boxes' in certificate:
        lines += _about_boxes(certificate['boxes'])
    else:
        lines.append(f'  pixels of the same class: {certificate["same_pixels"]:.6f} on the worst image')
    times = certificate['milliseconds']
    lines.append(f'  median time: engine {times["engine"]:.0f} ms, file {times["file"]:.0f} ms')
    lines.append(_verdict(certificate))
    lines += ['', *map(_line, certificate['rows'])]
    return '\n'.join(lines) + '\n'


def _verdict(certificate):
    if not certificate['equal']:
        return 'THE RESULTS DIFFER'
    some = 'boxes' not in certificate or certificate['boxes']['engine']
    return 'the results are the same' if some else 'NO BOX ON ANY IMAGE: nothing was compared; lower --threshold'


def _about_boxes(boxes):
    return [
        f'  boxes: {boxes["engine"]} of the engine, {boxes["file"]} of the file, {boxes["matched"]} the same at IoU '
        f'{boxes["iou_of_a_match"]} (lowest {boxes["lowest_iou"]:.5f}), {boxes["unmatched"]} not; '
        f'{boxes["copies"]} copies of those and {boxes["at_threshold"]} scores within {AT_THRESHOLD:g} of the '
        'threshold do not count',
        f'  corners: largest error {boxes["largest_error_pixels"]:.2g} pixels, mean {boxes["mean_error_pixels"]:.2g}',
        f'  scores: largest error {boxes["largest_error_score"]:.2g}, mean {boxes["mean_error_score"]:.2g}',
    ]


def write(path: str, certificate: Dict[str, Any]) -> Tuple[str, str]:
    """Write the certificate beside the file ``path``; returns the two paths."""
    paths = certificate_paths(path)
    for target, text in zip(paths, (json.dumps(certificate, indent=1) + '\n', table(certificate))):
        with atomic_write(target, 'w') as stream:
            stream.write(text)
    return paths


def differing(path: str, certificate: Dict[str, Any]) -> UserError:
    """The sentence for a file whose results differ."""
    if 'boxes' in certificate:
        boxes = certificate['boxes']
        found = f'{boxes["unmatched"]} boxes of {boxes["engine"]} without a match at IoU {IOU}'
    else:
        found = f'{certificate["same_pixels"]:.6f} of the pixels equal'
    return UserError(
        f"{path}: expected the engine's results, found {found}; see {certificate_paths(path)[1]}, and report it, or "
        'keep the file anyway with --force'
    )
