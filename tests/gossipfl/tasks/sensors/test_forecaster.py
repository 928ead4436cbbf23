"""The task of a sensor: what it may learn from, how it is judged, and what it says of new readings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from gossipfl.errors import LocalError
from gossipfl.tasks.load import load
from gossipfl.tasks.sensors.forecaster import HORIZONS, Forecaster
from gossipfl.tasks.sensors.windows import HIGH, STEPS_IN, STEPS_OUT
from gossipfl.tasks.task import Node, Pooled
from tests.gossipfl.tasks.sensors import cities

DAYS = 4
VALUES = cities.speeds(DAYS * cities.A_DAY, 6)
TEST_FROM = int(0.8 * len(VALUES))
LOS_LOOP = Path(__file__).parents[4] / "../shared/data/los-loop"


@pytest.fixture
def city(tmp_path: Path) -> Path:
    return cities.write(tmp_path / "city.csv", VALUES)


def task(path: Path, index: int = 1, count: int = 6, **options: Any) -> Forecaster:
    made = load("sensors", options)(Node(index, count, 0, path))
    assert isinstance(made, Forecaster)
    return made


def trained(forecaster: Forecaster, steps: int = 300) -> npt.NDArray[np.float32]:
    vector = forecaster.initial()
    forecaster.train(vector, steps, np.random.default_rng(0))
    return vector


# --- what it learns from


def test_what_tests_and_what_other_sensors_read_changes_nothing_that_is_learnt(city: Path, tmp_path: Path) -> None:
    other = VALUES.copy()
    other[TEST_FROM:] = 5
    other[:, [0, 2, 3, 4, 5]] = 7
    one, same = task(city), task(cities.write(tmp_path / "other.csv", other))
    vector = trained(one)
    assert np.array_equal(vector, trained(same))
    inputs = VALUES[None, :STEPS_IN, 1]
    assert np.array_equal(one.predict(vector, inputs), same.predict(vector, inputs))
    assert one.evaluate(vector) != same.evaluate(vector)


def test_scarce_data_is_the_first_hours(city: Path, tmp_path: Path) -> None:
    other = VALUES.copy()
    other[144:TEST_FROM] = 5
    one, same = (
        task(path, train_hours=12) for path in (city, cities.write(tmp_path / "other.csv", other))
    )  # fmt: skip
    assert np.array_equal(vector := trained(one), trained(same))
    assert one.evaluate(vector) == same.evaluate(vector)


def test_the_time_of_day_is_told_who_has_seen_a_day(city: Path) -> None:
    for hours, told in ((12, False), (23.9, False), (24, True), (0, True)):
        forecaster = task(city, train_hours=hours)
        assert np.any(forecaster._feed.train.x[:, -2:]) == np.any(forecaster._feed.test.x[:, -2:]) == told
        vector = trained(forecaster)
        at = [np.r_[VALUES[:STEPS_IN, 1], hour][None].astype(np.float32) for hour in (8, 20)]
        morning, evening = (forecaster.predict(vector, one) for one in at)
        assert np.array_equal(morning, evening) != told


def test_one_of_one_has_all_sensors_and_few_nodes_have_sensors_from_everywhere(city: Path) -> None:
    assert task(city, 0, 1)._feed.readings.sensors == ("100", "101", "102", "103", "104", "105")
    assert [task(city, index, 3)._feed.readings.sensors for index in range(3)] == [("100",), ("102",), ("104",)]
    assert task(city, sensor="105")._feed.readings.sensors == ("105",)
    assert task(city, sensor=105)._feed.readings.sensors == ("105",)


@pytest.mark.parametrize(
    ("node", "options", "reason"),
    [
        (Node(0, 6), {}, "no data; name a table"),
        (Node(7, 8), {}, "has 6 sensors, too few for 8 nodes"),
        (Node(0, 1), {"sensor": "1O4"}, "no sensor '1O4'; did you mean '104'"),
        (Node(0, 6), {"train_hour": 12}, "option train_hour = 12: no such option; did you mean train_hours"),
        (Node(0, 6), {"train_hours": -1}, "option train_hours = -1: Expected"),
        (Node(0, 6), {"train_hours": "12"}, "option train_hours = '12': Expected"),
        (Node(0, 6), {"train_hours": 0.5}, "6 rows to train on"),
        (Node(0, 6), {"model": "lstm"}, "option model = 'lstm': Invalid"),
    ],
)
def test_what_can_t_be_is_refused(city: Path, node: Node, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(LocalError, match=reason):
        load("sensors", options)(Node(node.index, node.count, 0, None if "no data" in reason else city))


# --- how it is judged


def test_an_untrained_model_says_as_it_is(city: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forecaster = task(city)
    errors = {}
    series = VALUES[TEST_FROM:, 1].round(4)
    for steps in HORIZONS:
        cut = np.lib.stride_tricks.sliding_window_view(series, STEPS_IN + steps)
        errors[steps] = (cut[:, STEPS_IN:] - cut[:, STEPS_IN - 1 : STEPS_IN]).ravel()
    monkeypatch.setattr(forecaster, "_weights", lambda _: np.float32(0))
    found = forecaster.evaluate(forecaster.initial())
    for steps in HORIZONS:
        assert found[f"rmse_{5 * steps}min"] == pytest.approx(np.sqrt(np.mean(errors[steps] ** 2)), rel=1e-4)
        assert found[f"mae_{5 * steps}min"] == pytest.approx(np.abs(errors[steps]).mean(), rel=1e-4)
    assert found["shared_rmse_15min"] == pytest.approx(found["rmse_15min"])


def test_what_is_missing_is_neither_learnt_nor_judged(city: Path, tmp_path: Path) -> None:
    holes = VALUES.copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.2] = np.nan
    forecaster = task(cities.write(tmp_path / "holes.csv", holes))
    vector = trained(forecaster, 2000)
    found, as_it_is = forecaster.evaluate(vector), forecaster.evaluate(forecaster.initial())
    assert all(np.isfinite(value) for value in found.values())
    assert found["shared_rmse_15min"] < 0.97 * as_it_is["shared_rmse_15min"]
    assert forecaster.means(vector)["rmse_15min"].count < 0.85 * task(city).means(vector)["rmse_15min"].count
    inputs = VALUES[None, :STEPS_IN, 1].copy()
    inputs[0, [2, 11]] = np.nan
    assert np.isfinite(forecaster.predict(vector, inputs)).all()


def test_metrics_are_pooled_by_rows(city: Path) -> None:
    tasks = [task(city, index) for index in range(6)]
    vector = trained(tasks[0])
    means = [one.means(vector)["rmse_15min"] for one in tasks]
    assert all(isinstance(one, Pooled) for one in tasks)
    pooled = means[0] + means[1] + means[2]
    assert pooled.value == pytest.approx(np.sqrt(np.mean([mean.value**2 for mean in means[:3]])))
    assert means[1].value == tasks[1].evaluate(vector)["rmse_15min"]


def test_what_is_predicted_is_what_is_judged(city: Path) -> None:
    forecaster = task(city)
    vector = trained(forecaster, 1000)
    series = VALUES[TEST_FROM:, 1].round(4)
    cut = np.lib.stride_tricks.sliding_window_view(series, STEPS_IN + STEPS_OUT)
    hours = (np.arange(len(cut)) + TEST_FROM + STEPS_IN - 1) * 5 / 60 % 24
    forecasts = forecaster.predict(vector, np.c_[cut[:, :STEPS_IN], hours].astype(np.float32))
    rmse = np.sqrt(np.mean((forecasts - cut[:, STEPS_IN:]) ** 2))
    assert rmse == pytest.approx(forecaster.evaluate(vector)["rmse_60min"], rel=1e-3)


@pytest.mark.parametrize("shape", [(12,), (1, 11), (1, 14), (1, 12, 1)])
def test_inputs_of_another_shape_are_refused(city: Path, shape: Sequence[int]) -> None:
    with pytest.raises(LocalError, match="allowed are"):
        task(city).predict(task(city).initial(), np.ones(shape, np.float32))
    with pytest.raises(LocalError, match="no reading at all"):
        task(city).predict(task(city).initial(), np.full((1, 12), np.nan, np.float32))


def test_a_street_of_stop_and_go_does_not_throw_the_model_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossipfl.tasks.sensors.networks.LEARNING_RATE", 2.0)  # what momentum makes of it
    rng = np.random.default_rng(0)
    stops = rng.random((cities.A_DAY, 1)) < 0.5
    values = np.where(stops, 3, 65).astype(np.float32)
    jerky = task(cities.write(tmp_path / "city.csv", values), 0, 1)
    vector = jerky.initial()
    before = jerky.evaluate(vector)["shared_rmse_15min"]
    jerky.train(vector, 2000, rng)
    assert np.isfinite(vector).all()
    assert jerky.evaluate(vector)["shared_rmse_15min"] < before


@pytest.mark.parametrize("model", ["mlp", "gru"])
def test_training_beats_as_it_is_and_the_own_model(city: Path, model: str) -> None:
    together = task(city, 0, 1, model=model)
    vector = together.initial()
    before = together.evaluate(vector)["shared_rmse_15min"]
    together.train(vector, 400 if model == "gru" else 3000, np.random.default_rng(0))
    after = together.evaluate(vector)
    assert after["shared_rmse_15min"] < 0.97 * before
    assert after["rmse_15min"] < after["own_rmse_15min"]
    assert after["rmse_15min"] < 1.01 * after["shared_rmse_15min"], "what the own model's third costs"


# --- new readings


def test_a_file_that_grows_is_learnt_from_and_a_change_is_noticed(city: Path) -> None:
    forecaster = task(city)
    vector, rng = trained(forecaster, 3000), np.random.default_rng(0)
    test = forecaster.evaluate(vector)
    rows = len(forecaster._feed.train)
    assert "drift" not in test

    def grow(values: npt.NDArray[np.float32]) -> dict[str, float]:
        for part in np.array_split(values, 12):
            with city.open("a") as file:
                file.write("\n".join(cities.rows(part)) + "\n")
            forecaster.train(vector, 1, rng)
        return forecaster.evaluate(vector)

    usual = grow(cities.speeds(cities.A_DAY, 6, seed=1))
    assert len(forecaster._feed.train) == rows + cities.A_DAY - STEPS_IN
    assert usual["drift"] == pytest.approx(1, abs=0.35)
    assert usual["rmse_15min"] == pytest.approx(test["rmse_15min"], rel=0.1)
    rough = cities.speeds(cities.A_DAY, 6, seed=2) + 15 * rng.standard_normal((cities.A_DAY, 6)).astype(np.float32)
    assert grow(rough)["drift"] > 1.3 * usual["drift"]


def test_new_readings_are_forecast_before_they_are_learnt(city: Path) -> None:
    forecaster = task(city)
    vector = trained(forecaster)
    values = cities.speeds(60, 6, seed=1)
    series = values[:, 1].round(4)
    scale = float(np.quantile(np.r_[VALUES[:TEST_FROM, 1].round(4), series], HIGH))
    with city.open("a") as file:
        file.write("\n".join(cities.rows(values)) + "\n")
    start = len(VALUES)
    cut = np.lib.stride_tricks.sliding_window_view(series, STEPS_IN + STEPS_OUT)
    hours = (np.arange(len(cut)) + start + STEPS_IN - 1) * 5 / 60 % 24
    inputs = np.c_[cut[:, :STEPS_IN], hours].astype(np.float32)
    before = vector.copy()
    forecaster.train(vector, 1, np.random.default_rng(0))
    missed = (forecaster.predict(before, inputs) - cut[:, STEPS_IN:]) / scale
    assert forecaster.evaluate(vector)["recent_loss"] == pytest.approx(np.sqrt(np.mean(missed**2)), rel=1e-3)


# --- real traffic


@pytest.mark.skipif(not LOS_LOOP.is_dir(), reason="the Los Angeles traffic is not at ../shared/data/los-loop")
def test_as_it_is_has_the_known_error_on_real_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    forecaster = task(LOS_LOOP, 0, 1, train_hours=12)
    monkeypatch.setattr(forecaster, "_weights", lambda _: np.float32(0))
    found = forecaster.evaluate(forecaster.initial())
    assert found["rmse_15min"] == pytest.approx(5.539, abs=1e-3)
