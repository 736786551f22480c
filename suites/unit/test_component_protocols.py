"""What components say on the wire, read without a server: packets of MySQL, frames of AMQP, and what is told to each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import MissingError
from harness.spec.system import Part
from harness.stack.components import COMPONENTS, mysql, rabbitmq, tcp
from harness.stack.program import Program, PythonModule
from harness.stack.service import Address
from suites.support.servers import workspace_for

AT = Address("127.0.0.1", 4000)


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(0, 300))
def test_packets_of_mysql_are_read_as_far_as_they_are_whole(bodies, length):
    """Each has its length in three bytes and a number; what is cut is left out, and no more."""
    said = b"".join(mysql._packet(number, body) for number, body in enumerate(bodies))
    ends = [sum(4 + len(body) for body in bodies[: count + 1]) for count in range(len(bodies))]

    assert list(mysql.packets(said[:length])) == [body for body, end in zip(bodies, ends, strict=True) if end <= length]


@given(st.integers(0, 200))
def test_frames_of_amqp_are_read_as_far_as_they_are_whole(length):
    """Only those of methods count; what does not end as a frame does is none, and nor is what comes after it."""
    heartbeat = b"\x08\0\0\0\0\0\0\xce"
    said = rabbitmq._frame(41, b"") + heartbeat + rabbitmq._frame(51, b"more")
    first, last = 12, 12 + 8 + 16
    expected = [method for method, end in (((10, 41), first), ((10, 51), last)) if end <= length]

    assert len(said) == last
    assert list(rabbitmq.methods(said[:length])) == expected
    assert list(rabbitmq.methods(said[: first - 1] + b"\0" + said[first:])) == []


def test_a_session_of_amqp_begins_with_its_header_and_ends_with_a_goodbye():
    """Start-Ok, Tune-Ok, Open, Close, in that order: the server reads them one after the other."""
    header, frames = rabbitmq.SESSION[:8], rabbitmq.SESSION[8:]

    assert header == b"AMQP\0\0\x09\x01"
    assert list(rabbitmq.methods(frames)) == [(10, 11), (10, 31), (10, 40), (10, 50)]
    assert b"\0guest\0guest" in frames


@pytest.mark.parametrize(
    ("said", "version"),
    [
        (b"\x075.5.5-10.11.19-MariaDB-0+deb12u1\0rest", "MariaDB 10.11.19"),
        (b"\n8.4.3\0rest", "MySQL 8.4.3"),
    ],
)
def test_a_greeting_of_mysql_says_its_version(monkeypatch, said, version):
    """Without the 5.5.5 that MariaDB puts before its own."""
    monkeypatch.setattr(mysql, "_said", lambda _: mysql._packet(0, said))

    assert mysql.version(AT) == version


@pytest.mark.parametrize(
    ("said", "is_well"),
    [
        ([b"\ngreeting", b"\0\0", b"\0\0"], True),
        ([b"\ngreeting", b"\xff denied"], False),
        ([b"\ngreeting", b"\0\0", b"\xff gone"], False),
        ([b"\ngreeting", b"\0\0"], False),
    ],
)
def test_mariadb_is_well_when_it_lets_in_and_answers(monkeypatch, said, is_well):
    """A greeting alone is what it says while it still refuses everybody, too."""
    monkeypatch.setattr(mysql, "_said", lambda _: b"".join(mysql._packet(0, body) for body in said))

    assert mysql.is_answering(AT) is is_well


def test_two_servers_of_a_kind_share_nothing(tmp_path):
    """A node's name, its cookie's folder, its data, its port."""
    with workspace_for(tmp_path) as workspace:
        first, second = (rabbitmq.local(name, Path("/x"), workspace).environment for name in ("first", "second"))

    same = {name for name in first if first[name] == second[name]}
    assert same == {"RABBITMQ_LOGS", "RABBITMQ_DIST_PORT", "RABBITMQ_ALLOW_INPUT", "ERL_AFLAGS"}


@pytest.mark.parametrize(
    ("manners", "question", "long", "greets"),
    [
        ({}, b"", None, False),
        ({"says": "220 "}, b"", None, True),
        ({"asks": "A", "says": "BB"}, b"A", None, False),
        ({"asks": "A", "says": "BB", "ends": "Q"}, b"A", b"AAAQ", False),
    ],
)
def test_any_program_is_known_by_what_is_said_of_it(manners, question, long, greets):
    """Five bytes of answers of two are three questions, and then the end."""
    probe = COMPONENTS["tcp"].of(Part(command=("x", "{port}"), **manners)).probe

    assert (probe.question, probe.greets) == (question, greets)
    assert (probe.long_question and probe.long_question(5)) == long


def test_a_program_of_the_project_is_found_below_it(tmp_path):
    """And one that is not there is told, as is one that nothing names."""
    program = tmp_path / "ledger"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert tcp.ProjectProgram(name="./ledger").find(tmp_path) == program
    with pytest.raises(MissingError, match=r"there is no \./ledgr"):
        tcp.ProjectProgram(name="./ledgr").find(tmp_path)
    with pytest.raises(MissingError, match="told nothing to run"):
        COMPONENTS["tcp"].program.find(tmp_path)


def test_a_server_is_looked_for_where_its_distribution_hides_it(tmp_path, monkeypatch):
    """There first, then on PATH; a package that is not installed is told with how to have it."""
    for place in ("hidden", "path"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "serverd").write_text("")
        (tmp_path / place / "serverd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))

    assert Program(name="serverd", folders=(str(tmp_path / "hidden"),)).find() == tmp_path / "hidden/serverd"
    assert Program(name="serverd", folders=(str(tmp_path / "no"),)).find() == tmp_path / "path/serverd"
    with pytest.raises(MissingError, match=r"there is no nosuchmodule[\s\S]*pip install it"):
        PythonModule(name="nosuchmodule", fix="pip install it").find()
