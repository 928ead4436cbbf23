"""The task of a sensor: learn the city's model on its own readings, and forecast with it and a model of its own.

Only the city's model is in the vector that nodes exchange. The own model, its weight, the scale and all readings stay
here. Metrics are in the readings' unit, over the sensor's own test rows.
"""

from __future__ import annotations

import math

import numpy as np

from gossipfl.errors import LocalError
from gossipfl.model.schema import Schema, Vector
from gossipfl.tasks.sensors import own
from gossipfl.tasks.sensors.feed import Feed
from gossipfl.tasks.sensors.networks import Network
from gossipfl.tasks.sensors.windows import STEPS_IN, Array, Windows, features
from gossipfl.tasks.task import Mean, Progress

HORIZONS = (3, 6, 9, 12)
"""Steps ahead that are judged; all steps up to there count."""
RECENT, LONG_RUN = 72.0, 2016.0
"""Windows that the two losses remember: six hours and a week of five-minute readings."""


class Forecaster:
    """Forecasts of the next 12 readings from the last 12.

    Args:
        network: the model that is shared.
        feed: what it learns from.
        minutes: between two readings.
        steps: local steps per publish.
    """

    def __init__(self, network: Network, feed: Feed, *, minutes: float, steps: int) -> None:
        self._network, self._feed, self._minutes = network, feed, minutes
        self.steps = steps
        self.schema: Schema = network.schema
        self._fitted = -1
        """The feed's version that the own model was fitted on."""
        self._weighed: tuple[Vector, Array] | None = None
        """The last vector that was weighed against the own model, and λ for each step ahead."""
        self._recent = self._long_run = math.nan

    def initial(self) -> Vector:
        """Says "as it is"; equal on all nodes of one seed."""
        return self._network.initial()

    def train(self, vector: Vector, steps: int, rng: np.random.Generator) -> Progress:
        """`steps` local steps in place, also on what came meanwhile, which is forecast first and the loss noted."""
        fresh = self._feed.refresh()
        if fresh is not None and len(fresh):
            self._note(float(np.nanmean((self._served(vector, fresh.x) - fresh.y) ** 2)), len(fresh))
        return self._network.train(vector, steps, rng)

    def evaluate(self, vector: Vector) -> dict[str, float]:
        """RMSE and MAE up to each horizon; of the city's model and the own one alone; λ's mean; what new readings say.

        `recent_loss` and `long_run_loss` are root mean squares of scaled errors on readings that were not trained on
        yet, and `drift` their ratio: above 1, things have become harder to foresee than they used to be.
        """
        found = {name: mean.value for name, mean in self.means(vector).items()}
        found["own_weight"] = float(self._weights(vector).mean())
        if not math.isnan(self._recent):
            recent, long_run = math.sqrt(self._recent), math.sqrt(self._long_run)
            found |= {"recent_loss": recent, "long_run_loss": long_run, "drift": recent / long_run if long_run else 1.0}
        return found

    def means(self, vector: Vector) -> dict[str, Mean]:
        """See Pooled."""
        test = self._feed.test
        if not len(test):
            return {}
        shared, alone = self._network.predict(vector, test.x), own.forecast(self._own(), test.x)
        served = shared + self._weights(vector) * (alone - shared)
        found: dict[str, Mean] = {}
        for steps in HORIZONS:
            ahead = f"{self._minutes * steps:g}min"
            errors = _errors(test, served, steps)
            found[f"rmse_{ahead}"] = Mean(float(errors @ errors), len(errors), 2)
            found[f"mae_{ahead}"] = Mean(float(np.abs(errors).sum()), len(errors))
        for name, forecasts in (("shared", shared), ("own", alone)):
            errors = _errors(test, forecasts, HORIZONS[0])
            found[f"{name}_rmse_{self._minutes * HORIZONS[0]:g}min"] = Mean(float(errors @ errors), len(errors), 2)
        return found

    def predict(self, vector: Vector, inputs: Array) -> Array:
        """The next 12 readings, shape (n, 12), in the readings' unit.

        Args:
            vector: the model.
            inputs: the last 12 readings, oldest first, NaN where one is missing; a 13th column may tell the hour of
                the last one, in [0, 24). Shape (n, 12) or (n, 13).

        Raises:
            LocalError: another shape, or a row without any reading.
        """
        if inputs.ndim != 2 or inputs.shape[1] not in (STEPS_IN, STEPS_IN + 1):
            raise LocalError(f"inputs of shape {inputs.shape}: allowed are (n, {STEPS_IN}), or one more with the hour")
        self._feed.refresh()  # where nobody trains, nobody else does
        readings = inputs[:, :STEPS_IN]
        if not np.isfinite(readings).any(axis=1).all():
            raise LocalError("inputs: a row has no reading at all; at least one of 12 is needed")
        timed = self._feed.clock and inputs.shape[1] > STEPS_IN
        hours = inputs[:, STEPS_IN] if timed else np.full(len(inputs), np.nan, np.float32)
        scale = np.full((len(inputs), 1), self._feed.scale, np.float32)
        x, last = features(readings, hours, scale)
        return last + self._served(vector, x) * scale

    def _served(self, vector: Vector, x: Array) -> Array:
        """Scaled changes: the city's forecast, and λ of the way to the own one."""
        shared = self._network.predict(vector, x)
        return shared + self._weights(vector) * (own.forecast(self._own(), x) - shared)

    def _own(self) -> own.Coefficients:
        """The own model, fitted on all that trains."""
        if self._fitted != self._feed.version:
            self._coefficients, self._unseen = own.fit(self._feed.train), own.unseen(self._feed.train)
            self._fitted, self._weighed = self._feed.version, None
        return self._coefficients

    def _weights(self, vector: Vector) -> Array:
        self._own()
        if self._weighed is None or not np.array_equal(self._weighed[0], vector):
            train = self._feed.train
            found = own.weights(self._unseen, self._network.predict(vector, train.x), train.y)
            self._weighed = vector.copy(), found
        return self._weighed[1]

    def _note(self, loss: float, windows: int) -> None:
        """Take up the loss of so many new windows."""
        if math.isnan(self._recent):
            self._recent = self._long_run = loss
        self._recent += -math.expm1(-windows / RECENT) * (loss - self._recent)
        self._long_run += -math.expm1(-windows / LONG_RUN) * (loss - self._long_run)


def _errors(test: Windows, forecasts: Array, steps: int) -> Array:
    """Errors of all steps up to `steps`, in readings, of the windows that have so many, where the truth is known."""
    rows = test.left >= steps
    errors: Array = ((forecasts - test.y) * test.scale)[rows, :steps].ravel()
    return errors[np.isfinite(errors)]
