"""The configuration of a daemon: profile < HOME/config.toml < environment < command line.

Owns every key, its default and its meaning; the command line's flags, the environment's names and the file that
`gossipfl init` writes are made from here. A profile, `profiles/NAME.toml`, is a file of the same keys with what suits a
kind of device; any of the others names it, and its values give way to theirs. A wrong key or value is refused with
where it stands and what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gossipfl.errors import LocalError
from gossipfl.protocol import saved
from gossipfl.protocol.settings import Settings
from gossipfl.tasks.load import parse
from gossipfl_topology.parameters import is_path


class ConfigError(LocalError):
    """The configuration is wrong: where, and what is allowed."""

    exit_status = 78


class NetworkConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Where this device listens, and by whom it finds the mesh."""

    listen: Annotated[
        tuple[str, ...], Meta(description="Multiaddrs to listen on; 0.0.0.0 is every interface, port 0 any free port.")
    ] = ("/ip4/0.0.0.0/tcp/9444",)
    announce: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses that others reach this device by beside its own, as /ip4/…/tcp/… or /dns4/…/tcp/… of"
            " a port forward."
        ),
    ] = ()
    bootstrap: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses of mesh members, /ip4/…/tcp/… or /dns4/…/tcp/…, better with /p2p/ID behind them; one"
            " is enough to find the rest."
        ),
    ] = ()
    mdns: Annotated[
        bool,
        Meta(
            description="Whether devices of one mesh on one LAN find each other by themselves. The mesh's name is not"
            " told, but in an open mesh whoever guesses it can check the guess."
        ),
    ] = True
    open: Annotated[
        bool,
        Meta(
            description="Whether anybody may join who can reach this device and knows the mesh's name and the model's"
            " layout, see what others publish and change what they learn. All devices of a mesh must agree on it."
        ),
    ] = False


class TaskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What this device learns."""

    name: Annotated[str, Meta(description="digits, npz, sensors, or your own as file.py:factory.")] = "digits"
    data: Annotated[str, Meta(description="Path that the task reads its data from, if it needs one.")] = ""
    options: Annotated[
        dict[str, Any],
        Meta(description="Options of the task, as {train_hours = 12}; on a command line, as train_hours=12,model=gru."),
    ] = {}
    index: Annotated[int, Meta(ge=0, description="This node's number, where a data set is dealt out to nodes.")] = 0
    count: Annotated[int, Meta(ge=1, description="How many nodes a data set is dealt out to; 1 keeps all of it.")] = 1
    seed: Annotated[int, Meta(ge=0, description="Seed of the initial model; the same on all nodes.")] = 0
    trains: Annotated[
        bool,
        Meta(
            description="Whether this device trains. One that does not merges what others learn, passes it on and"
            " predicts, and its task need not load training data."
        ),
    ] = True


LEVELS = ("debug", "info", "warning", "error")


class LogConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said on stderr."""

    level: Annotated[str, Meta(description="The least level that is shown: debug, info, warning, or error.")] = "info"

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise LocalError(f"level = {self.level!r}: allowed is one of {', '.join(LEVELS)}")


class DiskConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What this device remembers across a crash."""

    every: Annotated[
        float,
        Meta(
            ge=0.1,
            le=86_400,
            description="Seconds between two saves of the model, of 12 bytes per parameter: what a crash loses, against"
            " what wears out an SD card. A large model is saved less often: writing takes 2 % of the time at most.",
        ),
    ] = saved.EVERY


def loopback(text: str) -> tuple[str, int]:
    """Host and port in `text`, as 127.0.0.1:9445 or [::1]:9445.

    Raises:
        ValueError: it is not such a text, or not of this device alone.
    """
    host, _, port = text.rpartition(":")
    address = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    if not address.is_loopback or (address.version == 6) != host.startswith("["):
        raise ValueError("not a loopback address")
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise ValueError("not a port")
    return str(address), int(port)


class ControlConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How this device's daemon can be watched and told what to do, beside its unix socket."""

    listen: Annotated[
        str,
        Meta(
            description="Where the control API answers over TCP as well: a loopback address, as 127.0.0.1:9445, for who"
            " brings the token in HOME/control.token; nothing: the unix socket only."
        ),
    ] = ""
    readable: Annotated[
        bool,
        Meta(
            description="Whether over TCP any user of this device may read without the token: status, peers, curves,"
            " metrics and events. Logs, predictions and orders need it in any case."
        ),
    ] = False

    def __post_init__(self) -> None:
        if self.listen:
            try:
                loopback(self.listen)
            except ValueError:
                allowed = "allowed is nothing, or a loopback address with a port, as 127.0.0.1:9445 or [::1]:9445"
                raise LocalError(f"listen = {self.listen!r}: {allowed}") from None


PROFILES = {file.stem: file for file in sorted((Path(__file__).parents[1] / "profiles").glob("*.toml"))}
"""What suits a kind of device, by name."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """All of it."""

    profile: Annotated[
        str,
        Meta(
            description=f"What kind of device this is: {', '.join(PROFILES)}, or nothing. It changes defaults to what"
            " suits such a device; gossipfl config show --origin says which."
        ),
    ] = ""
    network: NetworkConfig = NetworkConfig()
    task: TaskConfig = TaskConfig()
    gossip: Settings = Settings()
    disk: DiskConfig = DiskConfig()
    control: ControlConfig = ControlConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self) -> None:
        if self.profile and self.profile not in PROFILES:
            allowed = f"allowed is nothing, or one of {', '.join(PROFILES)}"
            near = get_close_matches(self.profile, PROFILES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise LocalError(f"profile = {self.profile!r}: {allowed}{hint}")


class Key(Struct, frozen=True):
    """One key of the configuration."""

    section: str
    name: str
    type: Any
    default: Any
    description: str

    @property
    def path(self) -> str:
        """As in `gossip.interval`; `profile` stands in no section."""
        return f"{self.section}.{self.name}" if self.section else self.name

    @property
    def variable(self) -> str:
        """As in GOSSIPFL_GOSSIP_INTERVAL."""
        return f"GOSSIPFL_{self.path.replace('.', '_')}".upper()

    def of(self, config: Config) -> Any:
        """Its value in `config`."""
        return getattr(getattr(config, self.section) if self.section else config, self.name)


SECTIONS: dict[str, type[Struct]] = {"": Config} | {
    field.name: field.type for field in msgspec.structs.fields(Config) if isinstance(field.default, Struct)
}
"""By name; what stands in no section comes first, as in a file."""


def _keys() -> Iterator[Key]:
    for section, struct in SECTIONS.items():
        for field in msgspec.structs.fields(struct):
            if field.name not in SECTIONS or section:
                description = next((meta.description or "" for meta in getattr(field.type, "__metadata__", ())), "")
                default = {} if field.default is msgspec.NODEFAULT else field.default
                yield Key(section, field.name, field.type, default, description)


KEYS = {key.path: key for key in _keys()}


class Loaded(Struct, frozen=True):
    """A configuration, and for each key where its value comes from."""

    config: Config
    origins: dict[str, str]


def load(file: Path, environment: Mapping[str, str], flags: Mapping[str, str]) -> Loaded:
    """The configuration from all its sources.

    Args:
        file: HOME/config.toml; need not exist.
        environment: as os.environ; GOSSIPFL_HOME is not a key.
        flags: values from the command line, by key path.

    Raises:
        LocalError: an unknown key or an impossible value; the message names source, key, value, and what is allowed.
    """
    given = [(path, anchored(path, value, file.parent), str(file), False) for path, value in _read(file)]
    variables = {key.variable: path for path, key in KEYS.items()}
    for variable, value in sorted(environment.items()):
        if variable.startswith("GOSSIPFL_") and variable != "GOSSIPFL_HOME":
            if variable not in variables:
                raise ConfigError(f"environment: {variable}: no such variable{_nearest(variable, variables)}")
            given.append((variables[variable], value, variable, True))
    given += [(path, value, f"--{path}", True) for path, value in flags.items()]

    values: dict[str, Any] = {path: key.default for path, key in KEYS.items()}
    origins = dict.fromkeys(KEYS, "default")

    def take(path: str, value: Any, source: str, text: bool) -> None:  # noqa: FBT001
        values[path] = _checked(path, value, source, text=text)
        origins[path] = source

    for layer in given:
        if layer[0] == "profile":
            take(*layer)
    if profile := values["profile"]:
        for path, value in _read(PROFILES[profile]):
            take(path, value, f"profile {profile}", text=False)
    for layer in given:
        take(*layer)

    sections: dict[str, Any] = {}
    for path, key in KEYS.items():
        (sections.setdefault(key.section, {}) if key.section else sections)[key.name] = values[path]
    config = msgspec.convert(sections, Config)
    if config.task.index >= config.task.count:
        allowed = f"allowed is 0 to task.count - 1 = {config.task.count - 1}"
        raise ConfigError(f"{origins['task.index']}: task.index = {config.task.index}: {allowed}")
    return Loaded(config, origins)


def anchored(path: str, value: Any, folder: Path) -> Any:
    """The `value` of the key `path`; one that is a file of the user's, by its full path: it is meant from `folder`."""
    if not isinstance(value, str) or not value:
        return value
    if path == "task.data" or (path == "gossip.topology" and is_path(value)):
        return str(folder.absolute() / value)
    if path == "task.name" and ":" in value:
        file, _, factory = value.rpartition(":")
        return f"{folder.absolute() / file}:{factory}"
    return value


def template(given: Mapping[str, str]) -> str:
    """The text of a config.toml that explains every key; the keys in `given` are set, the others show their default.

    Raises:
        LocalError: as `load`.
    """
    lines = ["# gossipfl configuration. A key that starts with # has its default.", ""]
    section = ""
    for path, key in KEYS.items():
        if key.section != section:
            section = key.section
            lines += [f"[{section}]"]
        value = _checked(path, given[path], f"--{path}", text=True) if path in given else key.default
        lines += [f"# {key.description}", f"{'' if path in given else '# '}{key.name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def _read(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        document = tomllib.loads(file.read_text())
    except FileNotFoundError:
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{file}: can't be read: {error.strerror}") from error
    for section, table in document.items():
        if table == {} and section not in SECTIONS:
            raise ConfigError(f"{file}: {section}: no such section{_nearest(section, SECTIONS)}")
        if section in KEYS:
            yield section, table
            continue
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {section}: keys stand in a section, as [gossip]{_nearest(section, KEYS)}")
        for name, value in table.items():
            path = f"{section}.{name}"
            if path not in KEYS:
                raise ConfigError(f"{file}: {path}: no such key{_nearest(path, KEYS)}")
            yield path, value


def _checked(path: str, value: Any, source: str, *, text: bool) -> Any:
    key = KEYS[path]
    is_list = isinstance(key.default, tuple)
    if text and is_list:
        value = [part.strip() for part in value.split(",") if part.strip()]
    if text and isinstance(key.default, dict):
        value = _pairs(path, value, source)
    try:
        converted = msgspec.convert(value, key.type, strict=not text)
        SECTIONS[key.section](**{key.name: converted})
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {path} = {value!r}: {error}") from None
    except LocalError as error:
        allowed = str(error).partition(": ")[2]
        raise ConfigError(f"{source}: {path} = {value!r}: {allowed}") from None
    return converted


def _pairs(path: str, text: str, source: str) -> dict[str, Any]:
    """What NAME=VALUE,… in `text` says."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if wrong := [name for name, equals, _ in pairs if not (equals and name.strip().isidentifier())]:
        raise ConfigError(f"{source}: {path} = {text!r}: {wrong[0]!r}: allowed is NAME=VALUE, with commas between")
    return {name.strip(): parse(value.strip()) for name, _, value in pairs}


def _nearest(wrong: str, right: Mapping[str, Any]) -> str:
    near = get_close_matches(wrong, right, 1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(right)}"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(part) for part in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_toml(name)} = {_toml(part)}' for name, part in value.items())}}}"
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")  # the one that JSON allows and TOML doesn't
