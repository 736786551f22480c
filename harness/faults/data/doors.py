"""Asking Redis and PostgreSQL through an edge, byte by byte: so that the harness's own looks can be told from traffic.

A client library greets a server in words of its own, and how many they are changes with its version. What is asked here
is known to the byte, as `Service.question` is.
"""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from harness.stack.components.postgres import DATABASE, USER
from harness.stack.service import SERVICE_ANSWERS_WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.stack.service import Address, Edge
    from harness.stack.stack import Stack


@dataclass(frozen=True, slots=True)
class Answer:
    """What PostgreSQL said to one question.

    Attributes:
        rows: Of all its statements, as text.
        refused: The code (SQLSTATE) of the error that ended it, be it while connecting; None if there was none.
    """

    rows: tuple[tuple[str | None, ...], ...]
    refused: str | None


def ask_redis(stack: Stack, edge: Edge, command: str, *, within_s: float = SERVICE_ANSWERS_WITHIN_S) -> str:
    """Ask Redis one command through `edge`; return its answer as text, errors with their `-`.

    Raises:
        OSError: If there is no answer; TimeoutError, which is one, if there is none within `within_s`.
    """
    question = f"{command}\r\n".encode()
    with _conversation(edge.listen, within_s) as (connection, answers):
        try:
            connection.sendall(question)
            answer = _redis_answer(answers)
        except TimeoutError:
            stack.proxy.note_question(edge.name, len(question))
            raise
    stack.proxy.note_question(edge.name, len(question))
    return answer


def _redis_answer(answers: IO[bytes]) -> str:
    """Read a line, or the text that a line announces. Source: Redis serialization protocol specification, RESP2."""
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("it closed the connection without an answer")
    if line.startswith(b"$") and line != b"$-1\r\n":
        line = answers.read(int(line[1:]) + 2)
    return line.decode().rstrip("\r\n")


def ask_postgres(stack: Stack, edge: Edge, statements: str) -> Answer:
    """Ask PostgreSQL through `edge`, over a new connection, which trusts us as it does the judged service.

    Raises:
        OSError: If there is no answer.
    """
    greeting, query = _greeting(), _message(b"Q", statements.encode() + b"\0")
    sent_bytes = len(greeting)
    with _conversation(edge.listen, SERVICE_ANSWERS_WITHIN_S) as (connection, answers):
        try:
            connection.sendall(greeting)
            answer = _until_ready(answers)
            if answer.refused is None:
                connection.sendall(query)
                sent_bytes += len(query)
                answer = _until_ready(answers)
        except TimeoutError:
            stack.proxy.note_question(edge.name, sent_bytes)
            raise
    stack.proxy.note_question(edge.name, sent_bytes)
    return answer


def _greeting() -> bytes:
    """Return the startup message. Source: PostgreSQL 18, 54.7 Message Formats, StartupMessage of version 3.0."""
    said = b"".join(word.encode() + b"\0" for word in ("user", USER, "database", DATABASE, ""))
    return struct.pack("!II", 8 + len(said), 3 << 16) + said


def _message(kind: bytes, said: bytes) -> bytes:
    return kind + struct.pack("!I", 4 + len(said)) + said


def _until_ready(answers: IO[bytes]) -> Answer:
    """Read until the server is ready for the next question, or has said why it will not be."""
    rows, refused = list[tuple[str | None, ...]](), None
    while head := answers.read(5):
        kind, length = struct.unpack("!cI", head)
        said = answers.read(length - 4)
        if kind == b"D":
            rows.append(_row(said))
        elif kind == b"E":
            refused = {field[:1]: field[1:].decode() for field in said.split(b"\0") if field}[b"C"]
        elif kind == b"Z":
            return Answer(tuple(rows), refused)
    if refused is None:
        raise ConnectionError("it closed the connection without an answer")
    return Answer(tuple(rows), refused)


def _row(said: bytes) -> tuple[str | None, ...]:
    columns, at = list[str | None](), 2
    for _ in range(struct.unpack_from("!H", said)[0]):
        (length,) = struct.unpack_from("!i", said, at)
        at += 4
        columns.append(None if length < 0 else said[at : at + length].decode())
        at += max(length, 0)
    return tuple(columns)


@contextmanager
def _conversation(address: Address, within_s: float) -> Iterator[tuple[socket.socket, IO[bytes]]]:
    with socket.create_connection((address.host, address.port), timeout=within_s) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as answers:
            yield connection, answers
