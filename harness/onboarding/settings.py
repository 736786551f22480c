"""A proposal as readiness.toml, with what said so behind each line."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from harness.evidence.redaction import line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.onboarding.clue import Route
    from harness.onboarding.limits import Limits
    from harness.onboarding.proposal import Proposal

REPLICAS = 2

_HEAD = "# Written by `readiness init`, with what said so behind a line; all of it is yours to correct."
_PROFILES = """\
[profiles.quick]
stretch = 1.0
extends_to = 4 # so many times as long may a phase become while its promises are open"""


def settings_text(proposal: Proposal, limits: Limits) -> str:
    """Return the file.

    Args:
        proposal: What it says.
        limits: What every scenario's baseline is held to.
    """
    parts = [
        f"{_HEAD}\n",
        "\n".join(_system(proposal)),
        *([] if proposal.start.compose else _components(proposal)),
        *("\n".join(_request(route, name)) for name, route in named(proposal.asked)),
        "\n".join(_objectives(limits)),
        _PROFILES,
    ]
    return "\n\n".join(parts) + "\n"


def _components(proposal: Proposal) -> Iterator[str]:
    yield from (f"[system.components.{each.kind}] # {line(each.seen_in)}" for each in proposal.components)


def named(routes: tuple[Route, ...]) -> Iterator[tuple[str, Route]]:
    """Return paths with names for them, each its own."""
    names = set[str]()
    for route in routes:
        words = [word for word in re.split(r"[^a-z0-9]+", route.path.replace("{key}", "").lower()) if word]
        name = "-".join(words)[:40] or "root"
        while name in names:
            name += "-again"
        names.add(name)
        yield name, route


def _whole(proposal: Proposal) -> Iterator[str]:
    start = proposal.start
    yield "[system]"
    yield f"name = {_text(proposal.name)}"
    if start.compose:
        yield f"compose = {_text(start.compose)} # it says what runs; what it says that cannot be honoured is told"
    elif not proposal.components and proposal.is_started_here:
        yield "components = {}"
    if proposal.is_started_here:
        yield f"replicas = {REPLICAS}"
    yield ""


def _system(proposal: Proposal) -> Iterator[str]:
    start = proposal.start
    yield from _whole(proposal)
    yield "[system.subject]"
    yield f"{start.kind} = {_value(start.runs)} # {line(start.seen_in)}"
    if start.port:
        yield f"port = {start.port}"
    if start.kind in {"app", "wsgi"} and not start.factory:
        yield "factory = false"
    yield f"ready = {_text(proposal.ready.path)} # {line(proposal.ready.seen_in)}"
    if start.ready_within:
        yield f"ready_within = {_text(start.ready_within)}"
    if start.init:
        yield f"init = [{', '.join(map(_value, start.init))}]"
    if start.dockerfile:
        yield f"dockerfile = {_text(start.dockerfile)}"
    if proposal.environment:
        yield ""
        yield "[system.subject.environment]"
        for name, (value, seen_in) in proposal.environment.items():
            yield f"{name} = {_text(value)} # {line(seen_in)}"
    for name, command in start.workers.items():
        yield ""
        yield f"[system.subject.workers.{name}]"
        yield f"command = {_value(command)}"


def _request(route: Route, name: str) -> Iterator[str]:
    yield "[[system.requests]]"
    yield f"name = {_text(name)}"
    yield f"path = {_text(route.path)} # {line(route.seen_in)}"
    if "{key}" in route.path:
        yield "keys = { first = 1, count = 100 }"


def _objectives(limits: Limits) -> Iterator[str]:
    yield f"# {line(limits.said)}"
    yield "[[objectives]]"
    yield 'sli = "slow"'
    yield f"over = {_text(limits.slow_over)}"
    yield 'max = "5%"'
    yield ""
    yield "[[objectives]]"
    yield 'sli = "errors"'
    yield f"max = {_text(limits.errors_max)}"


def _value(value: str | tuple[str, ...]) -> str:
    return _text(value) if isinstance(value, str) else f"[{', '.join(map(_text, value))}]"


def _text(value: str) -> str:
    """Write a basic string of TOML, which JSON's is but for the character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
