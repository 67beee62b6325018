"""contrib.Proposal and contrib.MultiProposal: stock MXNet's outputs bit for bit, and the reference implementation."""

import numpy as np
import pytest

from dcn.operators import native, reference
from tests.operators import cases

import mxnet as mx

NAMES = pytest.mark.parametrize('name', cases.PROPOSALS)


def run(inputs, attributes, which, operator=None):
    """(rois, scores) of the project's or the stock operator."""
    operator = operator or ('Proposal' if len(inputs['im_info']) == 1 else 'MultiProposal')
    with native.using(which):
        outputs = getattr(mx.nd.contrib, operator)(
            **{key: mx.nd.array(value) for key, value in inputs.items()}, output_score=True, **attributes
        )
    return [output.asnumpy() for output in outputs]


@NAMES
def test_equal_to_stock_bit_for_bit(name, need_own):
    need_own('Proposal', 'is what is compared with')
    inputs, attributes = cases.proposal(name)
    for own, stock in zip(run(inputs, attributes, 'own'), run(inputs, attributes, 'stock')):
        np.testing.assert_array_equal(own, stock)


@NAMES
def test_equal_to_the_reference_implementation(name):
    inputs, attributes = cases.proposal(name)
    rois, scores = reference.contrib_proposal(**inputs, **attributes)
    own_rois, own_scores = run(inputs, attributes, native.status()['Proposal'])
    np.testing.assert_array_equal(own_scores, scores.astype(np.float32))
    np.testing.assert_allclose(own_rois, rois, atol=1e-3)  # float32 of some 200 pixels


def test_small_boxes_are_enlarged_and_last(need_own):
    """All have the score -1: stock leaves their order to its sort, ours is by index. NMS drops nothing here, so
    the boxes themselves must be the same."""
    need_own('Proposal', 'is what is compared with')
    inputs, attributes = cases.proposal('usual')
    attributes.update(rpn_min_size=60, threshold=1.0, rpn_pre_nms_top_n=0, rpn_post_nms_top_n=9 * 9 * 13)
    (own, own_scores), (stock, stock_scores) = (run(inputs, attributes, which) for which in ('own', 'stock'))
    assert (own_scores == -1).sum() > 100 and own.min() < 0
    np.testing.assert_array_equal(own_scores, stock_scores)
    np.testing.assert_array_equal(own[np.lexsort(own.T)], stock[np.lexsort(stock.T)])
    expected, _ = reference.contrib_proposal(**inputs, **attributes)
    np.testing.assert_allclose(own, expected, atol=1e-3)


def test_many_images_are_one_after_the_other(need_own):
    need_own('MultiProposal', 'is what is compared with')
    inputs, attributes = cases.proposal('two images')
    rois, scores = run(inputs, attributes, 'own')
    for image in (0, 1):
        alone = run({key: value[image : image + 1] for key, value in inputs.items()}, attributes, 'own', 'Proposal')
        np.testing.assert_array_equal(rois[30 * image : 30 * (image + 1), 1:], alone[0][:, 1:])
        np.testing.assert_array_equal(scores[30 * image : 30 * (image + 1)], alone[1])
        assert (rois[30 * image : 30 * (image + 1), 0] == image).all()


def test_gradients_are_zero():
    inputs, attributes = cases.proposal('usual')
    arrays = {key: mx.nd.array(value) for key, value in inputs.items()}
    for array in arrays.values():
        array.attach_grad()
    with mx.autograd.record():
        rois = mx.nd.contrib.Proposal(**arrays, **attributes)
    rois.backward()
    assert all((array.grad.asnumpy() == 0).all() for array in arrays.values())


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize('key', ['cls_prob', 'bbox_pred', 'im_info'])
def test_numbers_that_are_none_do_no_harm(key, value, need_own):
    """Stock's sort runs away on scores that are not numbers."""
    need_own('Proposal', 'may crash')
    inputs, attributes = cases.proposal('usual')
    inputs[key].reshape(-1)[::3] = value
    rois, scores = run(inputs, attributes, 'own')
    assert rois.shape == (30, 5) and scores.shape == (30, 1) and (rois[:, 0] == 0).all()


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(ratios=(1,)), 'cls_prob'),
        (dict(feature_stride=0), 'feature_stride'),
        (dict(rpn_post_nms_top_n=0), 'rpn_post_nms_top_n'),
        # products that int does not hold
        (dict(feature_stride=2**31 - 1), 'feature_stride .* at most 16777216 pixels, found 2147483647'),
        (dict(feature_stride=2**21), 'feature_stride is 2097152, and cls_prob has the shape .* give a smaller'),
        (dict(rpn_post_nms_top_n=2**29), 'rpn_post_nms_top_n is 536870912 for each of 1 images: .* ask for fewer'),
        (dict(ratios=(1.0,) * 1025, scales=(8.0,) * 1025), '1025 ratios times 1025 scales, expected at most 1048576'),
    ],
)
def test_wrong_attributes_are_refused(change, words, need_own):
    need_own('Proposal', 'has other words')
    inputs, attributes = cases.proposal('usual')
    with pytest.raises(mx.base.MXNetError, match=f'Proposal: .*{words}'):
        run(inputs, dict(attributes, **change), 'own')


def test_one_image_only(need_own):
    need_own('Proposal', 'has other words')
    inputs, attributes = cases.proposal('two images')
    with pytest.raises(mx.base.MXNetError, match='Proposal: shape of cls_prob'):
        run(inputs, attributes, 'own', 'Proposal')
