"""GET /metrics in Prometheus' text format: the two counters Toxiproxy has, live, and those one misses there.

Toxiproxy 2.12 counts the bytes of a connection only once it ends (observed), and has no connections and no hits.
"""

from __future__ import annotations

import asyncio
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.faultproxy.proxy import Proxy

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STREAMS = ("upstream", "downstream")

Sample = tuple[dict[str, str], float]


def proxy_metrics(proxies: list[Proxy], *, is_strict: bool = False) -> str:
    """Return what moved through each proxy, and what its toxics did; in strict mode only what the original tells."""
    if is_strict:
        ended = [proxy for proxy in proxies if proxy.has_ended_connections]
        return _moved(ended, lambda proxy, stream: proxy.past_bytes[stream])
    return "".join(
        [
            _moved(proxies, lambda proxy, stream: proxy.moved_bytes(stream)),
            _family("toxiproxy_proxy_connections", "gauge", ((_of(p), len(p.connections)) for p in proxies)),
            _family("toxiproxy_proxy_connections_total", "counter", ((_of(p), p.connection_count) for p in proxies)),
            _family("toxiproxy_toxic_hits_total", "counter", _toxics(proxies, "hits")),
            _family("toxiproxy_toxic_connections_total", "counter", _toxics(proxies, "connections")),
        ]
    )


def runtime_metrics(*, is_strict: bool = False) -> str:
    """Return what this process uses; memory and descriptors only where /proc tells them."""
    used = os.times()
    families = [_family("process_cpu_seconds_total", "counter", [({}, used.user + used.system)])]
    if not is_strict:
        families.append(_family("python_info", "gauge", [({"version": platform.python_version()}, 1)]))
        families.append(_family("python_asyncio_tasks", "gauge", [({}, len(asyncio.all_tasks()))]))
    if Path("/proc/self/statm").exists():
        resident_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        families.append(_family("process_resident_memory_bytes", "gauge", [({}, resident_bytes)]))
        families.append(_family("process_open_fds", "gauge", [({}, len(list(Path("/proc/self/fd").iterdir())))]))
    return "".join(families)


def _moved(proxies: list[Proxy], count: Callable[[Proxy, str], tuple[int, int]]) -> str:
    pairs = [({"direction": stream, **_of(proxy)}, count(proxy, stream)) for proxy in proxies for stream in STREAMS]
    received, sent = ([(labels, pair[which]) for labels, pair in pairs] for which in (0, 1))
    return _family("toxiproxy_proxy_received_bytes_total", "counter", received) + _family(
        "toxiproxy_proxy_sent_bytes_total", "counter", sent
    )


def _toxics(proxies: list[Proxy], what: str) -> Iterator[Sample]:
    for proxy in proxies:
        for toxic in proxy.toxics:
            labels = {"proxy": proxy.name, "stream": toxic.direction, "toxic": toxic.name, "type": toxic.kind}
            yield labels, getattr(toxic, what)


def _of(proxy: Proxy) -> dict[str, str]:
    return {"listener": proxy.listen, "proxy": proxy.name, "upstream": proxy.upstream}


def _family(name: str, kind: str, samples: Iterable[Sample]) -> str:
    lines = [f"{name}{_labels(labels)} {value:.15g}\n" for labels, value in samples]
    return f"# HELP {name} \n# TYPE {name} {kind}\n{''.join(lines)}" if lines else ""


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
