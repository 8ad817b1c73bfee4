"""Mean and variance of channels over values that come in parts, however those are cut. No torch."""

import numpy as np


class Moments:
    """Sums over all values of each channel, in float64, about the mean of the first part.

    The variance is the unbiased one, as torch keeps in `running_var`: over one value fewer than
    there are. Parts of other sizes give the same, which a mean of variances of parts does not.
    """

    def __init__(self) -> None:
        self.count = 0
        self._middle = self._total = self._squares = np.zeros(())

    def add(self, values: np.ndarray) -> None:
        """Take in values by channel, `(C, positions)`."""
        values = values.astype(np.float64)
        if not self.count:
            self._middle = values.mean(1)  # about it little is lost
        values = values - self._middle[:, None]
        self.count += values.shape[1]
        self._total = self._total + values.sum(1)
        self._squares = self._squares + np.square(values).sum(1)

    @property
    def mean(self) -> np.ndarray:
        """Of each channel."""
        return np.asarray(self._middle + self._total / self.count)

    @property
    def variance(self) -> np.ndarray:
        """Of each channel; there are two values or more."""
        about = self._squares - np.square(self._total) / self.count
        return np.maximum(about, 0.0) / (self.count - 1)
