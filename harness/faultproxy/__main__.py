"""The command line: `python -m harness.faultproxy -host 127.0.0.1 -port 8474`; flags as Toxiproxy's."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING

from harness.faultproxy.address import bind, bound_text, resolve
from harness.faultproxy.api import TOXIPROXY_VERSION, Api
from harness.faultproxy.errors import AddressError, StartError
from harness.faultproxy.httpd import HttpConnection
from harness.faultproxy.log import log
from harness.faultproxy.options import Options
from harness.faultproxy.registry import Registry

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop.

    Returns:
        0 after an orderly end, 1 if the program could not start.
    """
    flags = _flags().parse_args(arguments)
    _allow_many_descriptors()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(flags))
    except StartError as error:
        sys.stderr.write(f"faultproxy cannot start: {error}\n")
        return 1
    return 0


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m harness.faultproxy", description="A TCP fault proxy that speaks Toxiproxy's API."
    )
    parser.add_argument("-host", default="localhost", help="where the API listens (default %(default)s)")
    parser.add_argument("-port", default="8474", help="0 for any free port, named in the log (default %(default)s)")
    parser.add_argument("-seed", type=int, help="repeats every random choice of an earlier run")
    parser.add_argument("-exit-with-parent", action="store_true", help="end when standard input ends")
    return parser


async def _serve(flags: argparse.Namespace) -> None:
    seed = int.from_bytes(os.urandom(4)) if flags.seed is None else flags.seed
    registry = Registry(Options(seed=seed))
    stopped = _stop_signals(watch_parent=flags.exit_with_parent)
    listener = await _bind_api(f"{flags.host}:{flags.port}")
    log("info", "Starting Toxiproxy", version=TOXIPROXY_VERSION, seed=seed)
    server = await asyncio.get_running_loop().create_server(
        functools.partial(HttpConnection, Api(registry).answer), sock=listener
    )
    host, port = listener.getsockname()[:2]
    log("info", "Starting Toxiproxy HTTP server", address=bound_text(listener), host=host, port=port)
    await stopped.wait()
    log("info", "Shutting down")
    server.close()
    registry.stop()


async def _bind_api(wanted: str) -> socket.socket:
    """Listen for the API; unlike the original, no API means no program."""
    try:
        return bind(await resolve(wanted))
    except AddressError as error:
        raise StartError(f"{error} (choose another -port, or 0 for any free one)") from error


def _stop_signals(*, watch_parent: bool) -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    if watch_parent:
        threading.Thread(target=_await_end_of_input, args=(loop, stopped.set), daemon=True).start()
    return stopped


def _await_end_of_input(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    # On the descriptor, not on sys.stdin, whose lock would hold up the interpreter's exit.
    while os.read(0, 4096):
        continue
    with contextlib.suppress(RuntimeError):  # the loop may have ended first
        loop.call_soon_threadsafe(stop)


def _allow_many_descriptors() -> None:
    """Raise the soft limit to the hard one: every connection takes two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS calls its hard limit infinite and refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, or `None` for asyncio's own loop where uvloop is absent."""
    try:
        import uvloop  # noqa: PLC0415  # optional: it has no wheel for Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
