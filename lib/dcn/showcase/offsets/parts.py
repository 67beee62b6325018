"""Where deformable RoI pooling moves its parts, class by class (the paper's figure 7)."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Sequence

import numpy as np

from dcn.showcase.offsets.scenes import Scene
from dcn.showcase.probe import PartNetwork
from dcn.visualize.parts import TRANS_STD, class_offsets


class ClassParts:
    """The parts of all objects of one class."""

    def __init__(self, label: int, parts: int) -> None:
        self.label, self.count = label, 0
        self._sum, self._squares, self._lengths = np.zeros((2, parts, parts)), np.zeros((2, parts, parts)), 0.0
        self.example: Example | None = None  # the largest one

    def add(self, offsets: np.ndarray, side: float, scene: int, box: np.ndarray) -> None:
        """offsets (2, P, P) x and y of one object, as the network gives them."""
        moves = offsets.astype(float) * TRANS_STD
        self.count += 1
        self._sum += moves
        self._squares += moves**2
        self._lengths += float(np.linalg.norm(moves, axis=0).mean())
        if self.example is None or side > self.example.side:
            self.example = Example(side, scene, box, offsets)

    @property
    def mean(self) -> np.ndarray:
        """(2, P, P): mean offset of each part along x and y, as a share of the box's width and height."""
        return self._sum / self.count

    @property
    def std(self) -> float:
        """How much the offsets of a part differ from object to object: the root of the mean square distance from the
        part's mean, over all parts."""
        return float(np.sqrt(np.maximum(0, self._squares / self.count - self.mean**2).sum(0).mean()))

    @property
    def length(self) -> float:
        """Mean length of a part's offset, as a share of the box's sides."""
        return self._lengths / self.count

    @property
    def outwards(self) -> float:
        """How much wider the parts are spread in the mean than the regular ones: 0.1 for a tenth; negative: narrower.

        It is the slope of the mean offsets over the parts' places, along x and y together.
        """
        parts = self._sum.shape[-1]
        if parts == 1:
            return 0.0
        places = (np.arange(parts) + 0.5) / parts - 0.5
        across, down = np.broadcast_to(places, (parts, parts)), np.broadcast_to(places[:, None], (parts, parts))
        return float((across * self.mean[0] + down * self.mean[1]).sum() / (across**2 + down**2).sum())


class Example(NamedTuple):
    """An object with its parts."""

    side: float
    scene: int  # number of its image
    box: np.ndarray  # (4,)
    offsets: np.ndarray  # (2, P, P)


def survey_parts(network: PartNetwork, scenes: Iterable[Scene], classes: Sequence[str]) -> list[ClassParts]:
    """A ClassParts for each of ``classes`` that occurs among the objects of ``scenes``, in their order."""
    found: dict[int, ClassParts] = {}
    for number, scene in enumerate(scenes):
        objects = scene.objects()
        if not len(objects.boxes):
            continue
        offsets, _ = network.offsets(scene.image(), objects.boxes)
        for label, side, box, each in zip(objects.labels, objects.sides, objects.boxes, offsets):
            label = int(label)
            if label not in found:
                found[label] = ClassParts(label, each.shape[-1])
            found[label].add(class_offsets(each, label), float(side), number, box)
    return [found[label] for label in sorted(found)]
