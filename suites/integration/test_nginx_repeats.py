"""What the load balancer asks a second replica for when the first one dies over a request: only what may be repeated."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import pytest

from harness.clock import SystemClock, is_met_within
from harness.stack import nginx
from harness.stack.ports import reserve
from harness.stack.service import LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Replica(ThreadingTCPServer):
    """One that reads a request to its end, answers it or does not, and closes the connection."""

    daemon_threads = True

    def __init__(self, answer: bytes) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.answer = answer
        self.heard: list[bytes] = []

    @property
    def address(self) -> Address:
        return Address(LOOPBACK, self.server_address[1])


class _Handler(StreamRequestHandler):
    server: Replica

    def handle(self) -> None:
        method = self.rfile.readline().split(b" ")[0]
        length_bytes = 0
        while (line := self.rfile.readline().strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length_bytes = int(line.partition(b":")[2])
        self.server.heard.append(method + b" " + self.rfile.read(length_bytes))
        self.wfile.write(self.server.answer)


@contextmanager
def replica(answer: bytes = b"") -> Iterator[Replica]:
    with Replica(answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def balanced(folder: Path, *replicas: Address) -> Iterator[str]:
    """Put the load balancer of every stack before some replicas, and return its base URL."""
    address, file = reserve(), folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(nginx.configuration(address, replicas, folder, user=user))
    command = [str(nginx.PROGRAM.find()), "-p", str(folder), "-c", str(file), "-e", "stderr", "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert is_met_within(lambda: nginx.is_answering(address), deadline_s=10, clock=SystemClock())
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def asked(url: str, method: str) -> int:
    return httpx.request(method, f"{url}/tasks", content=b"body", trust_env=False, timeout=10).status_code


@pytest.mark.parametrize(("method", "times"), [("POST", 1), ("PATCH", 1), ("PUT", 2), ("DELETE", 2), ("GET", 2)])
def test_only_what_may_be_repeated_is_asked_of_a_second_replica(tmp_path, method, times):
    """The first replica may have done what it did not answer: done again, a POST would be another one."""
    with ExitStack() as leaving:
        first, second = leaving.enter_context(replica()), leaving.enter_context(replica())
        url = leaving.enter_context(balanced(tmp_path, first.address, second.address))

        status = asked(url, method)

    assert status == 502
    assert first.heard + second.heard == [f"{method} body".encode()] * times
    assert max(len(first.heard), len(second.heard)) == 1


def test_what_no_replica_has_heard_is_no_repetition(tmp_path):
    """One of the two is not there, and has its turn among three requests: whatever their method, the other one gets all."""
    with replica(ANSWER) as there, balanced(tmp_path, reserve(), there.address) as url:
        statuses = [asked(url, "POST") for _ in range(3)]

    assert statuses == [200] * 3
    assert there.heard == [b"POST body"] * 3
