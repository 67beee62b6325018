"""Training, testing and detecting: what turns graphs, data and parameters into results."""
import dcn.operators  # noqa: F401  (own operators under the stock names, before any graph is built)
from dcn.engine.detector import Detections, Detector
from dcn.engine.devices import contexts
from dcn.engine.fit import fit
from dcn.engine.predictor import Predictor
from dcn.engine.segmenter import Segmenter
from dcn.engine.tasks import task_of
from dcn.engine.tester import pred_eval
from dcn.engine.testing import evaluate
from dcn.engine.trainer import Trainer
from dcn.engine.training import train

__all__ = [
    'Detections', 'Detector', 'Predictor', 'Segmenter', 'Trainer', 'contexts', 'evaluate', 'fit', 'pred_eval',
    'task_of', 'train',
]
