"""What a scenario of earlier evidence left unsaid, because of what the harness of its time knew.

Schema 1 has no requests and no headers in its load: a share of `writes` says all. This is the only place that still
knows what that meant; evidence of that time is read, judged and compared as it was. And `catches` once listed bare
ids: they told readers which defects the scenario was written for and named no promise, so nothing goes by them.
"""

from __future__ import annotations

from typing import Any

from harness.spec.quantity import ratio

_HEADERS = {"cache": "x-cache", "hits": ["l1", "l2"], "replica": "x-replica", "version": "x-version"}
_WRITE = {
    "name": "write",
    "method": "PUT",
    "path": "/items/{key}",
    "headers": {"content-type": "application/json"},
    "body": '{"value": "{unique}"}',
}
_READ = {"name": "read", "path": "/items/{key}"}


def upgraded(scenario: Any) -> Any:
    """Return a scenario, as plain data, with what its schema left unsaid; one of a later schema as it is.

    Raises:
        ValueError: If its share of writes is none.
    """
    if not isinstance(scenario, dict):
        return scenario
    return _with_requests(_without_bare_ids(scenario))


def _without_bare_ids(scenario: dict[str, Any]) -> dict[str, Any]:
    catches = scenario.get("catches")
    if not isinstance(catches, list):
        return scenario
    return {**scenario, "catches": [each for each in catches if not isinstance(each, str)]}


def _with_requests(scenario: dict[str, Any]) -> dict[str, Any]:
    load = scenario.get("load")
    if not isinstance(load, dict) or "writes" not in load:
        return scenario
    rest = {key: value for key, value in load.items() if key != "writes"}
    asked = [] if load.get("locustfile") else _asked(ratio(load["writes"]))
    return {**scenario, "load": {**rest, "requests": asked, "headers": _HEADERS}}


def _asked(writes: float) -> list[dict[str, Any]]:
    shares = ((_WRITE, writes), (_READ, 1 - writes))
    return [{**request, "weight": share * 100} for request, share in shares if share > 0]
