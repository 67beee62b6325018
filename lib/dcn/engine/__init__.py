"""Training, testing and detecting: what turns graphs, data and parameters into results."""

import dcn.operators  # noqa: F401  (the project's operators, before any graph is built)
from dcn.engine.inference.detector import Detections, Detector
from dcn.engine.inference.predictor import Predictor
from dcn.engine.inference.segmenter import Segmenter
from dcn.engine.runtime.devices import contexts
from dcn.engine.tasks.box_evaluation import pred_eval
from dcn.engine.tasks.evaluate import evaluate
from dcn.engine.tasks.task import task_of
from dcn.engine.training.loop import fit
from dcn.engine.training.run import train
from dcn.engine.training.trainer import Trainer

__all__ = [
    'Detections',
    'Detector',
    'Predictor',
    'Segmenter',
    'Trainer',
    'contexts',
    'evaluate',
    'fit',
    'pred_eval',
    'task_of',
    'train',
]
