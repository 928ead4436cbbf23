"""The configuration: where a value comes from, and what a wrong one is answered with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gossipfl.errors import LocalError
from gossipfl.protocol.settings import Settings
from gossipfl_nodes.daemon.config import KEYS, PROFILES, Config, anchored, load, template


def refusal(
    file: Path, text: str = "", environment: dict[str, str] | None = None, flags: dict[str, str] | None = None
) -> str:
    """What is said about a configuration that can't be."""
    file.write_text(text)
    with pytest.raises(LocalError) as caught:
        load(file, environment or {}, flags or {})
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_without_any_source_everything_has_its_default(file: Path) -> None:
    loaded = load(file, {"PATH": "/bin", "GOSSIPFL_HOME": "/nowhere"}, {})
    assert loaded.config == Config()
    assert set(loaded.origins) == set(KEYS)
    assert set(loaded.origins.values()) == {"default"}


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(file: Path) -> None:
    text = '[gossip]\ninterval = 2.0\ntopology = "ring"\nsteps = 5\n'
    environment = {"GOSSIPFL_GOSSIP_INTERVAL": "3", "GOSSIPFL_GOSSIP_TOPOLOGY": "complete"}
    file.write_text(text)
    loaded = load(file, environment, {"gossip.interval": "4.5"})
    gossip = loaded.config.gossip
    assert (gossip.interval, gossip.topology, gossip.steps, gossip.staleness) == (4.5, "complete", 5, "hinge")
    origins = [loaded.origins[f"gossip.{key}"] for key in ("interval", "topology", "steps", "staleness")]
    assert origins == ["--gossip.interval", "GOSSIPFL_GOSSIP_TOPOLOGY", str(file), "default"]


def test_a_value_that_equals_the_default_still_has_its_origin(file: Path) -> None:
    file.write_text(f"[gossip]\nsteps = {Settings().steps}\n")
    assert load(file, {}, {}).origins["gossip.steps"] == str(file)


def test_lists_are_separated_by_commas_outside_the_file(file: Path) -> None:
    both = ("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1")
    for given in (",".join(both), " , ".join(both) + ","):
        assert load(file, {"GOSSIPFL_NETWORK_LISTEN": given}, {}).config.network.listen == both
    assert load(file, {}, {"network.bootstrap": ""}).config.network.bootstrap == ()


def test_every_key_has_a_description_a_variable_of_its_own_and_a_default_that_is_allowed(file: Path) -> None:
    assert len({key.variable for key in KEYS.values()}) == len(KEYS) > 10
    for path, key in KEYS.items():
        assert re.fullmatch(r".{20,}[.]", key.description), path
        assert key.variable == "GOSSIPFL_" + path.replace(".", "_").upper()
        default = ",".join(key.default) if isinstance(key.default, tuple | dict) else str(key.default)
        loaded = load(file, {key.variable: default}, {})
        assert key.of(loaded.config) == key.default
        assert loaded.origins[path] == key.variable


# --- profiles


def test_a_profile_gives_way_to_file_environment_and_flags(file: Path) -> None:
    shipped = load(file, {}, {"profile": "sensor"})
    assert shipped.config.gossip.interval != Settings().interval
    assert shipped.config.gossip.mesh == Settings().mesh
    assert shipped.origins["gossip.interval"] == shipped.origins["disk.every"] == "profile sensor"
    assert shipped.origins["gossip.mesh"] == "default"
    assert shipped.origins["profile"] == "--profile"
    file.write_text('profile = "sensor"\n[gossip]\ninterval = 2.0\n[disk]\nevery = 1\n[log]\nlevel = "error"\n')
    loaded = load(file, {"GOSSIPFL_DISK_EVERY": "2", "GOSSIPFL_LOG_LEVEL": "debug"}, {"log.level": "info"})
    assert (loaded.config.gossip.interval, loaded.config.disk.every, loaded.config.log.level) == (2.0, 2.0, "info")
    origins = [loaded.origins[path] for path in ("gossip.interval", "disk.every", "log.level", "gossip.topology")]
    assert origins == [str(file), "GOSSIPFL_DISK_EVERY", "--log.level", "profile sensor"]


def test_the_profile_itself_is_that_of_the_strongest_source(file: Path) -> None:
    file.write_text('profile = "sensor"\n')
    for environment, flags, profile in (
        ({}, {}, "sensor"),
        ({"GOSSIPFL_PROFILE": "laptop"}, {}, "laptop"),
        ({"GOSSIPFL_PROFILE": "laptop"}, {"profile": "gateway"}, "gateway"),
    ):
        loaded = load(file, environment, flags)
        assert loaded.config.profile == profile
        assert {origin for origin in loaded.origins.values() if origin.startswith("profile")} == {f"profile {profile}"}
    none = load(file, {}, {"profile": ""})
    assert none.config == Config()


def test_the_profiles_are_those_for_which_there_is_a_name() -> None:
    assert set(PROFILES) == {"sensor", "gateway", "edge-gpu", "laptop"}


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_shipped_profile_is_allowed_explains_each_value_and_changes_each_default(name: str, file: Path) -> None:
    loaded = load(file, {"GOSSIPFL_PROFILE": name}, {})
    changed = {path for path, origin in loaded.origins.items() if origin == f"profile {name}"}
    assert changed
    assert all(KEYS[path].of(loaded.config) != KEYS[path].default for path in changed)
    text = PROFILES[name].read_text()
    assert text.startswith(f"# {name}: ")
    for path in changed:
        # What it means, which way to turn it, what that costs: comments right above it, of some length.
        above = re.search(rf"((?:^#.*\n)+){KEYS[path].name} = ", text, re.MULTILINE)
        assert above is not None, path
        assert len(above[1]) > 100, path


# --- refusals


@pytest.mark.parametrize(
    ("text", "wrong", "nearest"),
    [
        ("[gossip]\nintervall = 1.0\n", "gossip.intervall", "gossip.interval"),
        ("[gosip]\ninterval = 1.0\n", "gosip.interval", "gossip.interval"),
        ("[network]\nlistn = []\n", "network.listn", "network.listen"),
        ("[log]\nlvl = 'info'\n", "log.lvl", "log.level"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_that_there_is(
    file: Path, text: str, wrong: str, nearest: str
) -> None:
    said = refusal(file, text)
    assert said == f"{file}: {wrong}: no such key; did you mean {nearest}?"


def test_a_key_unlike_any_other_is_refused_with_all_that_there_are(file: Path) -> None:
    said = refusal(file, "[qqqq]\nzzzz = 1\n")
    assert all(path in said for path in KEYS)


def test_an_unknown_section_is_refused_even_when_it_is_empty(file: Path) -> None:
    assert "gosip" in refusal(file, "[gosip]\n")


def test_a_key_outside_of_any_section_is_refused(file: Path) -> None:
    said = refusal(file, "interval = 1.0\n")
    assert str(file) in said
    assert "interval" in said
    assert "[gossip]" in said


def test_an_unknown_variable_is_refused_with_the_nearest_that_there_is(file: Path) -> None:
    said = refusal(file, environment={"GOSSIPFL_GOSSIP_INTERVALL": "1"})
    assert "GOSSIPFL_GOSSIP_INTERVALL" in said
    assert said.endswith("did you mean GOSSIPFL_GOSSIP_INTERVAL?")


@pytest.mark.parametrize(("wrong", "hint"), [("senser", "; did you mean sensor?"), ("qqqq", "")])
def test_an_unknown_profile_is_refused_with_all_that_there_are_and_the_nearest(
    file: Path, wrong: str, hint: str
) -> None:
    allowed = f"profile = {wrong!r}: allowed is nothing, or one of edge-gpu, gateway, laptop, sensor{hint}"
    assert refusal(file, f"profile = '{wrong}'\n") == f"{file}: {allowed}"
    assert refusal(file, environment={"GOSSIPFL_PROFILE": wrong}) == f"GOSSIPFL_PROFILE: {allowed}"
    assert refusal(file, flags={"profile": wrong}) == f"--profile: {allowed}"


def test_a_profile_that_is_a_section_is_refused_by_what_is_allowed(file: Path) -> None:
    assert refusal(file, "[profile]\nname = 'sensor'\n").startswith(f"{file}: profile = {{'name': 'sensor'}}: ")


def test_a_mistyped_profile_key_is_refused_with_the_nearest(file: Path) -> None:
    assert refusal(file, "profil = 'sensor'\n").endswith("did you mean profile?")


@pytest.mark.parametrize(
    ("path", "toml", "allowed"),
    [
        ("gossip.interval", "'soon'", "float"),
        ("gossip.interval", "0.01", "0.05 to 86400"),
        ("gossip.interval", "nan", "0.05 to 86400"),
        ("gossip.interval", "inf", "0.05 to 86400"),
        ("gossip.interval", "-1", "0.05 to 86400"),
        ("gossip.steps", "100001", "1 to 100000"),
        ("gossip.steps", "2.5", "int"),
        ("gossip.steps", "true", "int"),
        ("gossip.topology", "'k-out:k=33'", "1 to 32"),
        ("gossip.role", "'boss'", "sensor, gateway, district"),
        ("gossip.steps", "0", "1 to 100000"),
        ("gossip.mesh", "''", "1 to 64"),
        ("gossip.mesh", "7", "str"),
        ("gossip.topology", "'rnig'", "did you mean ring?"),
        ("gossip.staleness", "'never'", "hinge"),
        ("gossip.codec", "'int9'", "int8"),
        ("gossip.budget", "'much'", "MB/day"),
        ("gossip.momentum", "'nesterov'", "quasi-global"),
        ("gossip.rate_correction", "'perhaps'", "bool"),
        ("task.options", "7", "object"),
        ("task.index", "-1", ">= 0"),
        ("task.count", "0", ">= 1"),
        ("task.count", "'many'", "int"),
        ("network.listen", "'/ip4/127.0.0.1/tcp/1'", "array"),
        ("network.listen", "[1]", "str"),
        ("log.level", "'loud'", "debug"),
    ],
)
def test_an_impossible_value_is_refused_by_source_key_value_and_what_is_allowed(
    file: Path, path: str, toml: str, allowed: str
) -> None:
    section, _, name = path.partition(".")
    said = refusal(file, f"[{section}]\n{name} = {toml}\n")
    assert said.startswith(f"{file}: {path} = ")
    assert toml.strip("'") in said or toml == "true"
    assert allowed in said


def test_the_refusal_of_a_choice_names_every_choice(file: Path) -> None:
    said = refusal(file, "[log]\nlevel = 'loud'\n")
    assert all(level in said for level in ("debug", "info", "warning", "error"))


@pytest.mark.parametrize("value", ["soon", "0", "1e9", ""])
def test_the_same_value_is_refused_from_the_environment_and_the_command_line(file: Path, value: str) -> None:
    said = refusal(file, environment={"GOSSIPFL_GOSSIP_INTERVAL": value})
    assert said.startswith(f"GOSSIPFL_GOSSIP_INTERVAL: gossip.interval = {value!r}: ")
    said = refusal(file, flags={"gossip.interval": value})
    assert said.startswith(f"--gossip.interval: gossip.interval = {value!r}: ")


@pytest.mark.parametrize(
    "text",
    ["[gossip\ninterval = 1", "[gossip]\n\ninterval = = 1\n", "[log]\nlevel = 'info'\nlevel = 'info'\n\n[gossip]\n"],
)
def test_broken_toml_is_refused_by_file_and_line(file: Path, text: str) -> None:
    said = refusal(file, text)
    assert said.startswith(f"{file}: not TOML: ")
    assert re.search(r"at line \d+, column \d+", said)


def test_a_file_that_is_not_text_is_refused_by_name(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(LocalError, match=re.escape(str(file))):
        load(file, {}, {})


def test_a_folder_in_the_file_s_place_is_refused_by_name(file: Path) -> None:
    file.mkdir()
    with pytest.raises(LocalError, match=re.escape(str(file))):
        load(file, {}, {})


# --- the file that init writes


GIVEN = {
    "profile": "gateway",
    "control.listen": "[::1]:9445",
    "control.readable": "true",
    "network.listen": "/ip4/127.0.0.1/tcp/7,/ip6/::1/tcp/7",
    "network.announce": "/ip4/203.0.113.7/tcp/7,/dns4/me.example/tcp/7",
    "network.bootstrap": "/ip4/192.0.2.7/tcp/9444/p2p/12D3KooWEwasxsUcPzd93Ydiwgxm7V3Th8RUVJ52twC38MKm1YmZ",
    "network.mdns": "false",
    "network.open": "true",
    "task.name": '/srv/my tasks/odd "name".py:factory',
    "task.data": "/srv/C:\\data\\ü – x",
    "task.options": "train_hours=12,sensor='773869',note=mostly harmless",
    "task.index": "3",
    "task.count": "8",
    "task.seed": "7",
    "task.trains": "false",
    "gossip.mesh": "größe",
    "gossip.interval": "0.25",
    "gossip.topology": "ring",
    "gossip.role": "gateway",
    "gossip.steps": "11",
    "gossip.codec": "int8+top-k:0.25",
    "gossip.budget": "50 MB/day",
    "gossip.staleness": "poly",
    "gossip.momentum": "none",
    "gossip.rate_correction": "true",
    "disk.every": "60",
    "log.level": "debug",
}


def test_the_written_file_gives_back_every_value_that_it_was_made_from(file: Path) -> None:
    assert set(GIVEN) == set(KEYS), "this test covers every key"
    file.write_text(template(GIVEN), encoding="utf-8")
    flags = {path: anchored(path, value, file.parent) for path, value in GIVEN.items()}
    from_file, from_flags = load(file, {}, {}), load(Path("/nonexistent"), {}, flags)
    assert from_file.config == from_flags.config
    assert set(from_file.origins.values()) == {str(file)}


def test_the_written_file_explains_every_key_and_sets_only_what_was_given(file: Path) -> None:
    text = template({"gossip.interval": "2"})
    file.write_text(text, encoding="utf-8")
    loaded = load(file, {}, {})
    assert [path for path, origin in loaded.origins.items() if origin != "default"] == ["gossip.interval"]
    assert all(key.description in text for key in KEYS.values())


def test_the_defaults_that_the_written_file_shows_are_the_defaults(file: Path) -> None:
    shown = re.sub(r"(?m)^# (\w+ = )", r"\1", template({}))
    file.write_text(shown, encoding="utf-8")
    loaded = load(file, {}, {})
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {str(file)}


@pytest.mark.parametrize(
    "mesh", ['"', "\\", "'''", "a\nb", "\t", "\x7f", "\x00", "\u2028", "💡", "# no comment", "[x]"]
)
def test_any_name_survives_the_way_through_the_file(file: Path, mesh: str) -> None:
    file.write_bytes(template({"gossip.mesh": mesh}).encode())
    assert load(file, {}, {}).config.gossip.mesh == mesh


def test_a_template_of_an_impossible_value_is_refused_as_the_flag_would_be() -> None:
    with pytest.raises(LocalError, match=r"--gossip\.steps: gossip\.steps = '0': allowed is 1 to 100000"):
        template({"gossip.steps": "0"})


# --- options of a task


def test_options_are_a_table_in_a_file_and_pairs_on_a_command_line(file: Path) -> None:
    file.write_text("[task]\noptions = {train_hours = 12, model = 'gru'}\n")
    expected = {"train_hours": 12, "model": "gru"}
    assert load(file, {}, {}).config.task.options == expected
    flags = {"task.options": "train_hours=12, model=gru"}
    variables = {"GOSSIPFL_TASK_OPTIONS": "train_hours=12,model='gru'"}
    assert load(Path("/nonexistent"), {}, flags).config.task.options == expected
    assert load(Path("/nonexistent"), variables, {}).config.task.options == expected


@pytest.mark.parametrize("text", ["train_hours", "=12", "a b=3", "train_hours=12,,x"])
def test_what_is_no_pair_is_refused(file: Path, text: str) -> None:
    assert "allowed is NAME=VALUE" in refusal(file, flags={"task.options": text})


def test_paths_in_the_file_are_meant_from_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[task]\nname = "own.py:factory"\ndata = "readings.csv"\n[gossip]\ntopology = "neighbours.json"\n')
    config = load(file, {}, {}).config
    assert config.task.name == f"{tmp_path}/own.py:factory"
    assert config.task.data == f"{tmp_path}/readings.csv"
    assert config.gossip.topology == f"{tmp_path}/neighbours.json"
    file.write_text('[task]\nname = "digits"\ndata = "/srv/data.npz"\n[gossip]\ntopology = "k-out:k=2"\n')
    config = load(file, {}, {}).config
    assert (config.task.name, config.task.data, config.gossip.topology) == ("digits", "/srv/data.npz", "k-out:k=2")
