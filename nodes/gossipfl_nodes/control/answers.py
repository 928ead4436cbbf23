"""What the control API answers and is told: the types, with their units, that its documentation is made from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Raw, Struct

from gossipfl.membership.reputation import HALF_LIFE, MAX_STRIKES
from gossipfl_nodes.serving.batches import MAX_VALUES

DAY, MONTH = 86_400.0, 31 * 86_400.0
Seconds = Annotated[float, Meta(description="Seconds.")]
Moment = Annotated[float, Meta(description="Seconds since 1970, by this device's clock.")]


class Budget(Struct, frozen=True):
    """Bytes of frames in any `period` seconds, how many were spent in all, and how many may go out now."""

    limit: float
    period: float
    spent: float
    left: float


class Status(Struct, frozen=True):
    """What a daemon is doing, and has done since it was started."""

    id: str
    pid: int
    addresses: list[str]
    control: Annotated[str, Meta(description="Where the control API and the page are over TCP; empty if nowhere.")]
    mesh: str
    open: Annotated[bool, Meta(description="Whether anybody may join who can reach it.")]
    task: str
    topology: str
    state: Literal["joining", "learning"]
    paused: Annotated[bool, Meta(description="Whether local training rests.")]
    incarnation: int
    seq: Annotated[int, Meta(description="Of the last version that was published in this incarnation.")]
    age: Annotated[float, Meta(description="Local steps that the model contains, averaged by merging.")]
    steps: int
    loss: Annotated[float | None, Meta(description="Mean of the last training phase.")]
    metrics: Annotated[dict[str, float | None], Meta(description="Of the served model, on held-out data.")]
    uptime: Seconds
    joined_after: Annotated[float | None, Meta(description="Seconds from the start to the first training.")]
    rebases: int
    publishes: int
    merges: int
    longest_gap: Annotated[float, Meta(description="Longest time without a merge since the first one, in seconds.")]
    refused: Annotated[int, Meta(description="Messages of peers that were refused.")]
    failures: Annotated[int, Meta(description="Local trainings that failed.")]
    last_failure: str
    saved_at: Moment | None
    save_error: Annotated[str, Meta(description="Why the last save failed; empty if it didn't.")]
    peers: Annotated[int, Meta(description="That there is a live link to.")]
    mesh_size: Annotated[int, Meta(description="An estimate of how many devices there are.")]
    missing: Annotated[int, Meta(description="Peers that were there and can't be reached.")]
    partition: Annotated[bool, Meta(description="Whether the mesh looks split.")]
    bytes_sent: int
    bytes_received: int
    budget: Budget | None


class PeerRow(Struct, frozen=True):
    """What is known of one peer."""

    id: str
    live: Annotated[bool, Meta(description="Whether there is a link, and it has greeted.")]
    addresses: tuple[str, ...]
    incarnation: int
    seq: Annotated[int, Meta(description="Of the last version that came from it.")]
    age: Annotated[float, Meta(description="Of that version, in local steps.")]
    latency: Annotated[float | None, Meta(description="Seconds to it and back, by the kernel; null without a link.")]
    staleness: Annotated[
        float | None,
        Meta(
            description="How many of this device's publish intervals that version was behind this device's model;"
            " negative if ahead. null before the first one."
        ),
    ]
    merges: int
    merged: Annotated[float | None, Meta(description="Seconds since its last version was merged.")]
    refused: Annotated[int, Meta(description="Of its messages, in all.")]
    strikes: Annotated[
        int,
        Meta(
            description=f"Refusals that still count: at {MAX_STRIKES} the peer is shunned for a while; a merge takes"
            f" one off, and {HALF_LIFE:g} s half of them."
        ),
    ]
    bytes_sent: Annotated[int, Meta(description="On the link that there is now.")]
    bytes_received: Annotated[int, Meta(description="On the link that there is now.")]


class Device(Struct, frozen=True):
    """A device that is looked at."""

    id: str
    name: Annotated[str, Meta(description="What to call it beside its id; empty if it has no other name.")]
    status: Annotated[Status | None, Meta(description="null while it doesn't answer.")]
    peers: Annotated[list[PeerRow], Meta(description="That it knows.")]


class Mesh(Struct, frozen=True):
    """What is known here of the mesh."""

    time: Moment
    me: Annotated[str | None, Meta(description="The device that answers, and takes orders; null if it is none.")]
    devices: list[Device]


class Curves(Struct, frozen=True):
    """How a device has learnt since it was started: at most some hundred samples, evenly spaced."""

    time: list[Moment]
    values: Annotated[
        dict[str, list[float | None]],
        Meta(description="By their place in a status, as loss or metrics.accuracy."),
    ]


class Version(Struct, frozen=True):
    """Which model it is: the last version that was published, in which life of the daemon, and its age."""

    incarnation: int
    seq: int
    age: Annotated[float, Meta(description="Local steps that it contains, averaged by merging.")]


class TensorRow(Struct, frozen=True):
    """One tensor, where it lies in the model's vector."""

    name: str
    shape: tuple[int, ...]
    personal: Annotated[bool, Meta(description="Whether it never leaves the device.")]


class Model(Struct, frozen=True):
    """The model that predictions come from."""

    version: Version
    published: Annotated[int, Meta(description="Versions, since the start.")]
    merged: Annotated[int, Meta(description="Versions of peers, since the start.")]
    metrics: Annotated[dict[str, float | None], Meta(description="On held-out data.")]
    sha256: Annotated[
        str,
        Meta(
            description="Of the served values of all tensors that are not personal, in order, as little-endian float32."
        ),
    ]
    parameters: int
    shared: Annotated[int, Meta(description="Parameters that are not personal.")]
    fingerprint: Annotated[str, Meta(description="Of the layout; equal on all devices of a mesh.")]
    tensors: list[TensorRow]


class Inviting(Struct, frozen=True, forbid_unknown_fields=True):
    """Let one device join, whichever shows the ticket first."""

    seconds: Annotated[float, Meta(gt=0, le=MONTH, description="Until the ticket is no good any more.")] = DAY
    admin: Annotated[bool, Meta(description="Whether it may admit and ban others; the founder's to say.")] = False


class Admitting(Struct, frozen=True, forbid_unknown_fields=True):
    """Let a device join whose id is known."""

    device: str
    admin: Annotated[bool, Meta(description="Whether it may admit and ban others; the founder's to say.")] = False


class Ticketed(Struct, frozen=True):
    """What the new device needs. It is secret."""

    ticket: str
    expires: Annotated[float | None, Meta(description="Seconds since 1970; null if it does not.")]


class Banning(Struct, frozen=True, forbid_unknown_fields=True):
    """A device that shall be of the mesh no more, for good."""

    device: str


class Stopping(Struct, frozen=True):
    """The daemon is about to end."""

    stopping: bool


class Training(Struct, frozen=True):
    """Whether local training rests."""

    paused: bool


class Publish(Struct, frozen=True):
    """What went out."""

    version: Version
    peers: Annotated[int, Meta(description="To how many; none if nobody is there, or the byte budget is spent.")]
    bytes: Annotated[int, Meta(description="Of frames, to all of them together.")]


class Level(Struct, frozen=True, forbid_unknown_fields=True):
    """The least level of log lines that are shown."""

    level: Literal["debug", "info", "warning", "error"]


class Inputs(Struct, frozen=True, forbid_unknown_fields=True):
    """What to predict from."""

    inputs: Annotated[
        Raw,
        Meta(
            extra_json_schema={
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [{"type": "number"}, {"type": "array"}]},
                "description": "Of shape (n, …), one row for each input, as the task takes them: nested lists of"
                f" numbers, {MAX_VALUES} in all at the most.",
            }
        ),
    ]
    coverage: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(description="How often what is said of the uncertainty is to hold the truth; null if nothing is to be."),
    ] = None


class Uncertainty(Struct, frozen=True, omit_defaults=True):
    """What holds the truth, for each output, or for each row in a set of labels."""

    coverage: Annotated[
        float, Meta(description="How often it does, at the least, if inputs are like those that were held out.")
    ]
    rows: Annotated[int, Meta(description="That were held out, and told it.")]
    lower: Annotated[list[Any] | None, Meta(description="Of numbers: a row for each input.")] = None
    upper: Annotated[list[Any] | None, Meta(description="Of numbers: a row for each input.")] = None
    labels: Annotated[
        list[list[int]] | None, Meta(description="Of classes: the likely ones for each row, likeliest first.")
    ] = None


class Prediction(Struct, frozen=True, omit_defaults=True):
    """What the served model says."""

    outputs: Annotated[
        Raw,
        Meta(
            extra_json_schema={"type": "array", "description": "A row for each input; null for what is no number."},
        ),
    ]
    version: Version
    uncertainty: Uncertainty | None = None


class Exporting(Struct, frozen=True, forbid_unknown_fields=True):
    """How to export the served model."""

    format: Literal["safetensors", "onnx"]
    int8: Annotated[bool, Meta(description="Of ONNX: weights in int8, a quarter of the bytes.")] = False


class Ping(Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to ask whether it is there."""

    peer: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=512,
            description="An id, the end of a known peer's id, or an address as /ip4/192.0.2.7/tcp/9444, with or without"
            " /p2p/ID behind it.",
        ),
    ]


class Pong(Struct, frozen=True):
    """It is there."""

    peer: str
    seconds: Annotated[float, Meta(description="There and back; or that making a connection took.")]
    over: Annotated[
        Literal["link", "dial"],
        Meta(description="link: a round trip on a connection that was there; dial: TCP and Noise's handshake anew."),
    ]


class Wiring(Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets a publish: a live topology as `k-out:k=3`, or a graph file on this device."""

    topology: str
