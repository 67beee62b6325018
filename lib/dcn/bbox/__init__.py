"""Boxes, x1 y1 x2 y2 with inclusive corners: a box of one pixel has x1 == x2, hence the +1 in every width."""

from dcn.bbox.anchors import anchor_grid, generate_anchors, shifted_anchors
from dcn.bbox.overlaps import bbox_overlaps
from dcn.bbox.transform import bbox_pred, bbox_transform, box_test_weights, clip_boxes

__all__ = [
    'anchor_grid',
    'bbox_overlaps',
    'bbox_pred',
    'bbox_transform',
    'box_test_weights',
    'clip_boxes',
    'generate_anchors',
    'shifted_anchors',
]
