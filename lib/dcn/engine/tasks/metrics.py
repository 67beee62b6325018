"""Training metrics under the original's names; running means since the start of the epoch."""

import copy
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from dcn.world import World

_EPS = 1e-14  # keeps the logarithm finite, as in the original


def accuracy(prob: np.ndarray, label: np.ndarray) -> Tuple[float, int]:
    """prob (N, C), label (N,): rows with label -1 do not count. Returns (number right, number counted)."""
    keep = label != -1
    return float((prob.argmax(axis=1)[keep] == label[keep]).sum()), int(keep.sum())


def log_loss(prob: np.ndarray, label: np.ndarray, ignored: int = -1) -> Tuple[float, int]:
    """Sum of -ln(p[label] + 1e-14) over the labels (N, ...) other than ``ignored``, and their number.

    prob: (N, C, ...)
    """
    keep = label != ignored
    index = np.where(keep, label, 0).astype(np.int64)[:, None]
    chosen = np.take_along_axis(prob, index, axis=1)[:, 0][keep].astype(np.float64)
    return float(-np.log(chosen + _EPS).sum()), len(chosen)


def l1_loss(loss: np.ndarray, label: np.ndarray) -> Tuple[float, int]:
    """Sum of the box losses, unscaled (grad_scale acts on gradients only), and the number of labels other than -1."""
    return float(loss.sum(dtype=np.float64)), int((label != -1).sum())


def foreground_fraction(label: np.ndarray) -> Tuple[int, int]:
    """Share of labels above 0 among those that are not -1."""
    return int((label > 0).sum()), int((label >= 0).sum())


def foreground_accuracy(prob: np.ndarray, label: np.ndarray) -> Tuple[float, int]:
    """Accuracy over the labels above 0."""
    return accuracy(prob, np.where(label > 0, label, -1))


class Labels(NamedTuple):
    """What a log loss is of: the labels (n,) that count, of so many classes; ``hard``: they were picked by their
    loss."""

    values: np.ndarray
    classes: int
    hard: bool = False


class Metrics:
    """Running means of named values. A subclass gives ``names`` and values(outputs, inputs) -> {name: (sum, count)}."""

    names: Tuple[str, ...] = ()

    def __init__(self) -> None:
        self.reset()

    def values(self, outputs: List[np.ndarray], inputs: dict) -> dict:
        """Of one device, from its outputs, a list of arrays, and its inputs {name: array}."""
        raise NotImplementedError

    def labels(self, outputs: List[np.ndarray], inputs: dict) -> Dict[str, Labels]:
        """What the log losses among the values are of."""
        return {}

    def reset(self) -> None:
        self.totals = {name: [0.0, 0] for name in self.names}

    def update(self, outputs: List[np.ndarray], inputs: dict) -> Dict[str, tuple]:
        """Add the values, which are returned."""
        found = self.values(outputs, inputs)
        for name, (value, count) in found.items():
            if name in self.totals:
                self.totals[name][0] += value
                self.totals[name][1] += count
        return found

    def get(self) -> List[Tuple[str, float]]:
        """[(name, running mean)], nan where nothing was counted."""
        return [(name, value / count if count else float('nan')) for name, (value, count) in self.totals.items()]

    def state(self) -> dict:
        return {name: np.array(total, np.float64) for name, total in self.totals.items()}

    def load_state(self, state: dict) -> None:
        for name, (value, count) in state.items():
            self.totals[name] = [float(value), int(count)]


class DetectionMetrics(Metrics):
    """RPN* and RCNN* metrics; after OHEM the RCNN* ones see the kept hard RoIs only.

    Outputs: [rpn_cls_prob (B, 2, n), rpn_bbox_loss, cls_prob (B, R, C), bbox_loss, rcnn_label (B, R)]; of the inputs
    the RPN's label (B, n) counts.
    """

    NAMES = ('RPNAcc', 'RPNLogLoss', 'RPNL1Loss', 'RCNNAcc', 'RCNNLogLoss', 'RCNNL1Loss')
    ALL_NAMES = NAMES[:3] + ('Proposal FG Fraction', 'R-CNN FG Accuracy') + NAMES[3:]

    def __init__(self, foreground: bool = False):
        self.names = self.ALL_NAMES if foreground else self.NAMES
        super().__init__()

    def values(self, outputs: List[np.ndarray], inputs: dict) -> dict:
        label, prob = outputs[4].ravel(), outputs[2].reshape(-1, outputs[2].shape[-1])
        return {
            **rpn_values(*outputs[:2], inputs['label']),
            'Proposal FG Fraction': foreground_fraction(label),
            'R-CNN FG Accuracy': foreground_accuracy(prob, label),
            **rcnn_values(*outputs[2:5]),
        }

    def labels(self, outputs: List[np.ndarray], inputs: dict) -> Dict[str, Labels]:
        return {'RPNLogLoss': rpn_labels(inputs['label']), 'RCNNLogLoss': rcnn_labels(outputs[2], outputs[4])}


class RpnMetrics(Metrics):
    """Of an RPN alone. Outputs: [rpn_cls_prob (B, 2, n), rpn_bbox_loss]; the inputs' label is (B, n)."""

    names = DetectionMetrics.NAMES[:3]

    def values(self, outputs: List[np.ndarray], inputs: dict) -> dict:
        return rpn_values(*outputs[:2], inputs['label'])

    def labels(self, outputs: List[np.ndarray], inputs: dict) -> Dict[str, Labels]:
        return {'RPNLogLoss': rpn_labels(inputs['label'])}


class RcnnMetrics(Metrics):
    """Of detection on given RoIs. Outputs: [cls_prob (B, R, C), bbox_loss] and, after OHEM, the labels (B * R,) that
    are left; otherwise the inputs' label (B, R) counts."""

    names = DetectionMetrics.NAMES[3:]

    def values(self, outputs: List[np.ndarray], inputs: dict) -> dict:
        return rcnn_values(*outputs[:2], *(outputs[2:] or [inputs['label']]))

    def labels(self, outputs: List[np.ndarray], inputs: dict) -> Dict[str, Labels]:
        return {'RCNNLogLoss': rcnn_labels(outputs[0], *(outputs[2:] or [inputs['label']]))}


def rpn_values(prob: np.ndarray, loss: np.ndarray, label: np.ndarray) -> dict:
    """prob (B, 2, ...), box losses, label (B, n)."""
    prob, label = prob.reshape(prob.shape[0], 2, -1).transpose(0, 2, 1).reshape(-1, 2), label.ravel()
    return {'RPNAcc': accuracy(prob, label), 'RPNLogLoss': log_loss(prob, label), 'RPNL1Loss': l1_loss(loss, label)}


def rcnn_values(prob: np.ndarray, loss: np.ndarray, label: np.ndarray) -> dict:
    """prob (..., C), box losses, label (...)."""
    prob, label = prob.reshape(-1, prob.shape[-1]), label.ravel()
    return {'RCNNAcc': accuracy(prob, label), 'RCNNLogLoss': log_loss(prob, label), 'RCNNL1Loss': l1_loss(loss, label)}


def rpn_labels(label: np.ndarray) -> Labels:
    """Of anchors, (B, n), -1 where one does not count."""
    return Labels(label[label != -1], 2)


def rcnn_labels(prob: np.ndarray, label: np.ndarray) -> Labels:
    """Of RoIs; after OHEM those that were not picked are -1."""
    return Labels(label[label != -1], prob.shape[-1], hard=bool((label == -1).any()))


class SegmentationMetrics(Metrics):
    """FCNLogLoss over the pixels that count. Outputs: [probabilities (B, C, H, W)]; the inputs' label is (B, 1, H, W),
    255 where a pixel does not count."""

    names = ('FCNLogLoss',)

    def values(self, outputs: List[np.ndarray], inputs: dict) -> dict:
        return {'FCNLogLoss': log_loss(outputs[0], inputs['label'][:, 0], ignored=255)}

    def labels(self, outputs: List[np.ndarray], inputs: dict) -> Dict[str, Labels]:
        label = inputs['label']
        return {'FCNLogLoss': Labels(label[label != 255], outputs[0].shape[1])}


class SharedMetrics:
    """The metrics of all processes of ``world`` together, under the interface of one process's ``metrics``.

    get() and state() add up, so all processes must call them together.
    """

    def __init__(self, metrics: Metrics, world: World):
        self._own, self._world = metrics, world

    def reset(self) -> None:
        self._own.reset()

    def update(self, outputs: list, inputs: dict) -> Dict[str, tuple]:
        """Of this process, as are labels()."""
        return self._own.update(outputs, inputs)

    def labels(self, outputs: list, inputs: dict) -> Dict[str, Labels]:
        return self._own.labels(outputs, inputs)

    def get(self) -> list:
        return self._summed().get()

    def state(self) -> dict:
        return self._summed().state()

    def load_state(self, state: dict) -> None:
        """What was counted before counts once: with the writer."""
        if self._world.writer:
            self._own.load_state(state)

    def _summed(self):
        whole = copy.copy(self._own)
        numbers = self._world.sums([number for total in self._own.totals.values() for number in total])
        pairs = zip(numbers[::2], numbers[1::2])
        whole.totals = {name: [value, int(count)] for name, (value, count) in zip(self._own.totals, pairs)}
        return whole
