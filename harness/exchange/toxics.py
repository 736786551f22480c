"""What chaostoolkit-toxiproxy does to a proxy, as a fault of ours: the same toxic with the same attributes, or none.

Sources: chaostoolkit-toxiproxy 0.3, `chaostoxi.toxic.actions` and `chaostoxi.proxy.actions`; Toxiproxy 2.12, "Toxics".
The toxics that our faults add stand in `faults/network/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from harness.spec.faults import NetworkFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.exchange.node import Node

ACTIONS, PROBES, TOXICS = "chaostoxi.proxy.actions", "chaostoxi.proxy.probes", "chaostoxi.toxic.actions"

CREATED = {
    "create_latency_toxic": ("latency", {"latency": "latency", "jitter": "jitter"}),
    "create_bandwith_degradation_toxic": ("bandwidth", {"rate": "rate"}),
    "create_slow_connection_close_toxic": ("slow_close", {"delay": "delay"}),
    "create_timeout_toxic": ("timeout", {"timeout": "timeout"}),
    "create_slicer_toxic": (
        "slicer",
        {"average_size": "average_size", "size_variation": "size_variation", "delay": "delay"},
    ),
    "create_limiter_toxic": ("limit_data", {"bytes_limit": "bytes"}),
}
"""Each function that adds one kind of toxic downstream: the toxic, and which argument is which of its attributes."""

_MOST = 1e9
_FAULT: TypeAdapter[NetworkFault] = TypeAdapter(Annotated[NetworkFault, Field(discriminator="kind")])


def created_fault(function: str, arguments: Node, target: str) -> NetworkFault | None:
    """Return the fault that a function of `chaostoxi.toxic.actions` injects; None if it is refused, which is noted."""
    if function == "create_toxic":
        arguments.only(("for_proxy", "toxic_name", "toxic_type", "stream", "toxicity", "attributes"))
        return _of_any_type(arguments, target)
    kind, names = CREATED[function]
    arguments.only(("for_proxy", "toxic_name", *names))
    found = {attribute: arguments.child(argument) for argument, attribute in names.items()}
    return _fault(kind, "downstream", found, arguments, target)


def _of_any_type(arguments: Node, target: str) -> NetworkFault | None:
    kind, stream, share, given = (arguments.child(key) for key in ("toxic_type", "stream", "toxicity", "attributes"))
    if share and (of_all := share.number(most=1)) is not None and of_all < 1:
        share.refuse("a toxicity below 1 leaves some connections whole", "write toxicity 1: a fault hurts all of them")
    if not kind:
        arguments.refuse("missing key 'toxic_type'", f"add it; known: {', '.join(KINDS)}")
    word = kind.one_of(KINDS) if kind else None
    way = stream.one_of(("downstream", "upstream")) if stream else "downstream"
    if not word or not way or (given and not given.is_mapping()):
        return None
    known = KINDS_OF[word][2] if word in KINDS_OF else ()
    if given and set(given.value) - set(known):
        given.only(known)
        return None
    return _fault(word, way, {name: given.child(name) for name in known} if given else {}, arguments, target)


def _fault(
    kind: str, stream: str, given: Mapping[str, Node | None], arguments: Node, target: str
) -> NetworkFault | None:
    """Return the fault that adds the same toxic, checked by its own model."""
    if kind in REFUSED:
        arguments.refuse(f"the toxic {kind!r} is no fault here", REFUSED[kind])
        return None
    made, streams, _ = KINDS_OF[kind]
    if stream not in streams:
        what = f"the toxic {kind!r} is not injected {stream} here"
        arguments.refuse(what, f"write stream: {streams[0]}, if that is what is meant")
        return None
    numbers = {name: node.number(most=_MOST) for name, node in given.items() if node}
    attributes = {name: number for name, number in numbers.items() if number is not None}
    if len(attributes) < len(numbers):  # refused already
        return None
    try:
        return _FAULT.validate_python({"target": target, **made(attributes, stream)})
    except (ValidationError, ValueError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        what, _, fix = first.removeprefix("Value error, ").partition("; ")
        arguments.refuse(f"the toxic {kind!r} is no fault here: {what}", fix or "give it a value within those bounds")
        return None


def _latency(given: dict[str, float], _stream: str) -> dict[str, Any]:
    return {"kind": "latency", "delay": _ms(given.get("latency", 0)), "jitter": _ms(given.get("jitter", 0))}


def _timeout(given: dict[str, float], stream: str) -> dict[str, Any]:
    if given.get("timeout"):
        raise ValueError("it also ends connections; write timeout 0, which silences them, or the toxic reset_peer")
    return {"kind": "half-open", "stream": stream}


def _bandwidth(given: dict[str, float], _stream: str) -> dict[str, Any]:
    return {"kind": "bandwidth", "rate": f"{_whole(given['rate'])}KB/s"}


def _reset(given: dict[str, float], _stream: str) -> dict[str, Any]:
    return {"kind": "reset", "after": _ms(given.get("timeout", 0))}


def _slicer(given: dict[str, float], _stream: str) -> dict[str, Any]:
    if given.get("size_variation"):
        raise ValueError("its pieces vary in size, and none could be told to be too large; write size_variation 0")
    return {"kind": "slicer", "size": f"{_whole(given['average_size'])}B", "delay": f"{_whole(given['delay'])}us"}


def _limit(given: dict[str, float], _stream: str) -> dict[str, Any]:
    return {"kind": "limit-data", "size": f"{_whole(given['bytes'])}B"}


def _ms(value: float) -> str:
    return f"{_whole(value)}ms"


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError(f"{value:g} is no whole number; Toxiproxy knows none else")
    return int(value)


_Made = tuple["Callable[[dict[str, float], str], dict[str, Any]]", tuple[str, ...], tuple[str, ...]]

KINDS_OF: dict[str, _Made] = {
    "latency": (_latency, ("downstream",), ("latency", "jitter")),
    "bandwidth": (_bandwidth, ("downstream",), ("rate",)),
    "timeout": (_timeout, ("downstream", "upstream"), ("timeout",)),
    "reset_peer": (_reset, ("upstream",), ("timeout",)),
    "slicer": (_slicer, ("downstream",), ("average_size", "size_variation", "delay")),
    "limit_data": (_limit, ("downstream",), ("bytes",)),
}
"""Each toxic that is a fault here: how it is written, in which directions, and the attributes that it may have."""

REFUSED = {
    "slow_close": "leave it out: it delays the end of a connection, which no client waits for",
    "noop": "leave it out: it does nothing",
}
KINDS = (*KINDS_OF, *REFUSED)
