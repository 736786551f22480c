"""The script by which the harness looks through a service's own doors: what passes it is what that service would meet."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from harness.clock import SystemClock, is_met_within
from harness.stack import doors
from harness.stack.conversation import converse
from harness.stack.ports import reserve
from harness.stack.service import Address


@pytest.fixture
def there():
    """What listens at the end of a door."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def door(there):
    """Where the script listens, once it does; there is another door beside it that leads nowhere."""
    at, nowhere = reserve(), reserve()
    leads = [f"{at.port}=localhost:{there.getsockname()[1]}", f"{nowhere.port}=127.0.0.1:{reserve().port}"]
    process = subprocess.Popen([sys.executable, "-I", doors.__file__, *leads])
    try:
        assert is_met_within(lambda: is_listening(nowhere), deadline_s=10, clock=SystemClock())
        yield at, nowhere
    finally:
        process.kill()
        process.wait()


def is_listening(at):
    try:
        socket.create_connection((at.host, at.port), timeout=1).close()
    except OSError:
        return False
    return True


def test_what_is_sent_arrives_and_each_side_ends_by_itself(there, door):
    """A question whose sender has ended is still answered."""
    at, _ = door
    with socket.create_connection((at.host, at.port), timeout=5) as client:
        client.sendall(b"question" * 50_000)
        client.shutdown(socket.SHUT_WR)
        server, _ = there.accept()
        with server, server.makefile("rb") as heard:
            assert heard.read() == b"question" * 50_000
            server.sendall(b"answer")
        with client.makefile("rb") as heard:
            assert heard.read() == b"answer"


def test_a_door_that_leads_nowhere_is_heard_as_a_reset(door):
    """Where the proxy does not listen, nothing is answered, and not for long."""
    _, nowhere = door

    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection((nowhere.host, nowhere.port), timeout=5) as client,
    ):
        client.sendall(b"x")
        client.recv(1)
        client.sendall(b"x")


def test_a_reset_comes_through(there, door):
    """And is told from an end."""
    at, _ = door
    with socket.create_connection((at.host, at.port), timeout=5) as client:
        client.sendall(b"x")
        server, _ = there.accept()
        assert server.recv(1) == b"x"
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, doors._LINGER_NONE)
        server.close()

        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_silence_is_silence(there, door):
    """Nothing is said in the place of what does not answer."""
    at, _ = door

    heard = converse(Address(at.host, at.port), b"x", within_s=0.3)

    assert (heard.ended, heard.length_bytes) == ("silent", 0)
