"""Custom operator `pyramid_proposal`: the best boxes of a region proposal network on the maps of a feature pyramid.

Feature Pyramid Networks (Lin et al., CVPR 2017), section 4.1: one scale of anchors a level; the boxes of all levels
share one non-maximum suppression (NMS), as in the original's Python operator.
"""

from __future__ import annotations

from typing import Sequence

from dcn.operators.numpy_operator import numbers, operator
from dcn.operators.proposal import Proposal


@operator('pyramid_proposal')
class PyramidProposal(Proposal):
    """For each stride s in pixels rpn_cls_prob_stride<s> (B, 2A, h, w), then rpn_bbox_pred_stride<s> (B, 4A, h, w),
    then im_info (B, 3) -> output (B * post, 5) [, score (B * post, 1)], as those of `proposal`.

    Anchors of a level are multiples of its stride. The inputs come in the order of ``feat_stride``, whatever it is
    (the original took them for strides 4 to 64, and its default for the order did not agree).
    """

    purpose = 'pyramid_proposal'

    def __init__(
        self,
        feat_stride: str = '(4, 8, 16, 32, 64)',
        scales: str = '(8,)',
        ratios: str = '(0.5, 1, 2)',
        output_score: str = 'False',
        rpn_pre_nms_top_n: str = '12000',
        rpn_post_nms_top_n: str = '2000',
        threshold: str = '0.3',
        rpn_min_size: str = '16',
    ) -> None:
        super().__init__(
            feat_stride, scales, ratios, output_score, rpn_pre_nms_top_n, rpn_post_nms_top_n, threshold, rpn_min_size
        )

    def strides(self, feat_stride: str) -> list[int]:
        """The strides of the maps, from the attribute."""
        return [int(stride) for stride in numbers('feat_stride', feat_stride)]

    @property
    def arguments(self) -> Sequence[str]:
        """Names of the inputs: probabilities of all maps, box deltas of all maps, im_info."""
        return (
            *(f'rpn_cls_prob_stride{stride}' for stride in self.proposal_strides),
            *(f'rpn_bbox_pred_stride{stride}' for stride in self.proposal_strides),
            'im_info',
        )
