"""The method of an experiment: activities in order, with their pauses, as faults with windows.

Time passes in pauses only: what an activity itself takes is not known before it is run, and is milliseconds for a
proxy that is told something.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from harness.errors import nearest
from harness.exchange.hypothesis import function_of, http_request, is_activity
from harness.exchange.toxics import ACTIONS, CREATED, PROBES, TOXICS, created_fault
from harness.spec.document import path_text
from harness.spec.faults import Down, NetworkFault
from harness.spec.faults.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.exchange.node import Node

LONGEST_S = 3600.0
"""Of one pause; a method with more of them than a day holds is refused by the scenario itself."""

_TARGET: TypeAdapter[str] = TypeAdapter(Target)
_SLUG = re.compile(r"[^a-z0-9.]+")

Key = tuple[str, str | None]
"""A proxy and the name of a toxic on it; None for the proxy that is disabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A fault, and when it is there.

    Attributes:
        fault: What it is, without a window of its own.
        starts_s: When it begins, seconds after the method has begun.
        ends_s: When it is undone; None if the method leaves it to the rollbacks.
        place: Where it stands in the experiment, a key path.
        said: The function that injects it.
    """

    fault: NetworkFault
    starts_s: float
    ends_s: float | None
    place: str
    said: str


@dataclass(slots=True)
class Method:
    """What a method does.

    Attributes:
        windows: Its faults, in the order in which they begin.
        lasts_s: All its pauses.
        passed_over: What is done or seen anyway, a line each.
    """

    windows: list[Window] = field(default_factory=list)
    lasts_s: float = 0.0
    passed_over: list[str] = field(default_factory=list)


def method_of(activities: Node | None, targets: Mapping[str, str], known: Sequence[str]) -> Method:
    """Return what a method does; whatever of it cannot be done here is noted.

    Args:
        activities: Where it stands.
        targets: Of proxies that are called otherwise here.
        known: All that a fault of the network can hit here; empty where that is not known.
    """
    reader = _MethodReader(targets, known)
    for activity in activities.items() if activities else ():
        reader.read(activity)
    return reader.method()


def check_rollbacks(activities: Node | None) -> list[str]:
    """See that rollbacks do nothing but undo, which the harness does whatever happens.

    Returns:
        What is passed over, a line each.
    """
    passed_over = []
    for activity in activities.items() if activities else ():
        if not is_activity(activity) or (provider := activity.child("provider")) is None:
            continue
        found = function_of(provider, [ACTIONS, TOXICS])
        arguments = provider.child("arguments")
        enabled = arguments.value.get("enabled") if arguments and arguments.is_mapping() else None
        if not found:
            continue
        if found[1] in _UNDOING or (found[1] == "modify_proxy" and enabled is True):
            passed_over.append(f"{path_text(activity.path)}: {found[1]}: every fault is undone, whatever happens")
        else:
            provider.refuse(f"{'.'.join(found)} is no way back", "move it into the method")
    return passed_over


_UNDOING = ("delete_toxic", "enable_proxy", "reset", "delete_proxy")


class _MethodReader:
    """Reads one activity after the other."""

    def __init__(self, targets: Mapping[str, str], known: Sequence[str]) -> None:
        self._targets, self._known = targets, known
        self._open: dict[Key, Window] = {}
        self._closed: list[Window] = []
        self._at_s = 0.0
        self._passed_over: list[str] = []

    def method(self) -> Method:
        """Return what was read."""
        windows = sorted([*self._closed, *self._open.values()], key=lambda window: window.starts_s)
        return Method(windows, self._at_s, self._passed_over)

    def read(self, activity: Node) -> None:
        """Read the next activity, between its pauses."""
        if not is_activity(activity):
            return
        pauses = activity.child("pauses")
        if pauses and pauses.is_mapping():
            pauses.only(("before", "after"))
        self._at_s = round(self._at_s + _pause_s(pauses, "before"), 3)
        self._do(activity)
        self._at_s = round(self._at_s + _pause_s(pauses, "after"), 3)

    def _do(self, activity: Node) -> None:
        provider = activity.child("provider")
        kind = activity.needed("type")
        word = kind.one_of(("action", "probe")) if kind else None
        if provider is None or word is None:
            return
        if word == "probe" and provider.value.get("type") == "http":
            if http_request(activity, provider, 0):
                self._pass_over(activity, "a probe that nothing is promised of: the load asks all the time")
            return
        found = function_of(provider, [PROBES] if word == "probe" else [ACTIONS, TOXICS])
        if word == "probe":
            if found:
                self._pass_over(activity, f"{found[1]}: the dose of each fault is looked at")
            return
        if found:
            self._act(activity, *found)

    def _act(self, activity: Node, module: str, function: str) -> None:
        provider = activity.child("provider")
        arguments = provider.child("arguments") if provider else None
        if arguments is not None and not arguments.is_mapping():
            return
        if module == ACTIONS and function == "reset":
            for key in list(self._open):
                self._end(key, activity)
            return
        if provider is None or arguments is None:
            activity.refuse(f"{module}.{function} is called without arguments", "write its `arguments`")
            return
        if module == TOXICS and (function in CREATED or function == "create_toxic"):
            self._begin_toxic(activity, function, arguments)
        elif module == TOXICS and function == "delete_toxic":
            self._end_toxic(activity, arguments)
        elif module == ACTIONS and function in {"disable_proxy", "enable_proxy", "modify_proxy", "create_proxy"}:
            self._switch(activity, function, arguments)
        elif module == ACTIONS and function == "delete_proxy":
            activity.refuse("a proxy that is deleted has no way back", "disable_proxy refuses connections as well")
        else:
            provider.refuse(f"{module} has no function {function!r}", "see what chaostoolkit-toxiproxy 0.3 has")

    def _begin_toxic(self, activity: Node, function: str, arguments: Node) -> None:
        proxy, toxic = (_needed_text(arguments, key) for key in ("for_proxy", "toxic_name"))
        target = self._target(arguments, "for_proxy", proxy)
        fault = created_fault(function, arguments, target or "any")
        if proxy is None or toxic is None or target is None or fault is None:
            return
        if (proxy, toxic) in self._open:
            arguments.refuse(f"the toxic {toxic!r} is on {proxy!r} already", "delete it first, or name it otherwise")
            return
        self._begin((proxy, toxic), fault, activity, function)

    def _end_toxic(self, activity: Node, arguments: Node) -> None:
        arguments.only(("for_proxy", "toxic_name"))
        proxy, toxic = (_needed_text(arguments, key) for key in ("for_proxy", "toxic_name"))
        if proxy is None or toxic is None:
            return
        if (proxy, toxic) not in self._open:
            activity.refuse(
                f"there is no toxic {toxic!r} on {proxy!r} to delete", "create it before, or leave this out"
            )
            return
        self._end((proxy, toxic), activity)

    def _switch(self, activity: Node, function: str, arguments: Node) -> None:
        """Read what enables a proxy or disables it."""
        known = {"modify_proxy": ("proxy_name", "enabled"), "create_proxy": _CREATING}.get(function, ("proxy_name",))
        refused = dict.fromkeys(_LEADING, "leave it out: where a proxy listens and leads is the harness's")
        arguments.only(known, refused if function == "modify_proxy" else {})
        proxy = _needed_text(arguments, "proxy_name")
        enabled = arguments.child("enabled")
        if enabled and not isinstance(enabled.value, bool):
            enabled.refuse(f"{enabled.value!r} is no boolean", "write true or false")
            return
        is_enabled = function != "disable_proxy" if enabled is None else bool(enabled.value)
        target = self._target(arguments, "proxy_name", proxy)
        if proxy is None or target is None:
            return
        if function == "create_proxy":
            self._pass_over(activity, "create_proxy: every edge of the stack runs through a proxy of its own")
        if is_enabled and (proxy, None) in self._open:
            self._end((proxy, None), activity)
        elif not is_enabled and (proxy, None) not in self._open:
            self._begin((proxy, None), Down(kind="down", target=target), activity, function)

    def _begin(self, key: Key, fault: NetworkFault, activity: Node, function: str) -> None:
        starts_s, place = self._at_s, path_text(activity.path)
        self._open[key] = Window(fault=fault, starts_s=starts_s, ends_s=None, place=place, said=function)

    def _end(self, key: Key, activity: Node) -> None:
        window = self._open.pop(key)
        lasts_s = self._at_s - window.starts_s
        if lasts_s <= 0 or lasts_s < window.fault.least_s:
            what = f"the fault of {window.place} would be over after {lasts_s:g} s, before it could be seen"
            activity.refuse(what, f"pause for {max(1.0, window.fault.least_s):g} s or longer before this")
        self._closed.append(replace(window, ends_s=self._at_s))

    def _pass_over(self, activity: Node, why: str) -> None:
        self._passed_over.append(f"{path_text(activity.path)}: {why}")

    def _target(self, arguments: Node, key: str, proxy: str | None) -> str | None:
        """Return what a proxy stands before here: what was said of its name, or its name."""
        if proxy is None:
            return None
        target = self._targets.get(proxy) or _SLUG.sub("-", proxy.lower()).strip("-.")
        place, fix = arguments.child(key) or arguments, f"say which it is: --proxy '{proxy}=TARGET'"
        try:
            _TARGET.validate_python(target)
        except ValidationError:
            place.refuse(f"the proxy {proxy!r} names no target", fix)
            return None
        if self._known and target not in self._known:
            place.refuse(f"the proxy {proxy!r} stands before nothing here", f"{fix}; {nearest(target, self._known)}")
            return None
        return target


_LEADING = ("listen_address", "upstream_address")
_CREATING = ("proxy_name", "upstream_host", "upstream_port", "listen_host", "listen_port", "enabled")


def _needed_text(arguments: Node, key: str) -> str | None:
    found = arguments.needed(key)
    return found.text() if found else None


def _pause_s(pauses: Node | None, key: str) -> float:
    """Return a pause in seconds, in whole milliseconds."""
    found = pauses.child(key) if pauses else None
    return round((found.number(most=LONGEST_S) if found else 0.0) or 0.0, 3)
