"""GET /metrics in Prometheus' text format: the two counters Toxiproxy has, live, and those one misses there.

Toxiproxy 2.12 counts the bytes of a connection only once it ends (observed), and has no connections and no hits.
"""

from __future__ import annotations

import asyncio
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from harness.faultproxy.toxic import STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from harness.faultproxy.proxy import Proxy
    from harness.faultproxy.tally import Road, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[dict[str, str], float]


def proxy_metrics(proxies: list[Proxy], tally: Tally, *, is_strict: bool = False) -> str:
    """Return what moved through each proxy, and what its toxics did; in strict mode only what the original tells.

    Args:
        proxies: Those that there are now.
        tally: What was counted, of these and of those before them.
        is_strict: See `Program`.
    """
    if is_strict:
        return _moved([road for road in tally.roads if tally.has_ended(road)], tally.past_bytes)
    taken = ((_of(road), tally.taken(road)) for road in tally.roads)
    return "".join(
        [
            _moved(tally.roads, tally.moved_bytes),
            _family("toxiproxy_proxy_connections", "gauge", ((_of(p.road), len(p.connections)) for p in proxies)),
            _family("toxiproxy_proxy_connections_total", "counter", taken),
            _family("toxiproxy_toxic_hits_total", "counter", _toxics(tally, 0)),
            _family("toxiproxy_toxic_connections_total", "counter", _toxics(tally, 1)),
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


def _moved(roads: list[Road], count: Callable[[Road, str], tuple[int, int]]) -> str:
    pairs = [({"direction": stream, **_of(road)}, count(road, stream)) for road in roads for stream in STREAMS]
    received, sent = ([(labels, pair[which]) for labels, pair in pairs] for which in (0, 1))
    return _family("toxiproxy_proxy_received_bytes_total", "counter", received) + _family(
        "toxiproxy_proxy_sent_bytes_total", "counter", sent
    )


def _toxics(tally: Tally, which: int) -> Iterator[Sample]:
    for name in tally.toxics:
        labels = {"proxy": name.proxy, "stream": name.stream, "toxic": name.toxic, "type": name.kind}
        yield labels, tally.hits(name)[which]


def _of(road: Road) -> dict[str, str]:
    return {"listener": road.listener, "proxy": road.proxy, "upstream": road.upstream}


def _family(name: str, kind: str, samples: Iterable[Sample]) -> str:
    lines = [f"{name}{_labels(labels)} {value:.15g}\n" for labels, value in samples]
    return f"# HELP {name} \n# TYPE {name} {kind}\n{''.join(lines)}" if lines else ""


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
