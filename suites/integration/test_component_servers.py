"""Components as clients of theirs see them, and what they must not leave behind."""

from __future__ import annotations

import os
import secrets
import shutil
import smtplib
import socket
import subprocess

import psutil
import pytest

from harness.errors import MissingError
from harness.spec.system import Part
from harness.stack.backends.process import RUN_MARK
from harness.stack.components import COMPONENTS, rabbitmq
from harness.testing import started
from suites.support.servers import workspace_for


def test_mail_is_taken_from_a_client():
    """By a whole session, as a service sends it."""
    with started(COMPONENTS["smtp"], name="mail") as service:
        with smtplib.SMTP(service.direct.host, service.direct.port, timeout=5) as client:
            refused = client.sendmail(
                "me@shop.test", ["you@shop.test"], "Subject: hello\r\n\r\nYour order is on its way.\r\n"
            )
        assert service.version().startswith("Python SMTP")

    assert refused == {}


def test_what_is_asked_of_the_erlang_of_a_node_starts_no_daemon(tmp_path):
    """RabbitMQ starts such an Erlang once a minute, for epmd to be there: it has a name, and would start one for it."""
    erl = shutil.which("erl")
    if erl is None:
        pytest.skip("there is no erl")
    with socket.create_server(("127.0.0.1", 0)) as taken:  # nobody's epmd is at a port of our own
        free = str(taken.getsockname()[1])
    with workspace_for(tmp_path) as workspace:
        told = rabbitmq.local("mq", tmp_path, workspace).environment
        mark = f"test-{secrets.token_hex(4)}"
        environment = {"PATH": os.environ["PATH"], **told, RUN_MARK: mark, "ERL_EPMD_PORT": free}
        subprocess.run(
            [erl, "-sname", "epmd-starter", "-noinput", "-s", "erlang", "halt"], env=environment, check=True, timeout=30
        )

    assert [each.name() for each in psutil.process_iter() if _carries(each, mark)] == []


def _carries(process, mark):
    try:
        return process.environ().get(RUN_MARK) == mark
    except psutil.Error:
        return False


def test_a_program_that_is_asked_nothing_is_ready_when_it_accepts(tmp_path):
    """And not before; what it is called is its command."""
    serving = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
    part = Part(command=("python", "-c", serving, "{port}"))
    with started(COMPONENTS["tcp"].of(part), name="deaf", project=tmp_path) as service:
        assert service.round_trip_s(service.direct) > 0
        assert service.version().startswith("tcp: python -c")
        service.kill()
        with pytest.raises(ConnectionRefusedError):
            service.round_trip_s(service.direct)


def test_one_that_says_something_else_is_not_ready(tmp_path):
    """It accepts and answers, and so a port that somebody else has taken is not mistaken for it."""
    serving = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True: c, _ = s.accept(); c.recv(4); c.sendall(b'-LOADING'); c.close()"
    )
    told = {"command": ("python", "-c", serving, "{port}"), "asks": "PING"}
    with started(COMPONENTS["tcp"].of(Part(says="LOADING", **told)), name="ledger", project=tmp_path) as service:
        assert service.is_ready()
        assert not COMPONENTS["tcp"].of(Part(says="PONG", **told)).probe.is_answering(service.direct)


def test_the_root_of_mariadb_writes_and_reads():
    """Through the plain protocol, in the database that is there at the start."""
    mysql = pytest.importorskip("harness.stack.components.mysql")
    try:
        with started(COMPONENTS["mysql"], name="shop") as service:
            commands = ["USE app", "CREATE TABLE t (n INT)", "INSERT INTO t VALUES (41)", "SELECT n + 1 FROM t"]
            with socket.create_connection((service.direct.host, service.direct.port), timeout=5) as connection:
                connection.sendall(mysql.session(*(b"\x03" + command.encode() for command in commands)))
                with connection.makefile("rb") as said:
                    packets = list(mysql.packets(said.read()))
    except MissingError as error:
        pytest.skip(error.what)

    assert [packet[:1] for packet in packets[1:5]] == [b"\0"] * 4
    assert b"\x0242" in packets
