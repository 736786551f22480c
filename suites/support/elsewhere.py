"""A service that somebody else has started, and the script by which they stop, start, freeze and thaw it.

As a program of its own, `python elsewhere.py start FOLDER PORT NAME`, it is that script: what it starts is nobody's
child, keeps the output that it was given, and says in a file which process it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WITHIN_S = 20.0


@dataclass(frozen=True)
class SomebodyElses:
    """One such service.

    Attributes:
        folder: Where it notes its process, and what its script was asked for.
        port: Where it listens.
        name: What its answers call it.
    """

    folder: Path
    port: int
    name: str = "api-1"

    def command(self, word: str) -> tuple[str, ...]:
        """Return the command that does so: start, stop, pause, resume, or tell its status."""
        return (sys.executable, __file__, word, str(self.folder), str(self.port), self.name)

    def run(self, word: str) -> None:
        """Run it, as its owner does."""
        subprocess.run(self.command(word), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def url(self) -> str:
        """Return where it says that it serves."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def pid(self) -> int:
        """Return which process it is, or was."""
        return int((self.folder / "pid").read_text())

    @property
    def asked(self) -> list[str]:
        """Return what its script was asked for, in order."""
        path = self.folder / "asked"
        return path.read_text().split() if path.is_file() else []

    def is_listening(self) -> bool:
        """Tell whether it accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class _Says(BaseHTTPRequestHandler):
    """Answers everything, and says who it is."""

    protocol_version = "HTTP/1.1"
    called = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.send_header("served-by", self.called)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve(port: int, name: str) -> None:
    _Says.called = name
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer(("127.0.0.1", port), _Says).serve_forever()


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: object, what: str) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not condition():  # type: ignore[operator]  # a function without arguments
        if time.monotonic() > until_s:
            sys.exit(f"{what} in vain")
        time.sleep(0.02)


def _start(service: SomebodyElses) -> None:
    with contextlib.suppress(OSError):
        if _is_alive(service.pid):
            return
    command = [sys.executable, __file__, "serve", str(service.folder), str(service.port), service.name]
    child = subprocess.Popen(command, start_new_session=True)  # it keeps the output that we were given
    (service.folder / "pid").write_text(str(child.pid))
    _until(service.is_listening, "waited for it to listen")


def _tell(service: SomebodyElses, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.kill(service.pid, number)


def _stop(service: SomebodyElses) -> None:
    _tell(service, signal.SIGKILL)
    _until(lambda: not _is_alive(service.pid), "waited for it to end")


def main(word: str, folder: str, port: str, name: str) -> None:
    """Do what the script is asked for."""
    service = SomebodyElses(Path(folder), int(port), name)
    if word != "serve":
        with (service.folder / "asked").open("a") as asked:
            asked.write(f"{word}\n")
    match word:
        case "serve":
            _serve(service.port, service.name)
        case "start":
            _start(service)
        case "stop":
            _stop(service)
        case "pause":
            _tell(service, signal.SIGSTOP)
        case "resume":
            _tell(service, signal.SIGCONT)
        case "status":
            sys.exit(0 if _is_alive(service.pid) else 3)  # as `systemctl is-active` says it
        case "break":
            sys.stdout.write("the disk is on fire\n")
            sys.exit(7)


if __name__ == "__main__":
    main(*sys.argv[1:])
