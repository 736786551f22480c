"""The steady-state hypothesis of an experiment, as requests of a load and promises about them.

A probe asks once and must be answered as its tolerance says; a load asks all the time, and a promise bounds the share
of requests that are not. They mean the same where the tolerance is one of success: an answer of 2xx that came whole.

Sources: chaostoolkit-lib 1.44, `chaoslib.provider.http` and `chaoslib.hypothesis`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from pydantic import ValidationError

from harness.exchange.toxics import PROBES
from harness.spec.document import path_text
from harness.spec.requests import DeclaredRequest, placeholders_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.exchange.node import Node

SUCCESS = range(200, 300)
"""Statuses that are a success for the load, whichever of them it is."""

TIMEOUT_MAX_S = 60.0

_SAFE_IN_A_PATH = "/%:@!$&'()*+,;=~-._?"
"""What stands in a path and its query as it is (RFC 3986); the rest, braces among it, is percent-encoded."""

_ACTIVITY = ("type", "name", "provider", "tolerance", "pauses", "background")
_NOT_OF_AN_ACTIVITY = {
    "ref": "write the activity out in this place",
    "controls": "leave it out: a control is code, and none of an experiment is run",
    "configuration": "write the values in the experiment's own `configuration`",
    "secrets": "leave it out: a scenario's file is evidence, and holds no secrets",
    "dry": "leave it out; `readiness run --collect-only` reads a scenario and runs nothing",
    "timeout": "leave it out, or write it as the timeout of an http provider",
}
_CODE = {
    "python": "its code is not run here; write what it does as a fault or an objective (docs/scenarios.md)",
    "process": "no program of an experiment is run here; write what it does as a fault (docs/scenarios.md)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe over HTTP, as a request of the load and what is promised of it.

    Attributes:
        request: What is asked; the host of its URL is left out, since the load asks the judged service.
        within_s: After how long an answer is too late; None if the probe would have waited.
        place: Where it stands in the experiment, a key path.
        said: The URL and the tolerance, as the experiment has them.
    """

    request: DeclaredRequest
    within_s: float | None
    place: str
    said: str


def is_activity(activity: Node) -> bool:
    """Tell whether something is an activity that can be looked at; whatever is wrong with it is noted."""
    if not activity.is_mapping():
        return False
    activity.only(_ACTIVITY, _NOT_OF_AN_ACTIVITY)
    if "ref" in activity.value:
        return False
    background = activity.child("background")
    if background and background.value is not False:
        background.refuse(
            "an activity in the background has no place in the order of the others", "give it a place, with pauses"
        )
    provider = activity.needed("provider")
    return bool(provider and provider.is_mapping())


def function_of(provider: Node, modules: Iterable[str]) -> tuple[str, str] | None:
    """Return module and function of a python provider of these modules; any other provider is refused by name."""
    kind = provider.needed("type")
    word = kind.text() if kind else None
    if word is None:
        return None
    named = [_word(provider, key) for key in ("module", "func")]
    if word == "python" and named[0] in modules:
        provider.only(("type", "module", "func", "arguments", "secrets"))
        return named[0], named[1]
    if word == "python":
        provider.refuse(f"the python provider {'.'.join(named)!r} is foreign code", _CODE["python"])
    elif word == "process":
        provider.refuse(f"the process provider {_word(provider, 'path')!r} is a foreign program", _CODE["process"])
    elif word == "http":
        provider.refuse("an http provider is no fault", "declare the request in readiness.toml: a load asks it")
    else:
        provider.refuse(f"the provider {word!r} is unknown", "http, and python of chaostoxi, are read")
    return None


def _word(node: Node, key: str) -> str:
    found = node.value.get(key)
    return found if isinstance(found, str) else "?"


def probes_of(hypothesis: Node | None) -> list[Probe]:
    """Return the probes of a hypothesis that are promises about requests; the others are refused, or kept anyway."""
    if hypothesis is None or not hypothesis.is_mapping():
        return []
    hypothesis.only(("title", "probes"), {"controls": _NOT_OF_AN_ACTIVITY["controls"]})
    probes = hypothesis.child("probes")
    found = [probe_of(activity, taken=index) for index, activity in enumerate(probes.items())] if probes else []
    return [probe for probe in found if probe]


def probe_of(activity: Node, *, taken: int) -> Probe | None:
    """Return one probe of a hypothesis.

    Args:
        activity: Where it stands.
        taken: A number that tells its request from the others.
    """
    if not is_activity(activity):
        return None
    kind = activity.needed("type")
    if kind and kind.text() == "action":
        kind.refuse("an action is no part of a hypothesis", "move it into the method")
        return None
    provider, tolerance = activity.child("provider"), activity.needed("tolerance")
    if provider is None:
        return None
    if provider.value.get("type") != "http":
        _check_kept_anyway(provider, tolerance)
        return None
    if tolerance:
        _check_success(tolerance)
    return _http_probe(activity, provider, taken)


def _check_kept_anyway(provider: Node, tolerance: Node | None) -> None:
    """See that a probe asks what the harness sees to by itself: a proxy is there, and enabled."""
    found = function_of(provider, [PROBES])
    if not found:
        return
    function, arguments = found[1], provider.child("arguments")
    attribute = arguments.value.get("attribute") if arguments and arguments.is_mapping() else None
    is_kept = function == "proxy_exist" or (function == "get_proxy_attribute" and attribute == "enabled")
    if not is_kept or (tolerance and tolerance.value is not True):
        what = f"what {PROBES}.{function} looks at is no promise of a service"
        provider.refuse(what, "leave it out: before a fault all proxies are seen to work, and after it again")


def _check_success(tolerance: Node) -> None:
    """Note a tolerance that is not one of success."""
    statuses = _statuses(tolerance.value)
    if statuses is None:
        what = "this tolerance is about more than an answer's status, and bodies are not judged"
        tolerance.refuse(what, "write the status, such as 200; what a body must hold is an invariant's")
    elif not statuses or not all(status in SUCCESS for status in statuses):
        fix = "write statuses of 2xx: what else a service may answer is not told from a failure"
        tolerance.refuse("this tolerance is not one of success", fix)


def _statuses(tolerance: Any) -> list[Any] | None:
    """Return what a tolerance allows an answer's status to be; None if it is about something else.

    Source: `within_tolerance`, of what an http provider gives: a list is membership there, also one of two.
    """
    if isinstance(tolerance, list):
        return tolerance
    if isinstance(tolerance, int) and not isinstance(tolerance, bool):
        return [tolerance]
    if isinstance(tolerance, dict) and (tolerance.get("type"), tolerance.get("target")) == ("range", "status"):
        bounds = tolerance.get("range")
        return bounds if isinstance(bounds, list) and len(bounds) == 2 else []
    return None


def _http_probe(activity: Node, provider: Node, taken: int) -> Probe | None:
    request = http_request(activity, provider, taken)
    timeout = provider.child("timeout")
    within_s = timeout.number(most=TIMEOUT_MAX_S) if timeout else None
    if timeout and within_s == 0:
        timeout.refuse("no answer comes within 0 s", "write the seconds that an answer may take")
    if request is None:
        return None
    said = f"GET {provider.value['url']}, tolerance {activity.value.get('tolerance')}"
    return Probe(request=request, within_s=within_s, place=path_text(activity.path), said=said)


def http_request(activity: Node, provider: Node, taken: int) -> DeclaredRequest | None:
    """Return what an http provider asks, as a request of the load; None if it is refused, which is noted."""
    provider.only(
        ("type", "url", "method", "headers", "arguments", "timeout", "expected_status", "verify_tls"),
        {
            "secrets": _NOT_OF_AN_ACTIVITY["secrets"],
            "max_retries": "leave it out: a request that is sent again counts once",
        },
    )
    method, expected = provider.child("method"), provider.child("expected_status")
    if method and str(method.value).upper() != "GET":
        method.refuse(f"a probe that sends {method.value!r} changes what it looks at", "probe with GET")
    if expected:
        _check_success(expected)
    url, name = provider.needed("url"), activity.needed("name")
    path, called = _path_of(url, provider) if url else None, name.text() if name else None
    headers = _headers_of(provider.child("headers"))
    if path is None or called is None:
        return None
    try:
        return DeclaredRequest(name=_request_name(called, taken), path=path, headers=headers)
    except ValidationError as error:
        provider.refuse(f"this cannot be asked: {error.errors()[0]['msg']}", "ask for a path that a load can ask for")
        return None


def _path_of(url: Node, provider: Node) -> str | None:
    """Return the path and query of a URL, encoded."""
    text = url.text()
    if text is None:
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"}:
        url.refuse("this is no URL over HTTP", "write http://HOST/PATH")
        return None
    query = [part for part in (parts.query, _query_of(provider.child("arguments"))) if part]
    return quote(parts.path or "/", safe=_SAFE_IN_A_PATH) + (
        "?" + quote("&".join(query), safe=_SAFE_IN_A_PATH) if query else ""
    )


def _query_of(arguments: Node | None) -> str:
    if arguments is None or not arguments.is_mapping():
        return ""
    values = {key: arguments.child(key) for key in arguments.value}
    return urlencode([(key, _scalar(node)) for key, node in values.items() if node])


def _scalar(node: Node) -> str:
    value = node.filled()
    if isinstance(value, dict | list):
        node.refuse("a query has texts and numbers", "write the query in the URL")
    return str(value)


def _headers_of(headers: Node | None) -> dict[str, str]:
    if headers is None or not headers.is_mapping():
        return {}
    found = {name: node.text() for name in headers.value if (node := headers.child(name))}
    for name, text in found.items():
        if text and placeholders_in(text):
            headers.refuse(f"the header {name!r} has a word in braces, which a load would fill in", "leave it out")
    return {name: text for name, text in found.items() if text}


def _request_name(name: str, taken: int) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-") or "probe"
    return f"{words}-{taken + 1}" if taken else words
