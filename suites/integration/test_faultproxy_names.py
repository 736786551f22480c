"""How the fault proxy looks names up: what a name server keeps waiting keeps nothing else waiting."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import subprocess
import sys
import threading

import pytest

from harness.faultproxy import names
from harness.faultproxy.errors import AddressError
from harness.faultproxy.names import MAX_WAITING, look_up
from suites.support.faultproxy import DEADLINE_S, Road, Server, how_it_ended, ready_port

# More than any loop looks up at a time.
MANY = 50
# A program whose name server never says anything about names that begin with "silent".
WITH_A_SILENT_SERVER = """
import socket, sys, time
ask = socket.getaddrinfo
def silent(host, *more, **options):
    return time.sleep(600) if str(host).startswith("silent") else ask(host, *more, **options)
socket.getaddrinfo = silent
from harness.faultproxy.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def name_server(monkeypatch):
    """A name server that says nothing about `silent…` until it is told to, then that there is no such name."""
    is_over, asked = threading.Event(), []

    def answer(host, *_, **__):
        asked.append(host)
        if host.startswith("silent"):
            is_over.wait(DEADLINE_S)
        if host.endswith("known.example"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{last}", 0)) for last in (1, 1, 2)]
        raise socket.gaierror("no such name")

    monkeypatch.setattr(names.socket, "getaddrinfo", answer)
    yield is_over, asked
    is_over.set()


@pytest.fixture
def hosts(monkeypatch, tmp_path):
    """A hosts file."""
    path = tmp_path / "hosts"
    path.write_text("# ::9 nobody\n127.0.0.1 localhost Box\n\n::1 localhost # box\n192.0.2.7\tdb db.local\n")
    monkeypatch.setattr(names, "HOSTS_FILE", path)


async def soon(waiting):
    """Return what is there in time."""
    async with asyncio.timeout(DEADLINE_S / 2):
        return await waiting


async def test_names_that_hang_hold_up_no_other(name_server, hosts):
    """Literals and what the machine itself knows need no name server; another name has a thread of its own."""
    is_over, asked = name_server
    hanging = [asyncio.create_task(look_up(f"silent-{number}")) for number in range(MANY)]
    await asyncio.sleep(0)

    assert await soon(look_up("127.0.0.1")) == ("127.0.0.1",)
    assert await soon(look_up("::1")) == ("::1",)
    assert await soon(look_up("localhost")) == ("127.0.0.1", "::1")
    assert await soon(look_up("BOX.")) == ("127.0.0.1",)
    assert await soon(look_up("db.local")) == ("192.0.2.7",)
    assert await soon(look_up("known.example")) == ("192.0.2.1", "192.0.2.2")
    assert set(asked) - {"known.example"} <= {f"silent-{number}" for number in range(MANY)}
    assert not any(task.done() for task in hanging)

    is_over.set()
    for outcome in await soon(asyncio.gather(*hanging, return_exceptions=True)):
        assert isinstance(outcome, AddressError)


@pytest.mark.parametrize("host", ["nobody", "9", "x" * 64])
async def test_unknown_names_are_refused_as_go_refuses(name_server, hosts, host):
    """What stands behind a `#` in the hosts file is no name, and neither is a number."""
    with pytest.raises(AddressError) as refused:
        await look_up(host)

    assert str(refused.value) == f"lookup {host}: no such host"


async def test_localhost_needs_no_hosts_file(name_server, monkeypatch, tmp_path):
    """It is this machine wherever that file is missing."""
    monkeypatch.setattr(names, "HOSTS_FILE", tmp_path / "missing")

    assert await look_up("localhost") == ("127.0.0.1", "::1")


async def test_one_question_is_enough_for_all_who_ask(name_server, hosts):
    """And the first of them who gives up takes the answer from no other."""
    is_over, asked = name_server
    first, *others = [asyncio.create_task(look_up("silent.known.example")) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    is_over.set()

    assert await soon(asyncio.gather(*others)) == [("192.0.2.1", "192.0.2.2")] * 2
    assert first.cancelled()
    assert asked == ["silent.known.example"]
    assert not names._waiting


async def test_an_answer_that_nobody_waits_for_any_more_is_no_noise(name_server, hosts):
    """Not even in the end: no "exception was never retrieved"."""
    is_over, _ = name_server
    noise = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    waiting = asyncio.create_task(look_up("silent"))
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    del waiting
    is_over.set()
    async with asyncio.timeout(DEADLINE_S):
        while names._waiting:  # noqa: ASYNC110 - a thread takes it out
            await asyncio.sleep(0.001)
    gc.collect()
    await asyncio.sleep(0)

    assert noise == []


async def test_too_many_names_are_refused(name_server, hosts):
    """Beyond a limit, at once; what waits goes on waiting, and may be asked for again."""
    is_over, _ = name_server
    hanging = [asyncio.create_task(look_up(f"silent-{number}")) for number in range(MAX_WAITING)]
    again = asyncio.create_task(look_up("silent-0"))
    await asyncio.sleep(0)

    with pytest.raises(AddressError, match=f"lookup one-more: {MAX_WAITING} other names are waited for"):
        await look_up("one-more")
    assert not again.done()
    is_over.set()
    await soon(asyncio.gather(*hanging, again, return_exceptions=True))


def test_program_goes_on_while_names_hang():
    """API, other proxies and the end of it, with a client at each of twenty names that never come; without a word."""
    command = [sys.executable, "-c", WITH_A_SILENT_SERVER, "-host", "127.0.0.1", "-port", "0", "-dial-timeout", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process, contextlib.ExitStack() as leaving:
        server = Server("ours", ready_port(process), process)
        roads = [leaving.enter_context(Road(server, name=f"road-{number}")) for number in range(20)]
        for number, road in enumerate(roads):
            server.must("PATCH", f"/proxies/{road.name}", {"upstream": f"silent-{number}:1"})
        clients = [road.connect() for road in roads]
        with Road(server, name="here", listen="localhost:0") as road:
            port = road._upstream.getsockname()[1]
            server.must("PATCH", "/proxies/here", {"upstream": f"localhost:{port}"})
            client, upstream = road.travel()
            client.sendall(b"hello")
            assert upstream.recv(5) == b"hello"
        assert {how_it_ended(client) for client in clients} == {"fin"}
        failed = [event for event in server.must("GET", "/events")["events"] if event["kind"] == "dial_failed"]
        assert [event["error"] for event in failed] == ["no answer within 1 s"] * 20
        process.terminate()
        process.wait(DEADLINE_S)
        said = process.stderr.read()

    assert (process.returncode, said) == (0, b"")
