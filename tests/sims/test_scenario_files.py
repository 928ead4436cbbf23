"""Scenario files: what ships works, and what is wrong in one is told with its file, line and key."""

from __future__ import annotations

import ast
import inspect
import math
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossipfl.errors import LocalError
from gossipfl.tasks.load import parse
from gossipfl_sims.engine.network import Link
from gossipfl_sims.nemesis import faults as ft
from gossipfl_sims.run import Run
from gossipfl_sims.scenario import scenario as module
from gossipfl_sims.scenario.files import FAULTS, FOLDER, full_key, load, settable, shipped
from gossipfl_sims.scenario.plan import check
from gossipfl_sims.scenario.scenario import Scenario
from tests.gossipfl.tasks.sensors import cities

LOS_LOOP = Path(__file__).parents[2] / "../shared/data/los-loop"

# --- what ships

CHEAPER: dict[str, tuple[str, ...]] = {
    "byzantine-lite": ("name=softmax", "interval=3", "mean_accuracy=0.8"),
    "calm": (),
    "chaos": (),
    "churn": ("name=softmax", "interval=6", "mean_accuracy=0.75"),
    "city-day": ("interval=40", "mean_accuracy=0.8"),
    "diurnal-phones": ("name=softmax", "interval=20", "mean_accuracy=0.6"),
    "flash-crowd": ("name=softmax", "interval=8", "mean_accuracy=0.6", "worst_accuracy=0.4"),
    "los-loop": ("nodes=12", "interval=1200"),
    "lossy-radio": ("interval=4", "mean_accuracy=0.75"),
    "partition-heal": ("name=softmax", "interval=3", "mean_accuracy=0.8", "worst_accuracy=0.7"),
    "rolling-upgrade": ("name=softmax", "interval=5", "mean_accuracy=0.8", "worst_accuracy=0.7"),
    "split-brain-long": ("name=softmax", "interval=60", "healed=1200", "mean_accuracy=0.7", "worst_accuracy=0.6"),
    "stragglers": ("name=softmax", "interval=4", "mean_accuracy=0.75", "worst_accuracy=0.65"),
}
"""Fewer exchanges of a smaller model, and what those must come to; nodes, faults and phases are as shipped."""


def test_all_that_ships_is_run_here() -> None:
    assert set(CHEAPER) == set(shipped()) == {path.stem for path in FOLDER.iterdir() if path.suffix == ".toml"}


@pytest.mark.parametrize("name", CHEAPER)
def test_a_shipped_scenario_passes_with_fewer_exchanges_of_a_smaller_model(name: str, tmp_path: Path) -> None:
    data = [f"data={cities.write(tmp_path / 'city.csv', cities.speeds(200, 12))}"] if name == "los-loop" else []
    scenario = load(name, [*CHEAPER[name], *data])
    result = Run(scenario, 0, name=name).finish()
    assert not result.violations
    assert not result.unmet
    assert result.merges_per_node > 30
    assert result.virtual_seconds == scenario.time.faulty + scenario.time.healed
    for fault in scenario.faults:
        if not isinstance(fault, ft.Chaos | ft.Weather):
            assert any(str(fault.__struct_config__.tag) in kind for kind in result.faults_by_kind)


@pytest.mark.soak
@pytest.mark.parametrize("name", CHEAPER)
@pytest.mark.parametrize("seed", range(3))
def test_a_shipped_scenario_passes_as_it_is(name: str, seed: int) -> None:
    if name == "los-loop" and not LOS_LOOP.is_dir():
        pytest.skip("the Los Angeles traffic is not at ../shared/data/los-loop")
    data = [f"data={LOS_LOOP}"] if name == "los-loop" else []
    result = Run(load(name, data), seed, name=name).finish()
    assert not result.violations
    assert not result.unmet


@pytest.mark.parametrize("name", CHEAPER)
def test_a_shipped_scenario_says_what_it_is_for_and_what_it_expects(name: str) -> None:
    scenario = load(name)
    assert scenario.about.endswith(".")
    assert scenario.expect != module.Expect()
    assert not list(check(scenario))


# --- what can be said

STRUCTS: list[Any] = [*FAULTS.values(), Link, module.TaskChoice, module.Devices, module.Phases, module.Expect, Scenario]


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
def test_every_table_and_kind_is_documented(kind: Any) -> None:
    assert kind.__doc__
    assert inspect.getdoc(kind) != inspect.getdoc(ft.Fault) or kind is ft.Fault


def test_every_key_that_does_not_say_it_all_is_documented() -> None:
    """A text below each field, in the tables that a user writes."""
    plain = {"latency", "loss", "duplication", "reordering", "corruption", "mean_accuracy", "worst_accuracy", "lasts",
             "at", "nodes", "shape", "groups", "disk", "how", "every", "period", "awake", "rate", "factor",
             "task", "network", "devices", "time", "expect", "faults", "crash", "gossip"}  # fmt: skip
    for source in (module, ft, inspect.getmodule(Link)):
        assert source is not None
        for made in ast.walk(ast.parse(inspect.getsource(source))):
            if not isinstance(made, ast.ClassDef):
                continue
            for field, below in zip(made.body, [*made.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                    assert documented or field.target.id in plain, f"{made.name}.{field.target.id}"


def test_all_defaults_make_a_valid_scenario(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    assert load(str(empty)) == Scenario()
    assert not list(check(Scenario()))


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_needs_no_more_than_its_time(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text(f'[[faults]]\nkind = "{kind}"\nat = 1\n')
    (fault,) = load(str(file)).faults
    assert isinstance(fault, FAULTS[kind])
    assert (fault.at, fault.lasts) == (1.0, None)


SPELLINGS = {
    "tables": '[network]\nloss = 0.1\n[task]\nname = "quadratic"\n[[faults]]\nkind = "crash"\nat = 3\n',
    "inline tables": 'network = { loss = 0.1 }\ntask = { name = "quadratic" }\nfaults = [{ kind = "crash", at = 3 }]\n',
    "dotted keys": 'network.loss = 0.1\ntask.name = "quadratic"\n[[faults]]\nkind = "crash"\nat = 3.0\n',
    "quotes": '"network".loss = 0.1\ntask."name" = \'quadratic\'\n[["faults"]]\n"kind" = "crash"\nat = 3\n',
    "comments": '# [network]\n [ network ] # loss = 2\n  loss = 0.1 # nodes = 0\n[task] #\nname = "quadratic" # "\n'
    '[[faults]] # [[faults]]\nkind = "crash" # kind = "crush"\n# at = 99\nat = 3\n',
    "several lines": 'faults = [\n  # nodes = 0\n  { kind = "crash", at = 3 }, # the only one\n]\n'
    'network = { loss = 0.1 }\ntask = { name = """\\\n  quadratic""" }\n',
    "windows": '[network]\r\nloss = 0.1\r\n[task]\r\nname = "quadratic"\r\n[[faults]]\r\nkind = "crash"\r\nat = 3\r\n',
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_scenario_can_be_written_in_many_ways(spelling: str, tmp_path: Path) -> None:
    file = tmp_path / "written.toml"
    file.write_bytes(SPELLINGS[spelling].encode())
    assert load(str(file)) == Scenario(
        network=Link(loss=0.1), task=module.TaskChoice("quadratic"), faults=(ft.Crash(at=3.0),)
    )


# --- what is wrong

CRASH = '[[faults]]\nkind = "crash"\nat = 1\n'
BAD: list[tuple[str, int | None, str]] = [
    # a key that there is not, in each kind of place
    ("nods = 3", 1, "nods: there is no such key; did you mean nodes?"),
    ("\n[netwrok]\nloss = 0.1", 2, "netwrok: there is no such key; did you mean network?"),
    ("[network]\n\nlos = 0.1", 3, "network.los: there is no such key; did you mean loss?"),
    ("[gossip]\nintervall = 1", 2, "gossip.intervall: there is no such key; did you mean interval?"),
    ("[task]\nnam = 'digits'", 2, "task.nam: there is no such key; did you mean name?"),
    ("[expect]\naccuracy = 1", 2, "expect.accuracy: there is no such key; did you mean mean_accuracy?"),
    (CRASH + "[[faults]]\nat = 1\nkind = 'weather'\nlos = 0.3", 7,
     "faults[1].los: there is no such key; did you mean loss?"),
    (CRASH + "zzz = 3", 4, "faults[0].zzz: there is no such key; allowed are kind, disk, at, lasts, nodes"),
    # a key of another kind
    (CRASH + "loss = 0.3", 4, "faults[0].loss: there is no such key"),
    # kinds
    ("[[faults]]\nkind = 'crush'\nat = 1", 2, "faults[0].kind: kind = 'crush'; did you mean crash?"),
    ("[[faults]]\nat = 1", 1, "faults[0]: it has no kind; allowed are partition, hold, weather, crash"),
    ("[[faults]]\nat = 1\nkind = 3", 3, "faults[0].kind: kind = 3"),
    ("[[faults]]\nkind = ['crash']\nat = 1", 2, "faults[0].kind: kind = ['crash']"),
    ("\n[faults]\nkind = 'crash'\nat = 1", 2, "faults: write [[faults]] for each fault"),
    ("faults = 3", 1, "faults: write [[faults]] for each fault"),
    ("faults = [3]", 1, "faults[0]: it has no kind"),
    # values
    ("nodes = 0", 1, "nodes: Expected `int` >= 1"),
    ("nodes = true", 1, "nodes: Expected `int`, got `bool`"),
    ("nodes = 1.5", 1, "nodes: Expected `int`, got `float`"),
    ("nodes = '3'", 1, "nodes: Expected `int`, got `str`"),
    ("nodes = 99999999999999999999", 1, "nodes: "),
    ("about = 3", 1, "about: Expected `str`, got `int`"),
    ("network = 3", 1, "network: Expected `object`, got `int`"),
    ("[network]\nloss = 1.1", 2, "network.loss: Expected `float` <= 1.0"),
    ("[network]\nloss = nan", 2, "network.loss: Expected"),
    ("[network]\nlatency = -1", 2, "network.latency: Expected `float` >= 0.0"),
    ("[network]\nbandwidth = 0", 2, "network.bandwidth: Expected `float` > 0.0"),
    ("[network]\nlaw = 'normal'", 2, "network.law: Invalid enum value 'normal'"),
    ("[time]\nfaulty = nan", 2, "time.faulty: Expected"),
    ("[time]\nhealed = inf", 2, "time.healed: Expected"),
    ("[time]\nsample = 0", 2, "time.sample: Expected"),
    ("[time]\nsample = 1e-300", 2, "time.sample: Expected"),
    ("[expect]\nerror = nan", 2, "expect.error: Expected"),
    ("[devices]\nspread = -1", 2, "devices.spread: Expected"),
    ("[gossip]\n\ninterval = 0", 3, "gossip.interval: interval = 0.0: allowed is 0.05 to 86400 seconds"),
    ("[gossip]\nstaleness = 'hing'", 2, "gossip.staleness: staleness = 'hing': allowed is one of"),
    ("[[faults]]\nkind = 'crash'", 1, "faults[0]: Object missing required field `at`"),
    ("[[faults]]\nkind = 'crash'\nat = -1", 3, "faults[0].at: Expected `float` >= 0.0"),
    (CRASH + "lasts = 0", 4, "faults[0].lasts: Expected `float` > 0.0"),
    (CRASH + "nodes = [0, -1]", 4, "faults[0].nodes[1]: Expected `int` >= 0"),
    (CRASH + "nodes = 0", 4, "faults[0].nodes: Expected `int` >= 1"),
    ("[[faults]]\nkind = 'skew'\nat = 1\nrate = 100", 4, "faults[0].rate: Expected `float` <= 10.0"),
    ("[[faults]]\nkind = 'partition'\nat = 1\nshape = 'star'", 4, "faults[0].shape: Invalid enum value 'star'"),
    ("[[faults]]\nkind = 'partition'\nat = 1\ngroups = 1", 4, "faults[0].groups: Expected `int` >= 2"),
    ("[[faults]]\nkind = 'lie'\nat = 1\nhow = []", 4, "faults[0].how: Expected `array` of length >= 1"),
    ("[[faults]]\nkind = 'lie'\nat = 1\nhow = ['nan', 'nans']", 4, "faults[0].how[1]: Invalid enum value 'nans'"),
    ("[[faults]]\nkind = 'chaos'\nat = 1\nrate = 0", 4, "faults[0].rate: Expected `float` > 0.0"),
    # the plan
    ("[[faults]]\nkind = 'crash'\nat = 60", 3,
     "faults[0].at: 60 is after the faulty phase, which ends at time.faulty = 60"),
    (CRASH + "lasts = 60", 4, "faults[0].lasts: it would end after the faulty phase, at 61; that ends at 60"),
    (CRASH + "nodes = 17", 4, "faults[0].nodes: 17 nodes; there are 16"),
    (CRASH + "nodes = [3, 16]", 4, "faults[0].nodes: there is no node 16; there are 0 to 15"),
    ("[[faults]]\nkind = 'partition'\nat = 1\nfirst = [3, 16]", 4,
     "faults[0].first: there is no node 16; there are 0 to 15"),
    ("[devices]\nslow = 17", 2, "devices.slow: 17 nodes; there are 16"),
    (2 * "[[faults]]\nkind = 'weather'\nat = 1\nlasts = 5\n", 5,
     "faults[1]: it overlaps with faults[0], a weather from 1 to 6, and there is one network"),
    (CRASH + "nodes = [1, 2]\nlasts = 9\n[[faults]]\nkind = 'pause'\nat = 9\nnodes = [2]", 6,
     "faults[1]: it overlaps with faults[0], a crash from 1 to 10, for node 2"),
    (CRASH + "nodes = 9\n[[faults]]\nkind = 'pause'\nat = 9\nnodes = 8", 5,
     "faults[1]: it overlaps with others so that 17 victims are needed; there are 16"),
    ("[[faults]]\nkind = 'join'\nat = 1\nnodes = [5, 5]", None, "node 5 joins twice"),
    # places
    ("network = { loss = 2 }", 1, "network.loss: Expected `float` <= 1.0"),
    ("network.loss = 2", 1, "network.loss: Expected `float` <= 1.0"),
    ("# nodes = 1\n\n  'nodes' = 0 # nodes = 2", 3, "nodes: Expected `int` >= 1"),
    (" [ network ] # [network]\n # loss = 1\n  loss = 2", 3, "network.loss: Expected `float` <= 1.0"),
    ("faults = [{ kind = 'crash', at = 1, nodes = 99 }]", 1, "faults[0].nodes: 99 nodes; there are 16"),
    (CRASH + "# [[faults]]\n" + CRASH + "nodes = 99", 8, "faults[1].nodes: 99 nodes; there are 16"),
    ('about = """\nnodes = 3\n"""\nnodes = 0', 4, "nodes: Expected `int` >= 1"),
    # not TOML
    ("nodes 3", None, "Expected '=' after a key"),
    ("nodes = 1\nnodes = 2", None, "Cannot overwrite a value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "told"), BAD, ids=[re.sub(r"\s+", " ", text)[-40:] for text, _, _ in BAD])
def test_what_is_wrong_is_told_with_its_place(text: str, line: int | None, told: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(LocalError) as error:
        load(str(file))
    assert str(error.value).startswith(f"{file}:" if line is None else f"{file}:{line}: {told}"), error.value
    assert told in str(error.value)


def test_what_follows_each_other_does_not_overlap(tmp_path: Path) -> None:
    file = tmp_path / "good.toml"
    for kind in ("weather", "partition", "hold", "crash"):
        who = "nodes = [1]\n" if kind == "crash" else ""
        file.write_text("".join(f'[[faults]]\nkind = "{kind}"\nat = {at}\nlasts = 10\n{who}' for at in (10, 20, 0)))
        assert len(load(str(file)).faults) == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("chaoss", "scenario 'chaoss': there is none of that name; did you mean chaos?"),
        ("xyzzy", "there are byzantine-lite, calm"),
        ("no/such.toml", "scenario 'no/such.toml': there is none of that name"),
        ("", "there is none of that name"),
        ("../scenarios/calmm", "there is none of that name"),
    ],
)
def test_a_scenario_that_there_is_not(name: str, told: str) -> None:
    with pytest.raises(LocalError, match=re.escape(told)):
        load(name)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    for content in (b"\xff\xfe", b"nodes = 3\x00"):
        file.write_bytes(content)
        with pytest.raises(LocalError, match=re.escape(str(file))):
            load(str(file))
    with pytest.raises(LocalError, match="none of that name"):
        load(f"{tmp_path}.toml")


@given(st.text(max_size=200))
def test_whatever_a_file_says_is_loaded_or_told_about(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "any.toml")
        file.write_text(text, encoding="utf-8", errors="replace")
        try:
            load(str(file))
        except LocalError as error:
            assert str(file) in str(error)  # noqa: PT017 - what it says if it comes


VALUES = st.recursive(
    st.integers(-3, 70) | st.floats(allow_nan=True) | st.booleans() | st.sampled_from(["crash", "ring", "digits", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FAULTS, "kind", "at"]), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(list(Scenario.__struct_fields__)), VALUES, max_size=4))
def test_whatever_is_in_the_tables_is_loaded_or_told_about(raw: dict[str, Any]) -> None:
    from gossipfl_sims.scenario.files import _convert

    try:
        made = _convert(raw, lambda key: f"{key}: ")
    except LocalError:
        return
    assert msgspec.convert(msgspec.to_builtins(made), Scenario) == made


# --- changes from the command line


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("nodes=7", "nodes", 7),
        ("network.loss=0.25", "network.loss", 0.25),
        ("loss=0.25", "network.loss", 0.25),
        ("loss=1", "network.loss", 1.0),
        ("topology=ring", "gossip.topology", "ring"),
        ("topology='ring'", "gossip.topology", "ring"),
        ("topology=k-out:k=5", "gossip.topology", "k-out:k=5"),
        ("law=fixed", "network.law", "fixed"),
        ("faulty=1e3", "time.faulty", 1000.0),
        ("data=/some/where", "task.data", "/some/where"),
        ("data=", "task.data", ""),
        ("data='2016'", "task.data", "2016"),
        ("name=softmax", "task.name", "softmax"),
        ("mesh=a=b", "gossip.mesh", "a=b"),
        ("bandwidth=inf", "network.bandwidth", math.inf),
        ("expect.error=0.5", "expect.error", 0.5),
    ],
)
def test_a_change_changes_its_key_and_nothing_else(change: str, key: str, value: Any) -> None:
    before, after = load("calm"), load("calm", [change])
    one, other = ({full: settable_of(made)[full] for full in settable()} for made in (before, after))
    assert other == one | {key: value}
    assert before.faults == after.faults


def settable_of(scenario: Scenario) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for full in settable():
        made: Any = scenario
        for part in full.split("."):
            made = getattr(made, part)
        found[full] = made
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("loss", "--set loss: write KEY=VALUE"),
        ("=3", "there is no such key"),
        ("los=0.1", "--set los: there is no such key; did you mean loss?"),
        ("netwrok.loss=0.1", "--set netwrok.loss: there is no such key; did you mean network.loss?"),
        ("faults=3", "there is no such key"),
        ("about=x", "there is no such key"),
        ("network=3", "there is no such key"),
        ("loss=abc", "--set loss=abc: network.loss: Expected `float`, got `str`"),
        ("loss=7", "--set loss=7: network.loss: Expected `float` <= 1.0"),
        ("nodes=", "--set nodes=: nodes: Expected `int`, got `str`"),
        ("nodes=2.5", "--set nodes=2.5: nodes: Expected `int`, got `float`"),
        ("nodes=[1]", "--set nodes=[1]: nodes: Expected `int`, got `array`"),
        ("interval=0", "--set interval=0: gossip.interval: interval = 0.0: allowed is"),
        ("data=2016", "--set data=2016: task.data: Expected `str`, got `int`"),
        ("slow=17", "17 nodes; there are 16"),
    ],
)
def test_a_change_that_cannot_be_is_told(change: str, told: str) -> None:
    with pytest.raises(LocalError, match=re.escape(told)):
        load("calm", [change])


def test_changes_fit_together_whatever_their_order() -> None:
    for changes in (["slow=30", "nodes=40"], ["nodes=40", "slow=30"]):
        made = load("calm", changes)
        assert (made.nodes, made.devices.slow) == (40, 30)


def test_the_last_of_two_changes_counts() -> None:
    assert load("calm", ["loss=0.1", "network.loss=0.2"]).network.loss == 0.2


def test_a_change_that_does_not_fit_the_faults_names_them() -> None:
    with pytest.raises(LocalError, match=r"churn\.toml:\d+: faults\[0\]\.nodes: 24 nodes; there are 10"):
        load("churn", ["nodes=10"])


def test_a_change_does_not_mend_a_file_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("network = 3\n")
    with pytest.raises(LocalError, match=r"bad\.toml:1: network: Expected `object`"):
        load(str(file), ["network.loss=0.1"])


def test_all_keys_can_be_set_but_texts_and_faults() -> None:
    expected = {"nodes", "bootstraps"}
    for table in ("task", "gossip", "network", "devices", "time", "expect"):
        expected |= {f"{table}.{key}" for key in type(getattr(Scenario(), table)).__struct_fields__}
    assert set(settable()) == expected
    assert set(Scenario.__struct_fields__) == {key.partition(".")[0] for key in expected} | {"about", "faults"}
    assert dict(settable()) == settable_of(Scenario())


@pytest.mark.parametrize("key", sorted(settable()))
def test_short_keys_are_for_one_table_only(key: str) -> None:
    short = key.rpartition(".")[2]
    having = [full for full in settable() if full.rpartition(".")[2] == short]
    assert full_key(key) == key
    if len(having) == 1:
        assert full_key(short) == key
    elif short not in settable():
        with pytest.raises(LocalError, match=re.escape(f"which of {', '.join(having)}?")):
            full_key(short)


def test_no_short_key_is_claimed_by_two_tables_or_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = dict.fromkeys(["a.x", "b.x", "x.y"])
    monkeypatch.setattr("gossipfl_sims.scenario.files.settable", lambda: keys)
    assert full_key("y") == "x.y"
    with pytest.raises(LocalError, match=re.escape("--set x: which of a.x, b.x?")):
        full_key("x")


@given(st.integers() | st.floats(allow_nan=False) | st.booleans())
def test_values_are_those_of_toml(value: float) -> None:
    assert parse(str(value).lower()) == value


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20))
def test_what_is_no_toml_is_text(value: str) -> None:
    made = parse(value)
    assert not isinstance(made, str) or made == value or value.strip()[0] in "\"'"
