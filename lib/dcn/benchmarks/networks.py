"""``dcn bench networks``: times whole networks as this engine runs them, as published, and on stock operators.

Each peer works in a process of its own, the rounds are interleaved and medians count, as for operators. Weights are
first values, not trained ones: the time of a network does not depend on them but for the boxes that NMS meets.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import NamedTuple

import numpy as np

from dcn.benchmarks import report as bench_report
from dcn.benchmarks.libraries import Call, serve
from dcn.benchmarks.rounds import Peer, chosen, interleaved
from dcn.files import atomic_write

# rewritten graph, graph as published, the same on MXNet's operators
PEERS = ('own', 'plain', 'stock')


class Network(NamedTuple):
    """An experiment file with changes, and the height and width of the photo, or of the training image."""

    cfg: str
    size: tuple[int, int]
    changes: tuple[str, ...] = ()
    training: bool = False


_VOC = 'experiments/{0}/cfgs/resnet_v1_101_voc0712_{1}.yaml'
_FPN = 'experiments/fpn/cfgs/resnet_v1_101_coco_trainval_fpn_{0}end2end_ohem.yaml'
_DEEPLAB = 'experiments/deeplab/cfgs/deeplab_resnet_v1_101_cityscapes_segmentation_{0}.yaml'
_RFCN_DCN = _VOC.format('rfcn', 'rfcn_dcn_end2end_ohem')
CASES = {
    'Deformable R-FCN 600x1000': Network(_RFCN_DCN, (600, 1000)),
    'R-FCN 600x1000': Network(_VOC.format('rfcn', 'rfcn_end2end_ohem'), (600, 1000)),
    'Faster R-CNN 600x1000': Network(_VOC.format('faster_rcnn', 'rcnn_end2end'), (600, 1000)),
    'Deformable Faster R-CNN 600x1000': Network(_VOC.format('faster_rcnn', 'rcnn_dcn_end2end'), (600, 1000)),
    'FPN 800x1280': Network(_FPN.format(''), (800, 1280), ('SCALES=[[800,1280]]',)),
    'Deformable FPN 800x1280': Network(_FPN.format('dcn_'), (800, 1280), ('SCALES=[[800,1280]]',)),
    'DeepLab 1024x2048': Network(_DEEPLAB.format('base'), (1024, 2048)),
    'Deformable DeepLab 1024x2048': Network(_DEEPLAB.format('dcn'), (1024, 2048)),
    'Deformable R-FCN 608x1008, training step': Network(_RFCN_DCN, (608, 1008), (), True),
}


def run(only: str, rounds: int, path: str | None, cases: dict[str, Network] = CASES) -> None:
    """Time the cases whose name contains ``only``, print a table, write medians in seconds as JSON to ``path``."""
    names = chosen(cases, only, rounds)
    os.environ.setdefault('OMP_NUM_THREADS', str(len(os.sched_getaffinity(0))))
    found = []
    for name in names:
        print(f'timing {name}', file=sys.stderr, flush=True)
        with contextlib.ExitStack() as stack:  # new processes for each case: three networks at a time fill the memory
            workers = [stack.enter_context(contextlib.closing(Peer(peer, 'dcn.benchmarks.networks'))) for peer in PEERS]
            question = dict(case=name, direction='forward', attributes=cases[name]._asdict())
            found.append(dict(case=name, **interleaved(workers, question, rounds, float('inf'))))
    machine = bench_report.machine()
    print(f'{bench_report.where(machine)}; medians of {rounds} rounds')
    print(columns(found))
    for row in found:
        for peer, why in row['missing'].items():
            print(f'{row["case"]}: {peer} failed: {why}')
    if path:
        with atomic_write(path, 'w') as stream:
            json.dump(dict(machine=machine, asked=rounds, times=found), stream, indent=1)


def prepared(network: Network, peer: str) -> Call:
    """A Call: photo in, boxes or classes out; or a training step on one image."""
    from dcn.config import load_config
    from dcn.paths import ROOT

    plain = [] if peer == 'own' else ['engine.rewrite=false']
    changes = [*network.changes, 'network.pretrained=', 'TRAIN.BATCH_IMAGES=1', *plain]
    cfg = load_config(str(ROOT / network.cfg), changes)
    return _training(cfg, network.size) if network.training else _testing(cfg, network.size)


def _testing(cfg, size) -> Call:
    from dcn.config.families import kind_of
    from dcn.engine import Detector, Segmenter

    segments = kind_of(cfg) == 'segmentation'
    shapes = {'data': (1, 3, *size), **({} if segments else {'im_info': (1, 3)})}
    params = _first_values(cfg, shapes, is_train=False)
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    if segments:
        segmenter = Segmenter(cfg, params)
        return Call(lambda: segmenter.segment(photo), lambda: {'classes': segmenter.segment(photo)}, None)
    detector = Detector(cfg, params)
    return Call(lambda: detector.detect(photo), lambda: detector.detect(photo)._asdict(), None)


def _training(cfg, size) -> Call:
    from dcn.engine import Trainer, task_of

    import mxnet as mx

    task, rng = task_of(cfg), np.random.default_rng(0)
    symbol = task.train_symbol(_network(cfg))
    shapes = dict(task.largest_inputs(symbol), data=(1, 3, *size))
    cells = [shape[2:] for shape in symbol.get_internals()['rpn_bbox_pred_output'].infer_shape(data=shapes['data'])[1]]
    boxes = (1, 4 * cfg.network.NUM_ANCHORS, *cells[0])
    shapes.update(bbox_target=boxes, bbox_weight=boxes, label=(1, cfg.network.NUM_ANCHORS * int(np.prod(cells[0]))))
    inputs = {name: rng.normal(0, 1, shape) for name, shape in shapes.items()}
    x1, y1 = rng.uniform(0, size[1] / 2, 100), rng.uniform(0, size[0] / 2, 100)
    inputs.update(
        data=50 * inputs['data'],
        im_info=np.array([[*size, 1.0]]),
        label=rng.integers(-1, 2, shapes['label']),
        gt_boxes=np.stack([x1, y1, x1 + 100, y1 + 100, rng.integers(1, cfg.dataset.NUM_CLASSES, 100)], 1)[None],
    )
    args, auxs = _first_values(cfg, shapes, is_train=True)
    trainer = Trainer(symbol, [mx.cpu()], args, auxs, task.fixed_params, rewrite=cfg.engine.rewrite)

    def step():
        trainer.forward_backward([inputs])
        trainer.update(1e-6)

    return Call(step, dict, mx.nd.waitall)


def _network(cfg):
    from dcn.config import symbol_class

    return symbol_class(cfg)()


def _first_values(cfg, shapes, is_train):
    """(arg_params, aux_params) of a network before training."""
    network = _network(cfg)
    network.get_symbol(cfg, is_train=is_train)
    network.infer_shape(shapes)
    args: dict = {}
    auxs: dict = {}
    getattr(network, 'init_weights', network.init_weight)(cfg, args, auxs)
    return {name: args[name] for name in network.arg_shape_dict if name in args}, auxs


def columns(found: list[dict]) -> str:
    """The rows {case, seconds {peer: median}} as a table: milliseconds of own, multiples of it for the others."""
    width = max(len(row['case']) for row in found) + 2
    lines = [f'{"":{width}s}{"own, ms":>10s}' + ''.join(f'{peer:>10s}' for peer in PEERS[1:])]
    for row in found:
        own = row['seconds'].get('own')
        others = (row['seconds'].get(peer) for peer in PEERS[1:])
        cells = [f'{other / own:10.2f}' if own and other else f'{"-":>10s}' for other in others]
        first = f'{own * 1e3:10.0f}' if own else f'{"-":>10s}'
        lines.append(f'{row["case"]:{width}s}' + first + ''.join(cells))
    return '\n'.join(lines)


if __name__ == '__main__':
    serve(lambda question: prepared(Network(**question['attributes']), sys.argv[1]))
