"""What a scenario of schema 1 left unsaid, because the load of its time asked for one service's items alone.

Schema 1 has no requests and no headers in its load: a share of `writes` says all. This is the only place that still
knows what that meant; evidence of that time is read, judged and compared as it was.
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
    load = scenario.get("load") if isinstance(scenario, dict) else None
    if not isinstance(load, dict) or "writes" not in load:
        return scenario
    rest = {key: value for key, value in load.items() if key != "writes"}
    asked = [] if load.get("locustfile") else _asked(ratio(load["writes"]))
    return {**scenario, "load": {**rest, "requests": asked, "headers": _HEADERS}}


def _asked(writes: float) -> list[dict[str, Any]]:
    shares = ((_WRITE, writes), (_READ, 1 - writes))
    return [{**request, "weight": share * 100} for request, share in shares if share > 0]
