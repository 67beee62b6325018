"""Training, testing and detecting: what turns graphs, data and parameters into results."""
import lib.operators  # noqa: F401  (own operators under the stock names, before any graph is built)
from lib.engine.detector import Detections, Detector
from lib.engine.devices import contexts
from lib.engine.fit import fit
from lib.engine.predictor import Predictor
from lib.engine.segmenter import Segmenter
from lib.engine.tasks import task_of
from lib.engine.tester import pred_eval
from lib.engine.testing import evaluate
from lib.engine.trainer import Trainer
from lib.engine.training import train

__all__ = [
    'Detections', 'Detector', 'Predictor', 'Segmenter', 'Trainer', 'contexts', 'evaluate', 'fit', 'pred_eval',
    'task_of', 'train',
]
