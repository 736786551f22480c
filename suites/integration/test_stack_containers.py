"""What only containers are held to: an engine that is not there or refuses, labels, the meter, sudden death."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.clock import SystemClock, is_met_within
from harness.errors import StackError
from harness.faults.guardian import guarded
from harness.faults.healing import heal
from harness.faults.ledger import Ledger, read_ledger
from harness.stack import meter
from harness.stack.backends import engine
from harness.stack.backends.choice import AUTO, CONTAINERS, EMBEDDED, Choice, choose, prepare, standing
from harness.stack.ports import reserve
from suites.support.servers import PROJECT, workspace_for
from suites.support.stack import DUMMY, OF_DUMMIES, need_containers

CLOCK = SystemClock()


def marked(run_id):
    """Name what carries a run's label."""
    client = engine.connect()
    try:
        filters = {"label": f"{engine.RUN_LABEL}={run_id}"}
        found = [
            *client.containers.list(all=True, filters=filters, ignore_removed=True),
            *client.networks.list(filters=filters),
        ]
        return sorted(each.name for each in found)
    finally:
        client.close()


@contextmanager
def engine_that_says(status, message):
    """An engine that is alive, and refuses everything but a ping with one sentence."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self):
            is_knock = self.path.endswith("_ping") or self.path.endswith("/version")
            self._answer(200 if is_knock else status, {"ApiVersion": "1.41"} if is_knock else {"message": message})

        def do_POST(self):
            self.do_GET()

        def _answer(self, code, body):
            said = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_):
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_no_engine_is_said_with_its_address(monkeypatch, tmp_path):
    """And `auto` takes local processes, and says why in one line."""
    where = f"unix://{tmp_path}/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", where)

    with pytest.raises(StackError, match="no Docker engine answers") as caught:
        engine.connect()

    assert where in str(caught.value)
    assert "--backend embedded" in str(caught.value)
    choice = choose(AUTO, DUMMY, PROJECT)
    assert (choice.backend, str(choice)) == (EMBEDDED, "backend: embedded, no Docker engine answers")


@pytest.mark.parametrize("where", ["ssh://build@elsewhere.example", "tcp://192.0.2.1:2375"])
def test_an_engine_on_another_machine_is_not_taken(monkeypatch, where):
    """Its loopback is not ours; and nothing is pressed that is not here."""
    monkeypatch.setenv("DOCKER_HOST", where)

    choice = choose(AUTO, DUMMY, PROJECT)

    assert choice.backend == EMBEDDED
    assert "the Docker engine is on another machine" in choice.why
    with pytest.raises(StackError, match="another machine"):
        prepare(Choice(CONTAINERS, "as asked for"), DUMMY, PROJECT, lambda _said: None)


ASKED_BY_NOBODY = """
import os, sys
from harness.errors import StackError
from harness.stack.backends import engine
os.setgid(65534); os.setuid(65534)
try:
    engine.connect(sys.argv[1])
except StackError as error:
    print(error.what, "|", error.fix)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody who may not")
def test_an_engine_that_may_not_be_used_is_told_from_none():
    """The socket is there, and somebody else's."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        Path(folder).chmod(0o755)  # the way to it is open
        path = Path(folder) / "docker.sock"
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o600)
        said = subprocess.run(
            [sys.executable, "-c", ASKED_BY_NOBODY, f"unix://{path}"],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert "may not be used by this user | join the group" in said.stdout, said.stderr


def test_a_full_disk_is_said_with_what_to_do():
    """The engine's own words, and the command that shows what takes the room."""
    with engine_that_says(500, "write /var/lib/docker/tmp/x: no space left on device") as where:
        client = engine.connect(where)
        with pytest.raises(StackError, match="no space left on device") as caught:
            engine.remove_all_of("nobody", client)
        client.close()

    assert "docker system df" in str(caught.value)


def test_a_conflict_is_no_error_where_it_is_what_was_wanted():
    """Removing what is being removed; anything else travels on."""
    with engine_that_says(409, "removal is already in progress") as where:
        client = engine.connect(where)
        with engine.unless_it_is_so():
            client.containers.list()
        client.close()
    with engine_that_says(500, "broken") as where:
        client = engine.connect(where)
        with pytest.raises(StackError, match="broken"), engine.speaking("list"), engine.unless_it_is_so():
            client.containers.list()
        client.close()


def test_the_meter_counts_what_is_open_and_forgets_what_has_ended():
    """Byte for byte, as the kernel does; what has ended is the proxy's to count."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server, _ = listener.accept()
            with server:
                client.sendall(b"x" * 12_345)
                received = 0
                while received < 12_345:
                    received += len(server.recv(1 << 16))
                counted = meter.received_bytes()
                assert counted[str(port)] == counted[f"127.0.0.1:{port}"] == 12_345
                client.shutdown(socket.SHUT_WR)
                assert server.recv(1) == b""
                assert not {str(port), f"127.0.0.1:{port}"} & meter.received_bytes().keys()


def test_bytes_on_a_connection_that_stays_open_are_counted(backend, stack):
    """As a pool's are: nobody closes it while one watches; and once it ends they are not counted twice."""
    edge = next(each for each in stack.edges if each.name == "replica-2.redis")
    before = stack.proxy.crossed_bytes(edge.name)
    with socket.create_connection((edge.listen.host, edge.listen.port), timeout=5) as client:
        for number in range(1, 4):
            client.sendall(b"PING\r\n")
            assert client.recv(64) == b"+PONG\r\n"
            assert stack.proxy.crossed_bytes(edge.name) - before == 6 * number

    assert is_met_within(lambda: stack.proxy.crossed_bytes(edge.name) - before == 18, deadline_s=2, clock=CLOCK)


def test_a_meter_that_is_gone_is_an_error(backend, stack):
    """Bytes that nobody counted must not look like no bytes, or like some."""
    if backend != CONTAINERS:
        pytest.skip("our own proxy counts for itself")
    dead = type(stack.proxy._open_bytes)(reserve(), stack.proxy._open_bytes.ports)

    with pytest.raises(StackError, match="the meter does not answer"):
        dead("replica-1.redis")


def test_only_what_carries_the_label_is_removed(ledger):
    """Another run's network stays, whatever else is healed; and healing twice is harmless."""
    need_containers()
    client = engine.connect()
    mine = client.networks.create(f"readiness-{ledger.run_id}", labels={engine.RUN_LABEL: ledger.run_id})
    other = client.networks.create(f"readiness-{ledger.run_id}-other", labels={engine.RUN_LABEL: "somebody-else"})
    ledger.note("containers", ledger.run_id, engine=engine.address())
    try:
        assert heal(read_ledger(ledger.path)) == [f"removed network {mine.name}"]
        assert heal(read_ledger(ledger.path)) == []
        assert [each.name for each in client.networks.list(names=[other.name])] == [other.name]
    finally:
        other.remove()
        client.close()


HOLD = """
import os, signal, sys
from pathlib import Path
from suites.support.servers import workspace_for
from suites.support.stack import OF_DUMMIES
from harness.clock import SystemClock
from harness.faults.guardian import guarded
from harness.faults.ledger import Ledger
from harness.stack.backends import engine
from harness.stack.backends.choice import CONTAINERS, standing
folder, run_id = Path(sys.argv[1]), sys.argv[2]
ledger = Ledger(folder / "ledger.jsonl", run_id)
with guarded(ledger.path), workspace_for(folder, run_id) as workspace:
    ledger.note("folder", "work", path=str(workspace.work))
    ledger.note("containers", run_id, engine=engine.address())
    with standing(CONTAINERS, OF_DUMMIES, workspace=workspace, clock=SystemClock()) as stack:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_guardian_removes_what_a_killed_run_left(tmp_path):
    """Within ten seconds of a SIGKILL: no container, no network, no folder."""
    need_containers()
    run_id = f"killed-{os.getpid()}"
    subprocess.run([sys.executable, "-c", HOLD, str(tmp_path), run_id], cwd=PROJECT, check=False)

    assert is_met_within(lambda: not marked(run_id), deadline_s=10, clock=CLOCK), marked(run_id)
    log = tmp_path / "guardian.log"
    assert is_met_within(lambda: f"removed network readiness-{run_id}" in log.read_text(), deadline_s=5, clock=CLOCK)
    assert log.read_text().count("removed container") == 12


def test_a_container_that_dies_under_way_is_seen(tmp_path):
    """Somebody removes it behind our back: it is dead, and nothing raises."""
    need_containers()
    with (
        workspace_for(tmp_path) as workspace,
        standing(CONTAINERS, OF_DUMMIES, workspace=workspace, clock=CLOCK) as stack,
    ):
        client = engine.connect()
        client.containers.get(f"{workspace.work.name}-redis").remove(force=True)
        client.close()
        redis = stack.services["redis"]

        assert not redis.is_alive()
        assert not redis.is_ready()
        assert redis.logs() == ""
        redis.kill()


def test_a_ledger_whose_engine_is_gone_says_so(tmp_path):
    """`readiness heal` must not call done what it could not look at."""
    path = Path(tmp_path / "ledger.jsonl")
    ledger = Ledger(path, "lost")
    ledger.note("containers", "lost", engine=f"unix://{tmp_path}/nowhere.sock")

    with pytest.raises(Exception, match="no Docker engine answers"):
        heal(read_ledger(path))
    with guarded(path):
        pass
    assert "no Docker engine answers" in path.with_name("guardian.log").read_text()
