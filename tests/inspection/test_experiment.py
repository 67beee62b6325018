"""The experiment file of a checkpoint that is named alone: taken where it is sure, refused with the doctor's name
where it is not."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from dcn.config import load_config
from dcn.errors import UserError
from dcn.formats import params as params_file
from dcn.inspection.checkpoint import experiment
from dcn.inspection.checkpoint.experiment import experiment_of
from dcn.inspection.graph.network import describe
from dcn.paths import find
from tests.inspection.graphs import GOLDEN, golden
from tests.inspection.test_doctor import checkpoint, shapes_of, sister

SHIPPED = {
    'rfcn/shapes/shapes_rfcn': 'rfcn/cfgs/shapes_rfcn_end2end_ohem',
    'rfcn/shapes/shapes_rfcn_dcn': 'rfcn/cfgs/shapes_rfcn_dcn_end2end_ohem',
    'faster_rcnn/shapes/shapes_rcnn_dcn': 'faster_rcnn/cfgs/shapes_rcnn_dcn_end2end',
    'fpn/shapes/shapes_fpn_dcn': 'fpn/cfgs/shapes_fpn_dcn_end2end_ohem',
    'deeplab/shapes/shapes_deeplab_dcn': 'deeplab/cfgs/shapes_deeplab_dcn',
}
WHOLE = [name for name in GOLDEN if name.endswith('test') and not name.startswith('alt') and 'demo' not in name]


@pytest.mark.parametrize('stem', SHIPPED)
def test_shipped_networks(stem, repository):
    found = experiment_of(str(repository / 'experiments' / f'{stem}-0000.params'))
    assert found.cfg == f'experiments/{SHIPPED[stem]}.yaml' and found.changes == []
    assert load_config(find(found.cfg)).symbol == found.symbol


@pytest.fixture
def shapes(monkeypatch):
    """A function: {name: shape} -> the Experiment of a checkpoint of such arrays, without the arrays."""

    def run(wanted, *overrides):
        entries = [SimpleNamespace(name=f'arg:{name}', shape=shape) for name, shape in wanted.items()]
        monkeypatch.setattr(experiment, 'open_source', lambda path: SimpleNamespace(params=entries))
        return experiment_of('/nowhere/net-0000.params', overrides)

    return run


@pytest.mark.parametrize('name', WHOLE)
def test_every_published_network(name, shapes):
    graph, inputs, _ = golden(name)
    found = shapes(shapes_of(describe(graph, name, inputs)))
    assert found.symbol == GOLDEN[name]['symbol'] and found.changes == []
    assert load_config(find(found.cfg)).symbol == found.symbol


def test_names_of_other_classes_are_asked_for(shapes):
    graph, inputs, _ = golden(next(name for name in WHOLE if 'voc0712_rfcn_dcn' in name))
    wanted = shapes_of(describe(graph, 'net', inputs))
    wanted.update({f'rfcn_cls_{kind}': (49 * 3, *wanted[f'rfcn_cls_{kind}'][1:]) for kind in ('weight', 'bias')})
    wanted['rfcn_cls_offset_t_weight'] = (2 * 3 * 49, *wanted['rfcn_cls_offset_t_weight'][1:])
    wanted['rfcn_cls_offset_t_bias'] = (2 * 3 * 49,)
    with pytest.raises(UserError, match=r'does not record the names of its 2 classes \(--set dataset.CLASSES='):
        shapes(wanted)
    assert shapes(wanted, 'dataset.CLASSES=[bolt,nut]').changes == ['dataset.NUM_CLASSES=3']


@pytest.mark.parametrize(
    'arrays, told',
    [
        ({'arg:w': np.ones(2, np.float32)}, 'it is not recognised as a checkpoint'),
        (sister(), 'it is not recognised as a checkpoint'),
        (checkpoint(changes={'conv1_weight': None}), 'it is not recognised as a checkpoint'),
        (checkpoint(changes={'rpn_cls_score_bias': None}), 'it looks like .*, but not all of its parameters'),
        ({name.split(':')[1]: array for name, array in checkpoint().items()}, 'its names lack arg: or aux: in front'),
        (checkpoint(), 'a checkpoint does not record the strides of its blocks'),
    ],
)
def test_a_doubt_names_the_doctor(arrays, told, tmp_path):
    path = str(tmp_path / 'my net.params')
    params_file.write(path, arrays)
    with pytest.raises(UserError, match=rf"{told}.*; name its experiment file with --cfg. \"dcn doctor '{path}'\""):
        experiment_of(path)


def test_settings_of_the_training_that_wrote_it(tmp_path, repository):
    """The newest beside it; those of another network are not its own."""
    path = str(tmp_path / 'net-0000.params')
    params_file.write(path, checkpoint())
    for age, (name, symbol) in enumerate((('new', 'resnet_v1_101_rfcn_dcn'), ('old', 'resnet_v1_101_rfcn_dcn'))):
        (tmp_path / f'{name}.config.yaml').write_text(f'symbol: {symbol}\n')
        os.utime(tmp_path / f'{name}.config.yaml', (10**9 - age, 10**9 - age))
    found = experiment_of(path)
    assert found.cfg == str(tmp_path / 'new.config.yaml') and 'training that wrote it' in found.source
    for name in ('new', 'old'):
        (tmp_path / f'{name}.config.yaml').write_text('symbol: resnet_v1_101_rcnn\n')
    with pytest.raises(UserError, match='does not record the strides'):
        experiment_of(path)


@pytest.mark.parametrize(
    'name, content, told',
    [
        ('w.safetensors', b'\x02\0\0\0\0\0\0\0{}', 'make a checkpoint of it first: dcn convert'),
        ('my.yaml', b'symbol: resnet_v1_101_rfcn', 'expected a checkpoint PREFIX-NNNN.params, found a network'),
        ('photo.jpg', b'\xff\xd8\xff\xe0 and more', 'found a JPEG image'),
    ],
)
def test_other_files(name, content, told, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        experiment_of(str(tmp_path / name))
