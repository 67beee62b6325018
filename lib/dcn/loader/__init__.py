"""From records to batches: every batch is a pure function of the seed, the epoch and its index."""

from dcn.loader.batches import Batch
from dcn.loader.loaders import TestLoader, TrainLoader
from dcn.loader.prefetching import prefetch
from dcn.loader.rpn_targets import RpnRule, assign_anchors

__all__ = ['Batch', 'RpnRule', 'TestLoader', 'TrainLoader', 'assign_anchors', 'prefetch']
