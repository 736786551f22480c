"""What is counted: connections once, and bytes to the byte, by the kernel where it does (Linux) or by us."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys

import pytest

from harness.faultproxy import endpoint
from harness.faultproxy.counting import is_counted_by_kernel, read_bytes
from harness.faultproxy.program import Program
from harness.faultproxy.registry import Registry, Wish
from harness.faultproxy.toxic import Toxic
from harness.faultproxy.toxics.noop import Noop
from suites.support.faultproxy import DEADLINE_S, address_of, reset_now, wait_until

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what it has counted")


@pytest.fixture
def pair():
    """Both ends of a TCP connection."""
    with contextlib.ExitStack() as leaving:
        listener = leaving.enter_context(socket.create_server(("127.0.0.1", 0)))
        sender = leaving.enter_context(socket.create_connection(listener.getsockname(), timeout=DEADLINE_S))
        reader = leaving.enter_context(listener.accept()[0])
        reader.settimeout(DEADLINE_S)
        yield sender, reader


@on_linux
def test_kernel_is_asked_whether_it_counts():
    """It does, on every Linux that people run this on."""
    assert is_counted_by_kernel()


@on_linux
def test_kernel_counts_what_was_read_not_what_has_arrived(pair):
    """Bytes that wait in the kernel do not count yet, and an end is not a byte, read or not."""
    sender, reader = pair
    assert read_bytes(reader, is_ended=False) == 0
    sender.sendall(b"12345")
    reader.recv(2)
    assert read_bytes(reader, is_ended=False) == 2
    sender.close()
    wait_until(lambda: reader.recv(9, socket.MSG_PEEK) == b"345", "all of it is there")

    assert read_bytes(reader, is_ended=False) == 2
    reader.recv(3)
    assert read_bytes(reader, is_ended=False) == 5
    assert reader.recv(1) == b""
    assert read_bytes(reader, is_ended=True) == 5


@on_linux
def test_kernel_remembers_after_a_reset(pair):
    """What was read before it."""
    sender, reader = pair
    sender.sendall(b"12345")
    reader.recv(5)
    reset_now(sender)
    with pytest.raises(ConnectionResetError):
        reader.recv(1)

    assert read_bytes(reader, is_ended=False) == 5


@pytest.fixture(params=[pytest.param(True, marks=on_linux), False], ids=["kernel", "us"])
async def proxied(request, monkeypatch):
    """A proxy in this process, counting one way or the other; its listening address and the upstream behind it."""
    monkeypatch.setattr(endpoint, "is_counted_by_kernel", lambda: request.param)
    registry = Registry(Program())
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        upstream.setblocking(False)
        address = "{}:{}".format(*upstream.getsockname())
        yield await registry.create(Wish("a", "127.0.0.1:0", address, is_enabled=True, toxics=())), upstream
        registry.stop()
        await moment(lambda: not registry.get("a").connections)


async def moment(condition) -> None:
    """Let the loop run until `condition` holds."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await asyncio.sleep(0.001)
            if condition():
                return


async def travel(proxied):
    """Connect through the proxy; return the client's end, the server's, and the connection."""
    proxy, upstream = proxied
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    await loop.sock_connect(client, address_of(proxy.listen))
    server, _ = await loop.sock_accept(upstream)
    server.setblocking(False)
    await moment(lambda: proxy.connections)
    return client, server, next(iter(proxy.connections))


async def test_nothing_of_ours_runs_for_a_byte(proxied):
    """Without toxics, what arrives is handed to the other side's transport itself, where the kernel counts."""
    client, server, connection = await travel(proxied)
    with client, server:
        writes = (connection.server.transport.write, connection.client.transport.write)

        are_direct = (connection.client.data_received, connection.server.data_received) == writes
        assert are_direct == endpoint.is_counted_by_kernel()


async def test_a_connection_counts_once_when_it_opens(proxied, monkeypatch):
    """A limit of two lets two in, however closely they follow each other."""
    proxy, _ = proxied
    seen = []
    monkeypatch.setattr(proxy.program.events, "note", lambda kind, **_: seen.append((kind, proxy.open_count)))
    client, server, _ = await travel(proxied)
    with client, server:
        assert seen == [("connection_opened", 1)]
        assert proxy.open_count == 1


@pytest.mark.parametrize("ending", ["fin", "reset", "cut"])
async def test_bytes_are_counted_to_the_byte(proxied, ending):
    """Before a toxic, under it and after it; while the connection is open, and however it ends."""
    proxy, _ = proxied
    loop = asyncio.get_running_loop()
    client, server, _ = await travel(proxied)
    toxic = Toxic("t", "noop", "upstream", Noop())
    with client, server:
        for number, act in enumerate((None, proxy.add_toxic, proxy.remove_toxic), start=1):
            if act:
                act(toxic)
            await loop.sock_sendall(client, b"12345")
            await loop.sock_recv(server, 5)
            await loop.sock_sendall(server, b"123")
            await loop.sock_recv(client, 3)
            assert proxy.moved_bytes("upstream") == (5 * number, 5 * number)
            assert proxy.moved_bytes("downstream") == (3 * number, 3 * number)

        {"fin": client.close, "reset": lambda: reset_now(client), "cut": proxy.cut_connections}[ending]()
        server.close()
        await moment(lambda: not proxy.connections)

    assert proxy.moved_bytes("upstream") == (15, 15)
    assert proxy.moved_bytes("downstream") == (9, 9)
