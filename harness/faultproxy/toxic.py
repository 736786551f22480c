"""A toxic as the API knows it: a name, a stream, a toxicity, and the settings of its type."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.faultproxy.errors import (
    ApiError,
    invalid_stream,
    invalid_toxic_type,
    invalid_value,
    refuse_unreachable,
    toxic_exists,
)
from harness.faultproxy.schedule import ALWAYS, Schedule
from harness.faultproxy.toxics import ORIGINAL, TOXICS, UPSTREAM_ONLY
from harness.faultproxy.toxics.duration import too_long
from harness.faultproxy.wire import Fields, as_float32, shortest_float32

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.faultproxy.toxics.stage import Settings

STREAMS = ("upstream", "downstream")
# In one direction. Each piece of data passes through all of them at once, each some calls deep (http_error seven):
# hundreds would exceed Python's depth of 1000 calls, and every connection would hang.
MAX_TOXICS = 64


@dataclass(slots=True, eq=False)
class Toxic:
    """One toxic of one proxy; the same for all its connections.

    Attributes:
        name: Unique within the proxy, over both streams.
        kind: The type, a key of `TOXICS`.
        stream: The direction as the client spelled it.
        settings: The attributes.
        toxicity: The share of connections it applies to, a ratio in [0, 1].
        when: To which connections and at which times it applies.
        is_resting: It is in the off part of its schedule.
        shared: What its stages have in common, whatever that is.
        connections_before: How many connections its proxy had taken when it was created, count.
        hits: How often it has acted since it was created, count.
        connections: On how many connections it has acted, count.
        throws: How often its dice were thrown anew, which they are in strict mode only, count.
    """

    name: str
    kind: str
    stream: str
    settings: Settings
    toxicity: float = 1.0
    when: Schedule = ALWAYS
    is_resting: bool = False
    shared: dict[str, Any] = field(default_factory=dict)
    connections_before: int = 0
    hits: int = 0
    connections: int = 0
    throws: int = 0

    @property
    def direction(self) -> str:
        """Return `upstream` or `downstream`."""
        return self.stream.lower()

    def hit(self) -> None:
        """Count one more act."""
        self.hits += 1

    def shown(self) -> dict[str, object]:
        """Return the toxic in the API's form and order."""
        schedule = {"when": self.when.shown()} if self.when != ALWAYS else {}
        return {
            "attributes": dataclasses.asdict(self.settings),
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": shortest_float32(self.toxicity),
            **schedule,
        }

    def applies_to(self, connection: int) -> bool:
        """Tell whether the schedule selects a connection now, by its number."""
        return not self.is_resting and self.when.selects(connection - self.connections_before)


@dataclass(frozen=True, slots=True)
class Change:
    """What a toxic shall be from now on."""

    settings: Settings
    toxicity: float
    when: Schedule


def read_toxic(fields: Fields, present: Sequence[Toxic], *, is_strict: bool = False) -> Toxic:
    """Read a new toxic, checking in Toxiproxy's order: stream, type, name, attributes.

    Args:
        fields: The request.
        present: Those that it will stand beside.
        is_strict: Accept any toxicity, name and time, and know no extensions, as the original.

    Raises:
        ApiError: 400, or 409 for a taken name.
    """
    stream, kind = fields.text("stream"), fields.text("type") or ""
    name, toxicity = fields.text("name"), fields.number("toxicity")
    attributes = fields.nested("attributes", "NoopToxic")
    if stream is None:
        stream = "upstream" if kind in UPSTREAM_ONLY and not is_strict else "downstream"
    if stream.lower() not in STREAMS:
        raise invalid_stream()
    if kind not in (ORIGINAL if is_strict else TOXICS):
        raise invalid_toxic_type()
    if kind in UPSTREAM_ONLY and stream.lower() != "upstream":
        raise invalid_value(f"{kind} works on the upstream stream")
    name = _usable_name(name or f"{kind}_{stream}", {toxic.name for toxic in present}, is_strict=is_strict)
    settings = read_settings(TOXICS[kind](), attributes, is_strict=is_strict)
    share = _usable_toxicity(1.0 if toxicity is None else toxicity, is_strict=is_strict)
    toxic = Toxic(name, kind, stream, settings, share, _read_schedule(fields, ALWAYS, is_strict=is_strict))
    refuse_too_many([*present, toxic])
    return toxic


def refuse_too_many(toxics: Sequence[Toxic]) -> None:
    """Refuse what no connection could pass through; the original takes any number.

    Raises:
        ApiError: 400, if there are more than `MAX_TOXICS` in one direction.
    """
    for stream in STREAMS:
        if sum(toxic.direction == stream for toxic in toxics) > MAX_TOXICS:
            raise invalid_value(f"at most {MAX_TOXICS} toxics may be on one stream, {stream} has them already")


def read_change(toxic: Toxic, fields: Fields, *, is_strict: bool = False) -> Change:
    """Read a PATCH: attributes merged key by key, the toxicity, the schedule; everything else in it is ignored.

    Args:
        toxic: What is to be changed.
        fields: The request.
        is_strict: Accept any toxicity and time, and know no extensions, as the original.

    Raises:
        ApiError: 400; nothing has changed then. In strict mode the attributes that were right have, for connections
            to come.
    """
    attributes = fields.nested("attributes", f"{type(toxic.settings).__name__}Toxic")
    try:
        given = fields.number("toxicity")
        toxicity = _usable_toxicity(toxic.toxicity if given is None else given, is_strict=is_strict)
        settings = read_settings(toxic.settings, attributes, is_strict=is_strict)
    except ApiError:
        if is_strict:
            _take_what_is_right(toxic, attributes)
        raise
    return Change(settings, toxicity, _read_schedule(fields, toxic.when, is_strict=is_strict))


def read_settings(current: Settings, fields: Fields, *, is_strict: bool = False) -> Settings:
    """Return `current` with those attributes replaced that `fields` has.

    Raises:
        ApiError: 400, for a wrong type or a value that cannot work, or surely is a mistake.
    """
    fields = fields.renamed(f"{type(current).__name__}Toxic.attributes")
    given = {attribute.name: _read_attribute(fields, attribute) for attribute in dataclasses.fields(current)}
    settings = _replaced(current, given)
    problem = settings.problem() or (None if is_strict else too_long(settings))
    if problem:
        raise invalid_value(problem)
    return settings


def _take_what_is_right(toxic: Toxic, fields: Fields) -> None:
    given = {}
    for attribute in dataclasses.fields(toxic.settings):
        with contextlib.suppress(ApiError):
            given[attribute.name] = _read_attribute(fields, attribute)
    settings = _replaced(toxic.settings, given)
    if not settings.problem():
        toxic.settings = settings


def _replaced(current: Settings, given: dict[str, object]) -> Settings:
    return dataclasses.replace(current, **{name: value for name, value in given.items() if value is not None})


def _read_attribute(fields: Fields, attribute: dataclasses.Field[Any]) -> object:
    """Read by the type the settings declare; Toxiproxy's own attributes are all integers."""
    readers = {"int": fields.integer, "str": fields.text, "tuple[tuple[float, float], ...]": fields.pairs}
    return readers[str(attribute.type)](attribute.name)


def _read_schedule(fields: Fields, current: Schedule, *, is_strict: bool) -> Schedule:
    """Read `when`, which replaces the schedule there was as a whole."""
    if is_strict or not fields.has("when"):
        return current
    given = fields.nested("when", "Schedule")
    values = {limit.name: given.integer(limit.name) for limit in dataclasses.fields(Schedule)}
    schedule = Schedule(**{name: value for name, value in values.items() if value is not None})
    problem = schedule.problem()
    if problem:
        raise invalid_value(problem)
    return schedule


def _usable_name(name: str, taken: set[str], *, is_strict: bool) -> str:
    if name in taken:
        raise toxic_exists()
    if not is_strict:
        refuse_unreachable(name)
    return name


def _usable_toxicity(given: float, *, is_strict: bool) -> float:
    toxicity = as_float32(given)
    if not (is_strict or 0 <= toxicity <= 1):
        raise invalid_value("toxicity must be from 0 to 1")
    return toxicity
