"""Chaos Toolkit experiments: a whole one, and the parts that tests put together."""

from __future__ import annotations

from typing import Any

ACTIONS, PROBES, TOXICS = "chaostoxi.proxy.actions", "chaostoxi.proxy.probes", "chaostoxi.toxic.actions"


def python(module: str, func: str, **arguments: Any) -> dict[str, Any]:
    """Return a python provider."""
    return {"type": "python", "module": module, "func": func, "arguments": arguments}


def action(provider: dict[str, Any], *, before: float = 0, after: float = 0, **more: Any) -> dict[str, Any]:
    """Return an action with its pauses."""
    pauses = {key: value for key, value in (("before", before), ("after", after)) if value}
    return {"type": "action", "name": "act", "provider": provider, **({"pauses": pauses} if pauses else {}), **more}


def probe(
    url: str = "http://shop:80/items/1", tolerance: Any = 200, *, name: str = "answers", **more: Any
) -> dict[str, Any]:
    """Return a probe over HTTP; `more` is of its provider."""
    provider = {"type": "http", "url": url, **more}
    return {"type": "probe", "name": name, "tolerance": tolerance, "provider": provider}


def experiment(*method: dict[str, Any], probes: Any = (), rollbacks: Any = (), **more: Any) -> dict[str, Any]:
    """Return an experiment."""
    hypothesis = {"title": "well", "probes": list(probes)}
    whole = {"title": "A shop", "description": "A shop without its cache.", "steady-state-hypothesis": hypothesis}
    return {**whole, "method": list(method), "rollbacks": list(rollbacks), **more}


SLOW = python(TOXICS, "create_latency_toxic", for_proxy="redis", toxic_name="slow", latency=400)
SLOW_GONE = python(TOXICS, "delete_toxic", for_proxy="redis", toxic_name="slow")
DISABLED = python(ACTIONS, "disable_proxy", proxy_name="redis")
ENABLED = python(ACTIONS, "enable_proxy", proxy_name="redis")
