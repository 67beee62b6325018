"""The two halves of a detector: an RPN alone, and detection on precomputed proposals."""

import copy
import logging
import os
from typing import List, Optional, Tuple

import numpy as np
from easydict import EasyDict

from dcn.bbox import clip_boxes
from dcn.config import output_folder
from dcn.config.families import kind_of
from dcn.dataset import get_imdb
from dcn.dataset.imdb import IMDB
from dcn.dataset.proposals import proposal_path, proposal_roidb, training_proposals, write_rpn
from dcn.dataset.registry import split_image_sets
from dcn.engine.inference.graphs import TestGraph, rcnn_graph, rpn_graph
from dcn.engine.inference.predictor import Predictor, each_image
from dcn.engine.runtime.run_folder import logging_to
from dcn.engine.tasks.detection import EndToEnd, box_test_weights, largest_image
from dcn.engine.tasks.evaluate import evaluate
from dcn.engine.tasks.metrics import Metrics, RcnnMetrics, RpnMetrics
from dcn.engine.tasks.task import TestOptions
from dcn.evaluation.recall import evaluate_recall, summary
from dcn.loader.batches import BatchLoader
from dcn.loader.loaders import TestLoader, testing_scales
from dcn.loader.roi_loader import RoiTestLoader, RoiTrainLoader, box_normalisation, rows_for
from dcn.symbols.network import Network

import mxnet as mx

LOG = logging.getLogger(__name__)


class RpnOnly(EndToEnd):
    """Region proposals alone; testing writes them to a file (dcn.dataset.proposals) and tells their recall."""

    def check_rpn(self) -> None:
        """It trains the RPN, whatever else the settings say."""

    def train_symbol(self, network: Network) -> mx.sym.Symbol:
        return network.get_symbol_rpn(self.cfg, is_train=True)

    def test_graph(self) -> TestGraph:
        return rpn_graph(self.cfg)

    def metrics(self) -> Metrics:
        return RpnMetrics()

    def test_weights(self, arg_params: dict) -> dict:
        return {}

    def evaluate(
        self, imdb: IMDB, predictors: List[Predictor], params: Tuple[dict, dict], folder: str, options: TestOptions
    ) -> dict:
        roidb, path = imdb.gt_roidb(), proposal_path(self.cfg, imdb)
        boxes, scores = propose_all(predictors, roidb, self.cfg)
        write_rpn(path, imdb, boxes, scores)
        LOG.info(f'proposals: {path}')
        return logged_recall(imdb, roidb, boxes)

    @property
    def test_folder(self) -> str:
        # not beside the scores of detection
        return os.path.join(output_folder(self.cfg, self.cfg.dataset.test_image_set), 'rpn_data')


class RoisOnly(EndToEnd):
    """Detection on precomputed proposals."""

    def check_rpn(self) -> None:
        """It needs none."""

    def train_symbol(self, network: Network) -> mx.sym.Symbol:
        return network.get_symbol_rcnn(self.cfg, is_train=True)

    def test_graph(self) -> TestGraph:
        return rcnn_graph(self.cfg)

    def records(self) -> List[dict]:
        records = training_proposals(self.cfg)
        self._normalisation = box_normalisation(records, self.cfg)
        self._most = max(len(record['max_overlaps']) for record in records)
        return records

    def train_loader(self, records: List[dict], symbol: mx.sym.Symbol, num_devices: int) -> BatchLoader:
        return RoiTrainLoader(records, self.cfg, self._normalisation, num_devices, self.cfg.TRAIN.seed)

    def metrics(self) -> Metrics:
        return RcnnMetrics()

    def largest_inputs(self, symbol: mx.sym.Symbol) -> dict:
        train = self.cfg.TRAIN
        every = train.BATCH_ROIS == -1
        rows = (train.BATCH_IMAGES, rows_for(self.cfg, self._most if every else train.BATCH_ROIS // train.BATCH_IMAGES))
        boxes = rows + (self._normalisation.means.size,)
        return {
            'data': (train.BATCH_IMAGES, 3, *largest_image(self.cfg)),
            'rois': rows + (5,),
            'label': rows,
            'bbox_target': boxes,
            'bbox_weight': boxes,
        }

    def test_weights(self, arg_params: dict) -> dict:
        return box_test_weights(self.cfg, arg_params, *self._normalisation)

    def test_records(self, imdb: IMDB) -> List[dict]:
        return proposal_roidb(self.cfg, imdb)

    def test_loader(self, records: List[dict]) -> TestLoader:
        return RoiTestLoader(records, self.cfg)


def report_proposals(cfg: EasyDict, image_sets: str, gpus: Optional[str] = None) -> None:
    """Log the recall of proposals of the sets ('+' joins): written by this network's RPN, or read where it has none."""
    for image_set in split_image_sets(image_sets):
        changed = copy.deepcopy(cfg)
        changed.dataset.test_image_set = image_set
        if kind_of(cfg) != 'detection' or cfg.TEST.HAS_RPN:
            changed.dataset.proposal = 'rpn'
            write_proposals(changed, gpus)
            continue
        with logging_to(RpnOnly(changed).test_folder, changed):
            imdb = get_imdb(changed, image_set)
            roidb = proposal_roidb(changed, imdb)
            logged_recall(imdb, roidb, [record['proposals'] for record in roidb])


def write_proposals(cfg: EasyDict, gpus: Optional[str] = None) -> dict:
    """Write the RPN's proposals of cfg.dataset.test_image_set; returns their scores (dcn.evaluation.recall)."""
    return evaluate(cfg, gpus, task=RpnOnly(cfg))


def propose_all(
    predictors: List[Predictor], roidb: List[dict], cfg: EasyDict
) -> Tuple[List[np.ndarray], List[np.ndarray]]:
    """For each record the boxes (n, 4) that the RPN proposes, in image pixels, best first, and their scores (n,).

    The rows with which the RPN fills up its proposals, repetitions of others, are left out.
    """
    boxes, scores = [None] * len(roidb), [None] * len(roidb)
    # one scale: testing at several is a matter of the second stage
    scales = testing_scales(cfg)
    loader = TestLoader(roidb, EasyDict(cfg, TEST_SCALES=scales if len(scales) == 1 else cfg.SCALES[:1]))
    for i, _, scale, outputs in each_image(predictors, loader):
        rows = np.hstack([outputs['rois_output'][:, 1:], outputs['rois_score'].reshape(-1, 1)])
        rows = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
        # a padded image is larger than itself
        boxes[i] = clip_boxes(rows[:, :4] / scale, (roidb[i]['height'], roidb[i]['width']))
        scores[i] = rows[:, 4]
    return boxes, scores


def logged_recall(imdb: IMDB, roidb: List[dict], boxes: List[np.ndarray]) -> dict:
    """Scores (dcn.evaluation.recall) of the proposals ``boxes``, after lines in the log."""
    scores = evaluate_recall(roidb, boxes)
    for line in summary(imdb.name, scores):
        LOG.info(line)
    return scores
