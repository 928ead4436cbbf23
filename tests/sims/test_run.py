"""Runs and results: one seed, one result, whoever looks on; and JSON that says all that was promised."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from gossipfl.errors import LocalError
from gossipfl.protocol import events as ev
from gossipfl_sims.engine.machine import Machine
from gossipfl_sims.engine.world import World
from gossipfl_sims.nemesis import faults as ft
from gossipfl_sims.result import Result
from gossipfl_sims.run import Run, build
from gossipfl_sims.scenario.files import load
from gossipfl_sims.scenario.scenario import Devices, Expect, Gossip, Phases, Scenario, TaskChoice
from gossipfl_sims.series import JUDGED, STALENESS, Sample

SHORT = ["chaos", "--set", "faulty=20", "--set", "healed=10", "--set", "nodes=5"]
CHANGES = SHORT[2::2]
PROMISED = {
    "trace_hash", "seed", "nodes", "virtual_seconds", "events", "faults", "mean_accuracy", "worst_accuracy",
    "disagreement", "bytes_per_node", "violations", "series", "pooled",
}  # fmt: skip
"""Keys that others rely on."""


def short(seed: int = 5, **options: Any) -> Run:
    return Run(load("chaos", CHANGES), seed, name=shlex.join(SHORT), **options)


# --- one seed, one result


def test_twenty_reruns_give_one_result() -> None:
    results = [short().finish() for _ in range(20)]
    assert results[0].faults > 100
    assert all(result == results[0] for result in results)


def test_whoever_looks_on_changes_nothing() -> None:
    class Curious:
        """Looks at everything that can be looked at."""

        def before(self, machine: Machine, event: ev.Event) -> None:
            del event
            assert machine.peer is not None
            machine.metrics()
            machine.peer.replica.full()
            machine.peer.replica.full_served()
            machine.peer.neighbourhood.live()

        def after(self, machine: Machine, event: ev.Event, effects: list[ev.Effect]) -> None:
            del machine, event, effects

    plain = short(checks=False).finish()
    assert short(checks=True).finish().trace_hash == plain.trace_hash
    assert short(checks=False, trace=io.StringIO()).finish().trace_hash == plain.trace_hash
    watched = short()
    watched.world.observers.append(Curious())
    watched.world.on_frame = lambda *_: None
    assert watched.finish().trace_hash == plain.trace_hash
    sampled = Run(load("chaos", [*CHANGES, "sample=0.37"]), 5, name=shlex.join(SHORT)).finish()
    assert sampled.trace_hash == plain.trace_hash
    told: list[float] = []
    assert short().finish(lambda now, _end, _world: told.append(now)).trace_hash == plain.trace_hash
    assert told == sorted(told)
    assert told[-1] == 30.0


def test_another_process_with_other_hashes_gives_the_same_result() -> None:
    program = "from tests.sims.test_run import short; r = short().finish(); print(r.trace_hash, r.events, r.faults)"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("0", "77")
    }
    result = short().finish()
    assert printed == {f"{result.trace_hash} {result.events} {result.faults}"}


def test_each_seed_tells_another_story() -> None:
    results = [short(seed, checks=False).finish() for seed in range(8)]
    assert len({result.trace_hash for result in results}) == 8
    assert len({result.events for result in results}) > 4


def test_the_hash_is_of_the_models_too() -> None:
    """Two runs with the same events that end with other models are not the same."""
    run = short()
    before, events = run.finish(), run.world.trace_hash
    machine = next(machine for machine in run.world if machine.peer is not None)
    assert machine.peer is not None
    machine.peer.replica.x = machine.peer.replica.x * 2

    assert run.result().trace_hash != before.trace_hash
    assert run.world.trace_hash == events


def test_the_replay_line_runs_the_same_again() -> None:
    result = short(17).finish()
    program, command, action, line = shlex.split(result.replay)
    assert (program, command, action) == ("gossipfl", "sim", "replay")
    name, *rest = shlex.split(line)
    changes = [rest[i + 1] for i in range(0, len(rest), 2) if rest[i] == "--set"]
    assert rest[-2:] == ["--seed", "17"]
    assert Run(load(name, changes), 17, name=result.scenario).finish() == result


@pytest.mark.parametrize("name", ["calm", "'my file.toml'", "calm --set 'mesh=a b'", 'it"s --set x=1'])
def test_a_replay_line_survives_a_shell(name: str) -> None:
    line = Run(Scenario(nodes=2, task=TaskChoice("consensus")), 3, name=name).replay
    assert shlex.split(line) == ["gossipfl", "sim", "replay", f"{name} --seed 3"]


def test_a_bug_comes_with_the_line_that_replays_it() -> None:
    run = short()

    def broken() -> None:
        raise ZeroDivisionError

    run.world.at(7.25, broken)
    with pytest.raises(ZeroDivisionError) as error:
        run.finish()
    assert error.value.__notes__ == [f"at 7.2500 s of: {run.replay}"]


# --- results


@pytest.mark.parametrize("task", ["consensus", "quadratic", "softmax"])
@pytest.mark.parametrize("seconds", [(0.0, 0.0), (3.0, 0.0), (20.0, 5.0)])
def test_a_result_is_json_that_can_be_read_again(task: str, seconds: tuple[float, float]) -> None:
    """Also of a run in which nobody has learnt, or nothing has happened."""
    scenario = Scenario(nodes=3, task=TaskChoice(task), time=Phases(*seconds, 1.5))
    result = Run(scenario, 0, name="x").finish()
    text = json.dumps(result.as_dict(), allow_nan=False)
    assert set(json.loads(text)) >= PROMISED
    assert msgspec.json.decode(text, type=Result) == result
    assert result.virtual_seconds == sum(seconds)


def test_a_result_of_everything_that_goes_wrong_is_json() -> None:
    result = short(2).finish().as_dict()
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(json.dumps(result))
    assert set(result) >= PROMISED
    assert isinstance(result["violations"], list)


def test_a_result_adds_up() -> None:
    run = short(3)
    result = run.finish()
    world = run.world
    assert result.nodes == len(result.each) == 5
    assert [one.id for one in result.each] == [machine.name for machine in world]
    assert result.faults == sum(result.faults_by_kind.values()) > 50
    assert result.bytes_per_node == sum(one.bytes_sent for one in result.each) / 5
    assert result.merges_per_node == sum(one.merges for one in result.each) / 5
    assert sum(result.staleness.values()) == sum(one.merges for one in result.each)
    assert set(result.staleness) <= {f"{edge:g}" for edge in STALENESS}
    assert result.events == world.trace.events
    assert result.virtual_seconds == 30.0
    assert result.mean_accuracy is None
    assert result.pooled == {"error": result.error}
    assert all(0 <= begin <= end <= 20 for begin, end, _ in result.shaded)
    assert [graph.time for graph in result.graphs][-2:] == [20.0, 30.0]
    for graph in result.graphs:
        assert all(0 <= one < other < 5 for one, other in graph.edges)
        assert len(graph.part) == 5
    assert all(part == 0 for part in result.graphs[-1].part)


@pytest.mark.parametrize(("faulty", "healed", "sample"), [(20.0, 10.0, 7.0), (10.0, 0.0, 100.0), (0.3, 0.3, 0.1)])
def test_series_have_one_value_for_each_time(faulty: float, healed: float, sample: float) -> None:
    scenario = Scenario(nodes=4, task=TaskChoice("quadratic"), time=Phases(faulty, healed, sample))
    result = Run(scenario, 0).finish()
    assert set(result.series) == set(Sample.__struct_fields__)
    assert len({len(values) for values in result.series.values()}) == 1
    times = [time for time in result.series["time"] if time is not None]
    assert times == sorted(set(times))
    assert times[-1] == faulty + healed
    whole = [sample * i for i in range(1, int((faulty + healed) / sample + 1e-9) + 1)]
    assert times == pytest.approx(sorted({*(round(time, 9) for time in whole), faulty + healed}))


def test_a_large_mesh_is_judged_by_a_sample_and_at_the_end_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    honest = Machine.metrics
    scenario = Scenario(nodes=80, task=TaskChoice("consensus"), time=Phases(1.0, 1.0, 1.0))
    run = Run(scenario, 0, checks=False)

    def counted(self: Machine) -> dict[str, float]:
        looks.append(run.world.now)
        return honest(self)

    monkeypatch.setattr(Machine, "metrics", counted)
    run.finish()
    assert 0 < looks.count(1.0) <= JUDGED
    assert looks.count(2.0) >= 80


@pytest.mark.parametrize(
    ("expect", "unmet"),
    [
        (Expect(), []),
        (Expect(error=1e9, disagreement=1e9), []),
        (Expect(error=0.0), ["error is", "expected is at most 0"]),
        (Expect(disagreement=0.0), ["disagreement is", "expected is at most 0"]),
        (Expect(mean_accuracy=0.0), ["mean_accuracy is unknown; expected is at least 0"]),
        (Expect(worst_accuracy=0.5), ["worst_accuracy is unknown; expected is at least 0.5"]),
    ],
)
def test_expectations_that_are_not_met_are_told(expect: Expect, unmet: list[str]) -> None:
    scenario = Scenario(nodes=3, task=TaskChoice("quadratic"), time=Phases(8.0, 0.0), expect=expect)
    result = Run(scenario, 0).finish()
    assert len(result.unmet) == bool(unmet)
    assert all(part in result.unmet[0] for part in unmet)
    assert result.passed == (not unmet)
    assert not result.violations


def test_an_expected_accuracy_is_a_least_one() -> None:
    scenario = Scenario(nodes=3, task=TaskChoice("softmax"), time=Phases(8.0, 0.0), expect=Expect(mean_accuracy=0.2))
    assert Run(scenario, 0).finish().passed
    failed = Run(msgspec.structs.replace(scenario, expect=Expect(worst_accuracy=1.0)), 0).finish()
    assert failed.worst_accuracy is not None
    assert failed.unmet == [f"worst_accuracy is {failed.worst_accuracy:.4g}; expected is at least 1"]


# --- worlds


def speeds(run: World) -> list[float]:
    return [machine.seconds_per_step for machine in run]


def test_devices_are_as_fast_as_the_scenario_says() -> None:
    def made(seed: int = 0, **devices: Any) -> list[float]:
        usual = {"seconds_per_step": 0.01}
        scenario = Scenario(nodes=200, task=TaskChoice("consensus"), devices=Devices(**usual | devices))
        return speeds(build(scenario, seed))

    assert made() == [0.01] * 200
    slow = made(slow=7, slow_factor=50.0)
    assert sorted(set(slow)) == pytest.approx([0.01, 0.5])
    assert sum(speed > 0.1 for speed in slow) == 7
    spread = sorted(made(spread=0.8))
    assert spread[100] == pytest.approx(0.01, rel=0.3)
    assert spread[168] / spread[32] == pytest.approx(5, rel=0.3)  # one σ to both sides
    assert made(spread=0.8) == made(spread=0.8) != made(1, spread=0.8)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["task.name=quadratc"], "did you mean 'quadratic'?"),
        (["topology=rin"], "did you mean ring?"),
        (["task.name=no-such.py:factory"], "no-such.py"),
    ],
)
def test_a_task_or_topology_that_there_is_not_is_told(changes: list[str], told: str) -> None:
    with pytest.raises(LocalError) as error:
        Run(load("calm", changes), 0)
    assert told in str(error.value)


@pytest.mark.parametrize("topology", ["ring", "complete", "exponential", "hierarchical", "regular:k=4"])
def test_a_mesh_of_any_topology_survives_its_crashes(topology: str) -> None:
    crash = ft.Crash(at=10.0, lasts=5.0, nodes=2)
    scenario = Scenario(nodes=7, task=TaskChoice("quadratic"), gossip=Gossip(interval=1.0, topology=topology),
                        time=Phases(20.0, 46.0), faults=(crash,))  # fmt: skip
    result = Run(scenario, 0).finish()
    assert not result.violations
    assert result.passed


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_small_meshes_run_too(nodes: int) -> None:
    scenario = Scenario(nodes=nodes, task=TaskChoice("quadratic"), time=Phases(10.0, 50.0))
    result = Run(scenario, 0).finish()
    assert result.passed
    assert (result.merges_per_node > 0) == (nodes > 1)
