"""Replicas that do what a test tells them, behind the load balancer of every stack."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import TYPE_CHECKING

import httpx

from harness.clock import SystemClock, is_met_within
from harness.spec.balancer import USUAL
from harness.stack import nginx
from harness.stack.ports import reserve
from harness.stack.service import LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.spec.balancer import Balancer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Replica(ThreadingTCPServer):
    """One that reads a request to its end, answers it or does not, and closes the connection.

    Args:
        answer: What it answers.
        is_silent: It then says nothing more, and keeps the connection open until the test is over.
    """

    daemon_threads = True

    def __init__(self, answer: bytes, *, is_silent: bool = False) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.answer = answer
        self.is_silent = is_silent
        self.is_over = Event()
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
        if self.server.is_silent:
            self.server.is_over.wait(60)


@contextmanager
def replica(answer: bytes = b"", *, is_silent: bool = False) -> Iterator[Replica]:
    with Replica(answer, is_silent=is_silent) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.is_over.set()
            server.shutdown()
            thread.join()


@contextmanager
def balanced(folder: Path, *replicas: Address, balancer: Balancer = USUAL) -> Iterator[str]:
    """Put the load balancer of every stack before some replicas, and return its base URL."""
    address, file = reserve(), folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(nginx.configuration(address, replicas, folder, user=user, balancer=balancer))
    command = [str(nginx.PROGRAM.find()), "-p", str(folder), "-c", str(file), "-e", "stderr", "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        assert is_met_within(lambda: nginx.is_answering(address), deadline_s=10, clock=SystemClock())
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(10)


def asked(url: str, method: str, content: bytes = b"body") -> int:
    return httpx.request(method, f"{url}/tasks", content=content, trust_env=False, timeout=20).status_code
