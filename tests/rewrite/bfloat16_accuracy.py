"""Tests the small networks that come with the project in float32 and with the roundings of bfloat16 (rounding.py), and
writes the tables of docs/rewrite.md: python -m tests.rewrite.bfloat16_accuracy [--only NETWORK]

Minutes on one core; no bfloat16 products are needed. What was measured is kept in <out>/NETWORK.json and not measured
again; the tables hold what is there.
"""

import argparse
import json
import os
from types import SimpleNamespace

import numpy as np

from dcn import rewrite
from dcn.bbox.overlaps import bbox_overlaps
from dcn.cli.demo import NETWORKS, configuration, without_training_images
from dcn.cli.photos import shipped
from dcn.dataset import cache
from dcn.engine.inference.predictor import Predictor
from dcn.engine.tasks.stored_results import load_detections, results_path
from dcn.engine.tasks.task import TestOptions, task_of
from dcn.files import atomic_write
from dcn.formats import symbol_json
from dcn.paths import in_project
from dcn.text import markdown_table
from tests.rewrite.rounding import rounded

import mxnet as mx

DOC = 'docs/rewrite.md'
CONFIDENT = 0.5  # score from which on boxes are compared
SAME = 0.5  # overlap with a box of its class from which on one is found again
SCORES = ('mAP@0.5', 'mAP@0.7', 'AP', 'AP50', 'AP75', 'mIoU')


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks = {network.title: network for pair in NETWORKS.values() for network in pair}
    parser.add_argument('--only', choices=list(networks), help='measure this network')
    parser.add_argument('--out', default='output/bfloat16', help='folder for the generated test images and results')
    args = parser.parse_args(argv)
    found = {}
    for title, network in networks.items():
        path = os.path.join(args.out, f'{title}.json')
        if not os.path.exists(path) and args.only in (None, title):
            result = measured(network, args.out)
            with atomic_write(path, 'w') as stream:
                json.dump(result, stream, indent=1)
        if os.path.exists(path):
            with open(path, encoding='utf-8') as stream:
                found[title] = json.load(stream)
    write(found)


def measured(network, out):
    """{'scores' {name: (float32, bfloat16)}, and 'boxes' or 'pixels'} of a network of the demo."""
    cfg = configuration(network, SimpleNamespace(train=False, out=out, overrides=[]))
    without_training_images([cfg], out)
    results, scores = [], []
    for bfloat16 in (False, True):
        task = task_of(cfg, is_train=False)
        graph, imdb = task.test_graph(), task.test_set()
        params = graph.read_parameters(shipped(network.prefix + '-0000.params'))
        predictor = Watched(*(as_in_bfloat16 if bfloat16 else as_it_runs)(graph.symbol, *params))
        predictor.reserve(graph.inputs)
        folder = os.path.join(out, cfg.name, 'bfloat16' if bfloat16 else 'float32')
        os.makedirs(folder, exist_ok=True)
        scores.append(task.evaluate(imdb, [predictor], params, folder, TestOptions(ignore_cache=True)))
        path = results_path(folder, imdb)
        results.append(load_detections(path, cache.key_of(path)) if task.kind == 'detection' else predictor.classes)
    both = {name: [float(score[name]) for score in scores] for name in SCORES if name in scores[0]}
    if task.kind == 'detection':
        return {'scores': both, 'boxes': boxes_beside(*results)}
    changed = [np.mean(one != other) for one, other in zip(*results)]
    return {'scores': both, 'pixels': float(np.mean(changed))}


class Watched(Predictor):
    """A predictor of a graph that is bound as it is; ``names``: of its outputs. Keeps the classes of pixels."""

    def __init__(self, symbol, arg_params, aux_params, names):
        super().__init__(symbol, mx.cpu(), arg_params, aux_params, rewrite=False)
        self.names, self.classes = names, []

    def predict(self, inputs):
        outputs = super().predict(inputs)
        if len(outputs) == 1:
            self.classes += [next(iter(outputs.values())).argmax(1).astype(np.uint8)]
        return outputs


def as_it_runs(symbol, arg_params, aux_params):
    return bindable(symbol, *rewritten(symbol, arg_params, aux_params, bfloat16=False))


def as_in_bfloat16(symbol, arg_params, aux_params):
    return bindable(symbol, *rounded(*rewritten(symbol, arg_params, aux_params, bfloat16=True), deformable=True))


def rewritten(symbol, arg_params, aux_params, bfloat16):
    arrays = {name: array.asnumpy() for name, array in {**arg_params, **aux_params}.items()}
    return rewrite.for_inference(symbol_json.loads(symbol.tojson()), arrays, onednn=True, bfloat16=bfloat16)


def bindable(symbol, graph, parameters):
    """What Watched wants, for the rewritten ``graph`` of ``symbol``."""
    made = mx.sym.load_json(symbol_json.dumps(graph))
    arrays = {name: mx.nd.array(array) for name, array in parameters.items()}
    states = set(made.list_auxiliary_states())
    args, auxs = ({n: a for n, a in arrays.items() if (n in states) == which} for which in (False, True))
    return made, args, auxs, symbol.list_outputs()


def boxes_beside(one, other):
    """How boxes [class][image] (k, 5) of a score of CONFIDENT and more are found again in ``other``: 'boxes', 'again',
    distances of corners in pixels 'mean', 'most', and of 'scores'."""
    boxes, corners, scores = 0, [], []
    for mine, theirs in zip(one[1:], other[1:]):
        for rows, others in zip(mine, theirs):
            rows = rows[rows[:, 4] >= CONFIDENT]
            boxes += len(rows)
            if len(rows) and len(others):
                overlaps = bbox_overlaps(rows[:, :4].astype(float), others[:, :4].astype(float))
                best = overlaps.argmax(1)
                again = overlaps.max(1) >= SAME
                moved = np.abs(rows - others[best])[again]
                corners += [moved[:, :4].max(1)]
                scores += [moved[:, 4]]
    corners, scores = np.concatenate(corners), np.concatenate(scores)
    return {
        'boxes': boxes,
        'again': len(corners),
        'mean': float(corners.mean()),
        'most': float(corners.max()),
        '99 %': float(np.quantile(corners, 0.99)),
        'scores': float(scores.mean()),
        'scores, most': float(scores.max()),
    }


def write(found):
    """Put the tables between their marks in DOC."""
    with open(in_project(DOC), encoding='utf-8') as stream:
        text = stream.read()
    begin, end = '<!-- bfloat16 -->', '<!-- end of bfloat16 -->'
    text = text[: text.index(begin) + len(begin)] + '\n'.join(['', *tables(found), '']) + text[text.index(end) :]
    with atomic_write(in_project(DOC), 'w') as stream:
        stream.write(text)


def tables(found):
    rows = []
    for title, of in found.items():
        for name, (before, after) in of['scores'].items():
            rows.append((title, name, f'{100 * before:.2f}', f'{100 * after:.2f}', f'{100 * (after - before):+.2f}'))
            title = ''
    lines = markdown_table(('network', 'score', 'float32', 'bfloat16', 'difference'), rows, right=(2, 3, 4))
    rows = []
    for title, of in found.items():
        if 'boxes' in of:
            box = of['boxes']
            corners = f'{box["mean"]:.2f}, {box["99 %"]:.2f}, {box["most"]:.2f}'
            rows.append((title, box['boxes'], box['again'], corners, f'{box["scores"]:.4f}, {box["scores, most"]:.3f}'))
    head = ('network', 'boxes', 'found again', 'corners, pixels: mean, 99 %, most', 'scores: mean, most')
    lines += ['', *markdown_table(head, rows)]
    parts = [f'{title} {100 * of["pixels"]:.3f} %' for title, of in found.items() if 'pixels' in of]
    return lines + ['', f'Pixels of another class: {", ".join(parts)}.'] * bool(parts)


if __name__ == '__main__':
    main()
