"""``dcn bench networks``: times whole networks as this engine runs them, as published, on stock operators, by the
engine torch where PyTorch is installed, and in other libraries, which get a file of the network from ``dcn export``.

Each peer works in a process of its own, the rounds are interleaved and medians count, as for operators. Weights are
first values, not trained ones: the time of a network does not depend on them but for the boxes that NMS meets.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sys
import tempfile
from typing import Any, NamedTuple, Sequence

import numpy as np

from dcn.benchmarks import report as bench_report
from dcn.benchmarks.libraries import Call, serve
from dcn.benchmarks.rounds import Asked, Peer, chosen, interleaved
from dcn.errors import UserError
from dcn.files import atomic_write
from dcn.peers import python_of

# rewritten graph, graph as published, the same on MXNet's operators; the engine torch
PEERS = ('own', 'plain', 'stock', *(('torch',) if importlib.util.find_spec('torch') else ()))
LIBRARIES = ('openvino', 'onnxruntime')
SECONDS = 20.0  # that a peer may take for a case, its first turn aside


class Network(NamedTuple):
    """An experiment file with changes, and the height and width of the photo, or of the training image."""

    cfg: str
    size: tuple[int, int]
    changes: tuple[str, ...] = ()
    training: bool = False


_VOC = 'experiments/{0}/cfgs/resnet_v1_101_voc0712_{1}.yaml'
_FPN = 'experiments/fpn/cfgs/resnet_v1_101_coco_trainval_fpn_{0}end2end_ohem.yaml'
_DEEPLAB = 'experiments/deeplab/cfgs/deeplab_resnet_v1_101_cityscapes_segmentation_{0}.yaml'
_ONE_SCALE = ('SCALES=[[800,1280]]', 'TEST_SCALES=[[800,1280]]', 'TEST.USE_SOFTNMS=false')  # what a file can hold
BFLOAT16 = 'engine.bfloat16=true'
_RFCN_DCN = _VOC.format('rfcn', 'rfcn_dcn_end2end_ohem')
CASES = {
    'Deformable R-FCN 600x1000': Network(_RFCN_DCN, (600, 1000)),
    'Deformable R-FCN 600x1000, bfloat16': Network(_RFCN_DCN, (600, 1000), (BFLOAT16,)),
    'R-FCN 600x1000': Network(_VOC.format('rfcn', 'rfcn_end2end_ohem'), (600, 1000)),
    'Faster R-CNN 600x1000': Network(_VOC.format('faster_rcnn', 'rcnn_end2end'), (600, 1000)),
    'Deformable Faster R-CNN 600x1000': Network(_VOC.format('faster_rcnn', 'rcnn_dcn_end2end'), (600, 1000)),
    'FPN 800x1280': Network(_FPN.format(''), (800, 1280), _ONE_SCALE),
    'Deformable FPN 800x1280': Network(_FPN.format('dcn_'), (800, 1280), _ONE_SCALE),
    'DeepLab 1024x2048': Network(_DEEPLAB.format('base'), (1024, 2048)),
    'Deformable DeepLab 1024x2048': Network(_DEEPLAB.format('dcn'), (1024, 2048)),
    'Deformable R-FCN 608x1008, training step': Network(_RFCN_DCN, (608, 1008), (), True),
}


def run(
    only: str,
    rounds: int,
    path: str | None,
    folder: str | None = None,
    seconds: float = SECONDS,
    against: Sequence[str] | None = None,
    cases: dict[str, Network] = CASES,
) -> None:
    """Time the cases whose name contains ``only``, print tables, write seconds and bytes as JSON to ``path``.

    folder: of the environments of LIBRARIES, which are left out without it; seconds: a peer that has taken so long for
    a case stops after two or three rounds; against: peers beside 'own', all by default: together they hold one process
    each, which for large images fill the memory.
    """
    names = chosen(cases, only, rounds)
    os.environ.setdefault('OMP_NUM_THREADS', str(len(os.sched_getaffinity(0))))
    peers = _wanted([*PEERS, *_installed(folder)], against)
    found = []
    for name in names:
        print(f'timing {name}', file=sys.stderr, flush=True)
        found.append(dict(case=name, **_times(name, cases[name], rounds, seconds, peers, folder)))
    machine = bench_report.machine()
    print(f'{bench_report.where(machine)}; medians of {rounds} rounds, fewer where a network is slow')
    print(columns(found, peers))
    for row in found:
        for peer, why in row['missing'].items():
            print(f'{row["case"]}: {peer} failed: {why}')
    if path:
        with atomic_write(path, 'w') as stream:
            json.dump(dict(machine=machine, asked=rounds, times=found), stream, indent=1)


def _installed(folder):
    """Those of LIBRARIES that have an environment below ``folder``."""
    if folder is None:
        return []
    found = [library for library in LIBRARIES if python_of(folder, library).exists()]
    if not found:
        raise UserError(
            f'no other libraries below {folder}; install them with: python lib/dcn/peers.py --make {folder} '
            + ' '.join(LIBRARIES)
        )
    return found


def _wanted(peers, against):
    """'own' and those of ``peers`` that are in ``against``."""
    for peer in against or ():
        if peer not in peers:
            raise UserError(f'--against {peer}: expected some of {", ".join(peers[1:])}, which are there')
    return [peer for peer in peers if against is None or peer in ('own', *against)]


def _times(name, network, rounds, seconds, peers, folder):
    """What `interleaved` gives, peak {peer: bytes}, of the whole process of each, and versions {library: text}."""
    missing = {}
    # new processes for each case: so many networks at a time fill the memory
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        workers = []
        for peer in peers:
            try:
                worker = _started(peer, network, scratch, folder)
            except UserError as error:
                missing[peer] = str(error)
            else:
                workers.append(stack.enter_context(contextlib.closing(worker)))
        question = dict(case=name, direction='forward', attributes=network._asdict())
        row = interleaved(list(workers), question, rounds, seconds)
        row['missing'].update(missing)
        timed = [worker for worker in workers if worker.name in row['seconds']]
        return dict(
            row,
            peak={worker.name: worker.peak_bytes() for worker in timed},
            versions={worker.name: worker.version for worker in timed if worker.name in LIBRARIES},
        )


def _started(peer, network, scratch, folder):
    if peer in PEERS:
        return Peer(peer, 'dcn.benchmarks.networks')
    precision = 'bf16' if BFLOAT16 in network.changes else 'f32'
    if precision == 'bf16' and peer != 'openvino':
        raise UserError('float32 only')
    return _Library(peer, exported(network, peer, scratch, folder), folder, network.size, precision)


def exported(network: Network, library: str, folder: str, peers: str | None) -> str:
    """Path of the file of a test network for a library: photo in, boxes or classes out, of one size."""
    if network.training:
        raise UserError('an exported file cannot be trained')
    from dcn.export.model import onnx_model, options_for
    from dcn.export.runtime import to_openvino
    from dcn.export.trained import trained

    cfg = _configuration(network)
    options = options_for(library, size=network.size, preprocessing=True)
    model = onnx_model(trained(cfg, *_tested(cfg, network.size), {}), options)
    if library == 'openvino':
        path = os.path.join(folder, 'network.xml')
        to_openvino(model, path, half=False, peers=peers)
        return path
    path = os.path.join(folder, 'network.onnx')
    with open(path, 'wb') as stream:
        stream.write(model.SerializeToString())
    return path


class _Library(Asked):
    """A library with an exported file."""

    def __init__(self, name, path, folder, size, precision):
        from dcn.export.runtime import Runtime

        self.name, self._inputs = name, {'image': photo_of(size)}
        self._runtime = Runtime(path, folder, int(os.environ['OMP_NUM_THREADS']), precision)
        self.pid, self.version = self._runtime.pid, self._runtime.about['runtime']
        self._runtime.run(self._inputs)  # what is allocated and compiled at first does not count

    def ask(self, **_):
        """{seconds} of one photo."""
        return {'seconds': self._runtime.run(self._inputs)[1]}

    def close(self):
        self._runtime.close()


def prepared(network: Network, peer: str) -> Call:
    """A Call: photo in, boxes or classes out; or a training step on one image. It has been made once."""
    changes = {'own': (), 'torch': ('engine.name=torch',)}
    cfg = _configuration(network, *changes.get(peer, ('engine.rewrite=false',)))
    if cfg.engine.bfloat16:
        _need_bfloat16()
    call = _training(cfg, network.size) if network.training else _testing(cfg, network.size)
    call.run()
    if call.wait:
        call.wait()
    return call


def _need_bfloat16():
    from dcn.engine.runtime.precision import bfloat16_runs

    import mxnet as mx

    if not bfloat16_runs(mx.cpu()):
        raise UserError('this processor has no bfloat16')


def _configuration(network, *changes):
    from dcn.config import load_config
    from dcn.paths import ROOT

    common = ('network.pretrained=', 'TRAIN.BATCH_IMAGES=1')
    return load_config(str(ROOT / network.cfg), [*network.changes, *common, *changes])


def photo_of(size: tuple[int, int]) -> np.ndarray:
    """(height, width, 3) uint8 of noise."""
    return np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)


def tester(network: Network) -> Any:
    """Its Detector or Segmenter, with first values as weights."""
    return _tester(_configuration(network), network.size)


def _tester(cfg, size):
    from dcn.engine import Detector, Segmenter

    return (Segmenter if _segments(cfg) else Detector)(cfg, _tested(cfg, size))


def _testing(cfg, size) -> Call:
    made, photo = _tester(cfg, size), photo_of(size)
    if _segments(cfg):
        return Call(lambda: made.segment(photo), lambda: {'classes': made.segment(photo)}, None)
    return Call(lambda: made.detect(photo), lambda: made.detect(photo)._asdict(), None)


def _segments(cfg):
    from dcn.config.families import kind_of

    return kind_of(cfg) == 'segmentation'


def _tested(cfg, size):
    """(arg_params, aux_params) for testing at ``size``."""
    shapes = {'data': (1, 3, *size), **({} if _segments(cfg) else {'im_info': (1, 3)})}
    return _first_values(cfg, shapes, is_train=False)


def _training(cfg, size) -> Call:
    from dcn.engine import Trainer, task_of
    from dcn.engine.runtime.devices import contexts, is_torch

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
    devices = contexts(cfg, 'cpu')
    if is_torch(devices[0]):
        from dcn.torch.trainer import Trainer as TorchTrainer

        args, auxs = ({name: array.asnumpy() for name, array in group.items()} for group in (args, auxs))
        trainer = TorchTrainer(symbol, devices, args, auxs, task.fixed_params)
    else:
        trainer = Trainer(symbol, devices, args, auxs, task.fixed_params, rewrite=cfg.engine.rewrite)

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


def columns(found: list[dict], peers: list[str]) -> str:
    """Two tables of the rows {case, seconds {peer: median}, peak {peer: bytes}}: milliseconds of own and multiples of
    it for the other ``peers``; gigabytes of all."""
    width = max(len(row['case']) for row in found) + 2
    lines = [_line('', width, ['own, ms', *peers[1:]])]
    for row in found:
        own = row['seconds'].get('own')
        others = (row['seconds'].get(peer) for peer in peers[1:])
        cells = [f'{other / own:.2f}' if own and other else '-' for other in others]
        lines.append(_line(row['case'], width, [f'{own * 1e3:.0f}' if own else '-', *cells]))
    lines += ['', _line('peak memory of the process, GB', width, peers)]
    for row in found:
        sizes = (row['peak'].get(peer) for peer in peers)
        lines.append(_line(row['case'], width, [f'{size / 1e9:.2f}' if size else '-' for size in sizes]))
    return '\n'.join(lines)


def _line(first, width, cells):
    return f'{first:{width}s}' + ''.join(f'{cell:>13s}' for cell in cells)


if __name__ == '__main__':
    serve(lambda question: prepared(Network(**question['attributes']), sys.argv[1]))
