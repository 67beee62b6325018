"""Outputs and gradients of filled networks against those of the original's graphs, in tests/reference.

Tolerances: RoIs 0.01 pixel in the same order, probabilities 1e-4, box deltas 5e-4, gradient norms 2e-3 of their size.
When NMS leaves fewer RoIs than asked for, the rest is random repetition and is left out.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.graphs.conftest import DEEPLAB, DEEPLAB_DCN, VOC_DCN

REFERENCE = Path(__file__).resolve().parents[1] / 'reference'


DETECTORS = [
    'rfcn__deform_conv_demo__seed0',
    'rfcn__deform_psroi_demo__seed0',
    'rfcn__resnet_v1_101_voc0712_rfcn_dcn_end2end_ohem__seed0__post200',
    'rfcn__resnet_v1_101_voc0712_rfcn_end2end_ohem__seed0',
    'faster_rcnn__resnet_v1_101_voc0712_rcnn_dcn_end2end__seed0__post200',
    'fpn__resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem__seed0__post300',
    pytest.param('faster_rcnn__resnet_v1_101_voc0712_rcnn_end2end__seed0', marks=pytest.mark.full),
]


@pytest.mark.parametrize('case', DETECTORS)
def test_outputs_equal_the_original(case, network):
    same_outputs(case, network, rewritten=False)


@pytest.mark.parametrize(
    'case', [DETECTORS[2], *(pytest.param(case, marks=pytest.mark.full) for case in DETECTORS[3:6])]
)
def test_outputs_of_the_rewritten_graph_equal_the_original(case, network):
    same_outputs(case, network, rewritten=True)


def same_outputs(case, network, rewritten):
    from tests.graphs.runs import pictured, run

    reference = np.load(REFERENCE / f'{case}.npz')
    meta = json.loads(str(reference['meta']))
    _, made = network(meta['yaml'], [f'TEST.RPN_POST_NMS_TOP_N={meta["post_nms"]}'], False)
    outputs, _ = run(made, pictured(224, 320), rewritten=rewritten)
    assert list(outputs) == meta['outputs']
    rois = reference['out_rois_output']
    count = distinct(rois)
    assert count > 100  # enough to compare
    compare(outputs.pop('rois_output')[:count], rois[:count], 0.01)
    for name, tolerance in (('cls_prob_reshape_output', 1e-4), ('bbox_pred_reshape_output', 5e-4)):
        compare(outputs.pop(name)[:, :count], reference['out_' + name][:, :count], tolerance)
    for name, found in outputs.items():  # the demos' offsets, in cells or in parts of the RoI
        rows = count if name == 'rfcn_cls_offset_output' else None
        compare(found[:rows], reference['out_' + name][:rows], 1e-3)


@pytest.mark.parametrize('rewritten', [False, True])
@pytest.mark.parametrize('stem', [pytest.param(DEEPLAB, marks=pytest.mark.full), DEEPLAB_DCN])
def test_segmentation_equals_the_original(stem, rewritten, network):
    from tests.graphs.runs import pictured, run

    reference = np.load(REFERENCE / f'deeplab__{stem}__seed0.npz')
    _, made = network(stem, (), False)
    found, _ = run(made, {'data': pictured(224, 320)['data']}, rewritten=rewritten)
    compare(found['softmax_output'][:, :, ::8, ::8], reference['softmax_every8'], 1e-4)
    # where two classes are equally likely, the last digit decides
    assert (found['softmax_output'].argmax(axis=1) == reference['argmax']).mean() > 0.999


@pytest.mark.full
def test_training_of_segmentation_equals_the_original(network):
    from tests.graphs.runs import pictured, run

    reference = np.load(REFERENCE / f'train__deeplab__{DEEPLAB_DCN}__seed0.npz')
    _, made = network(DEEPLAB_DCN)
    label = reference['in_label']
    found, gradients = run(made, {'data': pictured(224, 320)['data'], 'label': label}, gradients=True)
    same_gradients(reference, gradients)
    probability = np.take_along_axis(found['softmax_output'], np.minimum(label, 20).astype(int), axis=1)[label != 255]
    metrics = json.loads(str(reference['meta']))['metrics']
    assert np.isclose(-np.log(probability + 1e-14).mean(), metrics['FCNLogLoss'], rtol=1e-4)


SAMPLES = ('rois_output', 'label', 'bbox_target', 'bbox_weight')


@pytest.mark.full
@pytest.mark.parametrize(
    'case, height, width',
    [
        ('faster_rcnn__resnet_v1_101_voc0712_rcnn_dcn_end2end__seed0', 224, 320),
        ('fpn__resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem__seed0', 224, 320),
        ('fpn__resnet_v1_101_coco_trainval_fpn_dcn_end2end_ohem__seed0_480x640', 480, 640),
    ],
)
def test_training_on_the_originals_samples(case, height, width, network, monkeypatch):
    """Random samples differ, so the losses start from those of the original."""
    from dcn.networks import detector
    from tests.graphs.filling import picture
    from tests.graphs.runs import run

    import mxnet as mx

    reference = np.load(REFERENCE / f'train__{case}.npz')
    meta = json.loads(str(reference['meta']))
    inputs = [mx.sym.Variable('given_' + name) for name in SAMPLES]
    monkeypatch.setattr(detector, 'proposal_target', lambda *args: inputs)
    _, made = network(meta['yaml'])
    arguments = made.sym.list_arguments()
    given = {name[3:]: reference[name] for name in reference.files if name[3:] in arguments}
    given.update({'given_' + name: reference['cust_custom0_' + name] for name in SAMPLES})
    found, gradients = run(made, {'data': picture(height, width), **given}, gradients=True)
    same_gradients(reference, gradients)
    same_metrics(reference, found, meta['metrics'])


@pytest.fixture(scope='module')
def training(network):
    """Reference and the project's training pass on the reference's proposals, whose padding is random."""
    from tests.graphs.filling import picture
    from tests.graphs.runs import run

    import mxnet as mx

    reference = np.load(REFERENCE / f'train__rfcn__{VOC_DCN}__seed0.npz')
    cfg, made = network(VOC_DCN)
    made._proposals = lambda *args, **kwargs: mx.sym.Variable('rois')
    made.get_symbol(cfg, True)
    inputs = {name[3:]: reference[name] for name in reference.files if name.startswith('in_')}
    inputs.pop('im_info')  # only the proposals use it
    watch = [f'custom0_{name}' for name in ('rois_output', 'label', 'bbox_target', 'bbox_weight')]
    watch += ['custom1_labels_ohem', 'custom1_bbox_weights_ohem']
    given = {'data': picture(224, 320), 'rois': reference['cust_rois_output'], **inputs}
    return reference, run(made, given, gradients=True, watch=watch)


def test_training_proposals_equal_the_original(network):
    from tests.graphs.runs import pictured, run

    reference = np.load(REFERENCE / f'train__rfcn__{VOC_DCN}__seed0.npz')
    _, made = network(VOC_DCN, (), False)  # the same numbers of boxes before and after NMS in test mode
    rois = reference['cust_rois_output']
    count = distinct(rois)
    found, _ = run(made, pictured(224, 320))
    compare(found['rois_output'][:count], rois[:count], 0.01)


def test_targets_and_hard_examples_equal_the_original(training):
    reference, (found, _) = training
    for name in (
        'custom0_rois_output',
        'custom0_label',
        'custom0_bbox_target',
        'custom0_bbox_weight',
        'custom1_labels_ohem',
        'custom1_bbox_weights_ohem',
    ):
        compare(found[name], reference['cust_' + name], 1e-4)


def test_gradients_equal_the_original(training):
    reference, (_, gradients) = training
    same_gradients(reference, gradients)


def test_metrics_of_the_training_outputs_equal_the_original(training):
    reference, (found, _) = training
    same_metrics(reference, found, json.loads(str(reference['meta']))['metrics'])


def same_gradients(reference, gradients):
    names = [str(name) for name in reference['grad_names']]
    assert set(names) == set(gradients)
    norms = np.array([np.sqrt((gradients[name].astype(np.float64) ** 2).sum()) for name in names])
    np.testing.assert_allclose(norms, reference['grad_l2'], rtol=2e-3)
    largest = np.array([np.abs(gradients[name]).max() for name in names])
    np.testing.assert_allclose(largest, reference['grad_absmax'], rtol=1e-2)


def same_metrics(reference, found, metrics):
    label = found['blockgrad0_output'].ravel()
    probability = found['cls_prob_reshape_output'].reshape(len(label), -1)
    kept = label >= 0
    likelihood = probability[kept, label[kept].astype(int)]
    assert np.isclose(-np.log(likelihood + 1e-14).mean(), metrics['RCNNLogLoss'], rtol=1e-4)
    assert np.isclose(found['bbox_loss_reshape_output'].sum() / kept.sum(), metrics['RCNNL1Loss'], rtol=1e-4)
    anchors = reference['in_label'].ravel() >= 0
    assert np.isclose(found['rpn_bbox_loss_output'].sum() / anchors.sum(), metrics['RPNL1Loss'], rtol=1e-4)


def distinct(rois):
    """Number of RoIs before the first repetition."""
    seen = set()
    for count, row in enumerate(map(tuple, rois)):
        if row in seen:
            return count
        seen.add(row)
    return len(rois)


def compare(found, expected, tolerance):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
