"""From records to batches: every batch is a pure function of the seed, the epoch and its index."""
from lib.loader.batches import Batch
from lib.loader.loaders import TestLoader, TrainLoader
from lib.loader.prefetching import prefetch
from lib.loader.rpn_targets import RpnRule, assign_anchors

__all__ = ['Batch', 'RpnRule', 'TestLoader', 'TrainLoader', 'assign_anchors', 'prefetch']
