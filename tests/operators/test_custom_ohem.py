"""Custom operator `BoxAnnotatorOHEM` against plain loops."""

import math

import numpy as np
import pytest

import dcn.operators  # noqa: F401  (registers the operator)

import mxnet as mx

NAMES = ('cls_score', 'bbox_pred', 'labels', 'bbox_targets', 'bbox_weights')


def inputs(rows=12, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    weights = np.zeros((rows, 8))
    weights[labels > 0, 4:] = 1
    return [
        array.astype(np.float32)
        for array in (
            rng.normal(0, 2, (rows, classes)),
            rng.normal(0, 1, (rows, 8)),
            labels,
            rng.normal(0, 1, (rows, 8)),
            weights,
        )
    ]


def run(arrays, keep, **attributes):
    """[labels_ohem, bbox_weights_ohem] through an MXNet executor; the gradients must come back as zeros."""
    symbol = mx.sym.Custom(
        *(mx.sym.Variable(n) for n in NAMES),
        op_type='BoxAnnotatorOHEM',
        num_reg_classes=2,
        num_classes=arrays[0].shape[1],
        roi_per_img=keep,
        **attributes,
    )
    assert symbol.list_outputs() == [f'{symbol.name}_labels_ohem', f'{symbol.name}_bbox_weights_ohem']
    bound = {name: mx.nd.array(array) for name, array in zip(NAMES, arrays)}
    grads = {name: mx.nd.ones(array.shape) for name, array in bound.items()}
    executor = symbol.bind(mx.cpu(), bound, args_grad=grads)
    found = [out.asnumpy() for out in executor.forward(is_train=True)]
    executor.backward([mx.nd.ones(out.shape) for out in found])
    assert not any(grad.asnumpy().any() for grad in grads.values())
    return found


def loss(cls_score, bbox_pred, label, target, weight):
    """-log(softmax[label] + 1e-14) + sum of weight * smooth L1, number by number."""
    exponentials = [math.exp(s) for s in cls_score]
    total = -math.log(exponentials[int(label)] / sum(exponentials) + 1e-14)
    for w, x in zip(weight, bbox_pred - target):
        total += w * (0.5 * x * x if abs(x) < 1 else abs(x) - 0.5)
    return total


@pytest.mark.parametrize('keep', [1, 5, 12, 128])  # 128: more than there are RoIs
def test_keeps_the_largest_losses(keep):
    arrays = inputs()
    losses = [loss(*row) for row in zip(*arrays)]
    kept = sorted(range(12), key=lambda row: -losses[row])[:keep]
    labels, weights = run(arrays, keep)
    for row in range(12):
        assert labels[row] == (arrays[2][row] if row in kept else -1)
        np.testing.assert_array_equal(weights[row], arrays[4][row] if row in kept else 0)


def test_box_loss_counts():
    """Equal class scores: the row with the worst box is the hard one, but only where its weight is not zero."""
    arrays = inputs(3)
    arrays[0][:], arrays[1][:], arrays[3][:] = 0, 0, 0
    arrays[2][:], arrays[4][:] = 1, 1
    arrays[1][1], arrays[1][2], arrays[4][2] = 1, 9, 0
    np.testing.assert_array_equal(run(arrays, 1)[0], [-1, 1, -1])


def test_equal_losses_keep_the_first_rows():
    arrays = [np.zeros_like(array) for array in inputs(6)]
    np.testing.assert_array_equal(run(arrays, 2)[0], [0, 0, -1, -1, -1, -1])


def test_unused_rows_never_take_a_place():
    """Label -1 marks a slot without a RoI: however large its loss, another row is kept."""
    arrays = inputs()
    arrays[2][:4], arrays[0][:4], arrays[1][:4], arrays[4][:4] = -1, 50, 1e6, 1
    labels, weights = run(arrays, 8)
    np.testing.assert_array_equal(labels[:4], -1)
    np.testing.assert_array_equal(labels[4:], arrays[2][4:])
    assert not weights[:4].any()
    labels, weights = run(arrays, 10)
    np.testing.assert_array_equal(labels[:4], -1)
    assert not weights[:4].any()


def test_two_images_equal_two_calls():
    first, second = inputs(seed=0), inputs(seed=1)
    second[1] *= 100  # over one list, the second image would take every place
    both = run([np.concatenate(pair) for pair in zip(first, second)], 4, batch_images=2)
    for part, arrays in ((slice(0, 12), first), (slice(12, 24), second)):
        for found, expected in zip(both, run(arrays, 4)):
            np.testing.assert_array_equal(found[part], expected)


def test_scores_that_overflow_exp():
    arrays = inputs(4)
    arrays[0][:] = 0
    arrays[2][:], arrays[4][:] = 1, 0
    arrays[0][2, 0] = 1000  # the label has probability 0: loss 32.2, the largest
    np.testing.assert_array_equal(run(arrays, 1)[0], [-1, -1, 1, -1])


def test_nan_does_not_crash():
    arrays = inputs()
    arrays[0][3] = np.nan
    labels, _ = run(arrays, 5)
    assert (labels >= 0).sum() == 5 and labels[3] == -1


def test_rows_must_divide_into_images():
    symbol = mx.sym.Custom(
        *(mx.sym.Variable(n) for n in NAMES),
        op_type='BoxAnnotatorOHEM',
        num_classes=5,
        num_reg_classes=2,
        roi_per_img=4,
        batch_images=2,
    )
    with pytest.raises(mx.base.MXNetError):
        symbol.infer_shape(cls_score=(7, 5), bbox_pred=(7, 8))
