"""Deformable ConvNets v2 end to end: small networks with modulated layers train, are tested, are examined."""

import importlib
import os
import re

import numpy as np
import pytest

from dcn.cli import inspect
from dcn.config import load_config, symbol_class
from dcn.formats import params as params_file
from dcn.inspection.checkpoint.diagnosis import examine
from dcn.inspection.render.diagnosis import sentence
from tests.deeplab import tiny as segmentation
from tests.engine.families import EXPERIMENTS, FAMILIES, experiment
from tests.engine.voc import write_voc

V2 = [
    'network.modulated=true',
    'network.deform_rule=v2',
    'network.deformable=[res3,res4,res5]',
    'TRAIN.BATCH_IMAGES=2',
    'TRAIN.SHUFFLE=false',
    'TRAIN.FLIP=false',
    'TRAIN.lr=0.01',
]
DEEPLAB = 'deeplab/cfgs/deeplab_resnet_v1_101_voc12_segmentation_dcn.yaml'


class Run:
    """Three updates of a family's network; ``params``: its checkpoint, ``log``: what it printed."""

    def __init__(self, family, folder, read):
        self.family, self.read = family, read
        if family == 'deeplab':
            self.cfg, small = os.path.join(EXPERIMENTS, DEEPLAB), segmentation.SMALL
            data, modules = segmentation.write_voc(os.path.join(folder, 'data')), ('train', 'test')
        else:
            self.cfg, small = experiment(family, 1)
            data, modules = write_voc(os.path.join(folder, 'data'), size=(90, 120)), ('train_end2end', 'test')
            small = [*small, 'network.roi_pooling=modulated']
        self.changes = [*small, *data, *V2, f'output_path={folder}', 'TEST.test_epoch=1']
        self.train, self.test = (importlib.import_module(f'{family}.{name}').main for name in modules)
        self.train([*self.arguments, '--max-iterations', '3', '--frequent', '1'])
        self.log = read()
        self.path = re.search(r'Saved checkpoint to "(.*\.params)"', self.log).group(1)
        self.params = {name.split(':')[1]: array for name, array in params_file.read(self.path).items()}

    @property
    def arguments(self):
        return ['--cfg', self.cfg, '--set', *self.changes]


@pytest.fixture(params=[*FAMILIES, 'deeplab'])
def trained(request, operators, tmp_path, capsys):
    if operators.status()['ModulatedDeformableConvolution'] != 'own':
        pytest.skip('stock MXNet has no modulated layers that learn on the CPU')
    return Run(request.param, str(tmp_path), lambda: capsys.readouterr().out)


def test_trains_is_tested_and_recognised(trained):
    learned(trained)
    trained.test(trained.arguments)
    assert re.search('Mean AP@0.5 = |Mean IoU = ', trained.read())
    diagnosed(trained)
    inspected(trained)


def learned(trained):
    """The losses are numbers, and what predicts moves and masks has left its zeros: biases, which no decay moves."""
    losses = re.findall(r'Loss=([^,\s]+)', trained.log)
    assert len(losses) >= 2 and np.isfinite([float(loss) for loss in losses]).all()
    biases = {
        name: array
        for name, array in trained.params.items()
        if name.endswith('_bias') and ('offset' in name or 'deform_fc' in name)
    }
    assert len(biases) == 3 + {'deeplab': 0, 'rfcn': 2, 'faster_rcnn': 3, 'fpn': 12}[trained.family]
    still = set()
    for name, bias in biases.items():
        parts = [bias] if 'deform_fc' in name else np.split(bias, [len(bias) * 2 // 3])
        still.update([] if all(part.any() for part in parts) else [re.sub('.*_(p.)_bias', r'\1', name)])
    # a level may have been without RoIs
    assert still < {'p2', 'p3', 'p4', 'p5'}


def diagnosed(trained):
    """dcn doctor knows the network, and the experiment file and keys that it names build one of the same parameters."""
    report = examine(params_file.open_params(trained.path), trained.path)
    assert report.sound
    facts, steps = ([sentence(finding) for finding in report.of(level)] for level in ('fact', 'step'))
    words = (
        '1 groups with masks' if trained.family == 'deeplab' else '4 groups with masks, modulated pooling in 3 x 3 bins'
    )
    assert words in facts[1]
    path = re.search(r'experiment file: (\S+)', steps[0]).group(1)
    changes = next(step for step in steps if step.startswith('with these keys changed: ')).split(': ')[1].split()
    cfg = load_config(os.path.join(EXPERIMENTS, '..', path), changes)
    made = symbol_class(cfg)()
    made.get_symbol(cfg, is_train=False)
    made.infer_shape({'data': (1, 3, 128, 128), **({} if trained.family == 'deeplab' else {'im_info': (1, 3)})})
    for name, shape in {**made.arg_shape_dict, **made.aux_shape_dict}.items():
        if name in trained.params:
            assert trained.params[name].shape == shape, name
        else:
            assert name in ('data', 'im_info', 'softmax_label')


def inspected(trained):
    """dcn inspect's parameters are the checkpoint's; in FPN each of 32 RoIs passes through three layers."""
    source = inspect.open_source(trained.cfg, overrides=trained.changes)
    network = inspect.describe(source.graph, 'net', source.shapes)
    assert network.notes == []
    for parameter in network.parameters():
        assert trained.params[parameter.name].shape == parameter.shape, parameter.name
    moving = sum(array.size for name, array in trained.params.items() if 'offset' in name or 'deform_fc' in name)
    assert network.totals['params']['offset'] == moving
    if trained.family == 'fpn':
        (pooling,) = (layer for layer in network.layers if layer.op == 'fpn_roi_pooling')
        assert pooling.macs == 32 * (16 * 9 * 16 + 16 * 16 + 16 * 27) and pooling.deformable
