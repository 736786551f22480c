"""Two that answer as a Prometheus does: a real one, where it is on PATH, and one that has what a test gives it.

The second answers the two queries that are asked, as Prometheus 3 documents its HTTP API; the first shows that it does.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import httpx

from suites.support.faultproxy import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AHEAD_S = 3600.0
"""Its clock and ours need not agree."""

SELECTOR = re.compile(r"(\w+)(?:\{(.*)\})?\[(\d+)s\]", re.DOTALL)
LABEL = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')


class Collected:
    """What has been collected by a Prometheus whose clock is an hour ahead.

    Attributes:
        asked: Each query, with the authorization that came with it.
        failing: A status and what is said instead of an answer; None for answers.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.failing: tuple[int, object] | None = None
        self._series: defaultdict[tuple[tuple[str, str], ...], list[tuple[float, str]]] = defaultdict(list)
        self.url = ""

    def add(self, metric: str, value: float | str, *, ago_s: float = 0.0, **labels: str) -> None:
        """Collect a sample, as of so long ago."""
        told = tuple(sorted({"__name__": metric, "instance": "api-1:80", "job": "shop", **labels}.items()))
        self._series[told].append((self.now_s() - ago_s, str(value)))

    def now_s(self) -> float:
        """Return the time by its clock."""
        return time.time() + AHEAD_S

    def answer(self, query: str) -> tuple[int, object]:
        """Return a status and what is said."""
        if self.failing:
            return self.failing
        now_s = self.now_s()
        if query == "time()":
            return 200, _success("scalar", [now_s, str(now_s)])
        found = SELECTOR.fullmatch(query)
        if found is None:
            said = {"status": "error", "errorType": "bad_data", "error": f"parse error in {query}"}
            return 400, said
        wanted = {name: json.loads(value) for name, value in LABEL.findall(found[2] or "")}
        wanted["__name__"] = found[1]
        return 200, _success("matrix", list(self._matrix(wanted, now_s - int(found[3]), now_s)))

    def _matrix(self, wanted: dict[str, str], from_s: float, to_s: float) -> Iterator[object]:
        for told, samples in self._series.items():
            values = [list(each) for each in samples if from_s < each[0] <= to_s]
            if wanted.items() <= dict(told).items() and values:
                yield {"metric": dict(told), "values": values}


def _success(kind: str, result: object) -> object:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


@contextmanager
def collected() -> Iterator[Collected]:
    """Serve what a test gives it."""
    known = Collected()

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            (query,) = parse_qs(parts.query)["query"]
            known.asked.append((query, self.headers.get("Authorization")))
            status, said = known.answer(query) if parts.path.endswith("/api/v1/query") else (404, "404 page not found")
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        known.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()


def prometheus_is_missing() -> bool:
    """Tell whether there is no real one on PATH."""
    return shutil.which("prometheus") is None


@contextmanager
def real_prometheus(folder: Path, port: int) -> Iterator[str]:
    """Run a real one that collects what listens on a port ten times a second; yield its URL."""
    api = free_port()
    scrape = f"{{job_name: shop, scrape_interval: 100ms, scrape_timeout: 100ms, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}"
    (folder / "prometheus.yml").write_text(f"scrape_configs: [{scrape}]\n")
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    child = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{api}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{api}"
    try:
        wait_until(lambda: _is_ready(url), "prometheus is ready", 30.0)
        yield url
    finally:
        child.terminate()
        child.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
