"""What was measured of a sound or a picture, and the average of several."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from local.standin.space import Axis

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Measured:
    axes: dict[Axis, float]
    fine: Floats


class Average:
    """Of what was added, by weight."""

    def __init__(self) -> None:
        self._axes = np.zeros(len(Axis))
        self._fine: Floats | None = None
        self._weight = 0.0

    def add(self, measured: Measured, weight: float) -> None:
        for axis, value in measured.axes.items():
            self._axes[axis.value] += weight * value
        self._fine = weight * measured.fine + (0.0 if self._fine is None else self._fine)
        self._weight += weight

    def result(self) -> Measured:
        assert self._fine is not None
        axes = {axis: float(self._axes[axis.value] / self._weight) for axis in Axis if self._axes[axis.value]}
        return Measured(axes, self._fine / self._weight)
