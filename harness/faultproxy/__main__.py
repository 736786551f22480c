"""The command line: `python -m harness.faultproxy -host 127.0.0.1 -port 8474`; flags as Toxiproxy's."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import signal
import sys
import threading
from typing import TYPE_CHECKING

from harness.faultproxy.address import BACKLOG, bind, bound_text, host_and_port, resolve
from harness.faultproxy.api import TOXIPROXY_VERSION, Api, read_wishes
from harness.faultproxy.errors import AddressError, ApiError, StartError
from harness.faultproxy.flags import read_flags
from harness.faultproxy.httpd import HttpConnection
from harness.faultproxy.log import DEFAULT_LEVEL, LEVELS, log
from harness.faultproxy.metrics import proxy_metrics, runtime_metrics
from harness.faultproxy.program import Program
from harness.faultproxy.registry import Registry
from harness.faultproxy.wire import decode

if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.faultproxy.registry import Wish


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop.

    Returns:
        0 after an orderly end, 1 if the program could not start.
    """
    _open_standard_streams()
    flags = read_flags(sys.argv[1:] if arguments is None else arguments)
    if flags.version:
        sys.stdout.write(f"toxiproxy-server version {TOXIPROXY_VERSION}\n")
        return 0
    _settle_log_level(default="trace" if flags.strict_compat else DEFAULT_LEVEL)
    _allow_many_descriptors()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(flags))
    except StartError as error:
        sys.stderr.write(f"faultproxy cannot start: {error}\n")
        return 1
    return 0


def _open_standard_streams() -> None:
    """Lead standard streams that the caller has closed nowhere, as Go does.

    Else a socket would get such a descriptor and, as standard output, the log; libuv aborts when it closes one.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # It becomes the lowest that is free: those below it are open by now.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _settle_log_level(default: str) -> None:
    wanted = os.environ.get("LOG_LEVEL", "")
    if wanted.lower() not in LEVELS:
        os.environ["LOG_LEVEL"] = default
    if wanted and wanted.lower() not in LEVELS:
        log("error", f'unknown LOG_LEVEL value: "{wanted}"')


async def _serve(flags: argparse.Namespace) -> None:
    program = _program(flags)
    registry = Registry(program)
    stopped = _stop_signals(watch_parent=flags.exit_with_parent)
    listener = await _bind_api(host_and_port(flags.host, flags.port), is_strict=program.is_strict)
    log("info", "Starting Toxiproxy", version=TOXIPROXY_VERSION, seed=program.seed)
    await _populate(registry, flags.config, is_strict=program.is_strict)
    api = Api(registry, _metrics(flags, registry), None if program.is_strict else program.events)
    async with contextlib.AsyncExitStack() as leaving:
        leaving.callback(registry.stop)
        if listener:
            server = await _answer_on(listener, api)
            leaving.callback(server.close)
        await stopped.wait()
        log("info", "Shutting down")


async def _answer_on(listener: socket.socket, api: Api) -> asyncio.Server:
    server = await asyncio.get_running_loop().create_server(
        functools.partial(HttpConnection, api.answer), sock=listener, backlog=BACKLOG
    )
    host, port = listener.getsockname()[:2]
    log("info", "Starting Toxiproxy HTTP server", address=bound_text(listener), host=host, port=port)
    return server


def _program(flags: argparse.Namespace) -> Program:
    seed = int.from_bytes(os.urandom(4)) if flags.seed is None else flags.seed
    return Program(seed=seed, dial_timeout_s=flags.dial_timeout, is_strict=flags.strict_compat)


def _metrics(flags: argparse.Namespace, registry: Registry) -> tuple[Callable[[], str], ...]:
    parts: list[Callable[[], str]] = []
    if flags.proxy_metrics:
        parts.append(lambda: proxy_metrics(registry.all(), registry.program.tally, is_strict=flags.strict_compat))
    if flags.runtime_metrics:
        parts.append(lambda: runtime_metrics(is_strict=flags.strict_compat))
    return tuple(parts)


async def _populate(registry: Registry, config: Path | None, *, is_strict: bool) -> None:
    """Create what the configuration lists; unlike the original, a configuration that cannot be had ends the program."""
    if config is None:
        return
    try:
        proxies = await registry.populate(_read_config(config, is_strict=is_strict))
    except (OSError, ApiError) as error:
        if not is_strict:
            raise StartError(f"{config}: {error}") from error
        log("error", "Failed to populate proxies from file", config=str(config), err=str(error))
    else:
        log("info", "Populated proxies from file", config=str(config), proxies=len(proxies))


def _read_config(config: Path, *, is_strict: bool) -> list[Wish]:
    return read_wishes(decode(config.read_bytes()), is_strict=is_strict)


async def _bind_api(wanted: str, *, is_strict: bool) -> socket.socket | None:
    """Listen for the API; unlike the original, no API means no program."""
    try:
        return bind(await resolve(wanted))
    except AddressError as error:
        if not is_strict:
            raise StartError(f"{error} (choose another -port, or 0 for any free one)") from error
        log("error", "Cannot listen for the API", err=str(error))
        return None


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
