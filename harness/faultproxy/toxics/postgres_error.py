"""`postgres_error`: PostgreSQL answers with a SQLSTATE of choice. An extension of ours."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub

# Transaction control and settings keep a session together; a failing server would hardly be asked for them.
CONTROL = {
    *("BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE"),
    *("SET", "RESET", "SHOW", "DEALLOCATE", "DISCARD"),
}
# Codes in place of a protocol version (PostgreSQL 18 documentation, 54.7 Message Formats).
SSL_REQUEST, GSSENC_REQUEST = 80877103, 80877104
# The server's own limit for a startup packet; more means TLS or no PostgreSQL at all.
MAX_STARTUP_BYTES = 10_000
# Messages that belong to a cycle of the extended protocol, which Sync ends.
PARSE, FLUSH, SYNC, QUERY = b"P", b"H", b"S", b"Q"
EXTENDED = (b"P", b"B", b"D", b"E", b"C", FLUSH)
# As much of a statement as is looked at for its first word.
PEEK_BYTES = 128


@dataclass(frozen=True, slots=True)
class PostgresError:
    """Let statements, or the start of sessions, fail with a SQLSTATE.

    A statement is exchanged on its way for one that raises the error, so the server itself ends the transaction and
    keeps answers in order. It works on the upstream stream, without TLS. A client that
    waits for an answer in the middle of a batch gets the error from here, and its transaction stays open.

    Attributes:
        sqlstate: Five characters, "40001" serialization_failure, "53300" too_many_connections, ...
        message: The text of the error.
        at: `query`, or `startup` to refuse new sessions (FATAL).
        statements: First words separated by blanks; only statements that begin so fail. Empty: all but transaction
            control and settings.
    """

    sqlstate: str = "40001"
    message: str = "injected by the fault proxy"
    at: str = "query"
    statements: str = ""

    def problem(self) -> str | None:
        """Refuse what PostgreSQL could not say."""
        if not re.fullmatch("[0-9A-Z]{5}", self.sqlstate) or self.sqlstate.startswith("00"):
            return "sqlstate must be five digits or capitals, and not of class 00"
        if self.at not in {"query", "startup"}:
            return "at must be query or startup"
        return None if self.message.isprintable() and "$" not in self.message else "message must be one line without $"

    def stage(self, stub: Stub) -> PostgresErrorStage:
        """Return the stage for one link."""
        return PostgresErrorStage(self, stub)

    def strikes(self, statement: str) -> bool:
        """Tell whether a statement fails; one whose text passed earlier is empty here."""
        words = statement.split(maxsplit=1)
        first = words[0].upper().rstrip(";") if words else ""
        return first in self.statements.upper().split() if self.statements else first not in CONTROL

    def instead(self) -> bytes:
        """Return the statement that raises the error, as a message."""
        text = self.message.replace("'", "''")
        raising = f"RAISE EXCEPTION USING ERRCODE = '{self.sqlstate}', MESSAGE = '{text}'"
        return message(QUERY, f"DO $fault$ BEGIN {raising}; END $fault$".encode() + b"\0")

    def response(self, severity: str) -> bytes:
        """Return the error as the server says it; FATAL when it refuses a session, ERROR otherwise."""
        fields = {"S": severity, "V": severity, "C": self.sqlstate, "M": self.message}
        return message(b"E", b"".join(f"{code}{text}\0".encode() for code, text in fields.items()) + b"\0")


def message(kind: bytes, body: bytes) -> bytes:
    """Return a message: its type, its length including the length itself, its body."""
    return kind + struct.pack("!i", len(body) + 4) + body


class PostgresErrorStage:
    """PostgreSQL errors on one link: messages are told apart as they pass, and held no longer than to read a word."""

    is_full = False

    def __init__(self, settings: PostgresError, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._unread = b""
        self._bytes_left = 0
        # A connection that was open before the toxic has its startup behind it.
        self._is_starting = not stub.was_open
        self._is_opaque = False
        self._is_swallowing = False
        self._is_struck_cycle = False
        self._is_in_cycle = False
        self._is_said = False

    def receive(self, data: bytes) -> None:
        """Read as far as the bytes reach."""
        self._unread += data
        while self._unread and self._step():
            continue

    def end(self) -> None:
        """Pass the end on, behind whatever was half a message."""
        self._stub.send(self._unread)
        self._stub.end()

    def retune(self, settings: PostgresError) -> None:
        """Let the next statement fail otherwise."""
        self._settings = settings

    def release(self) -> None:
        """Pass what is unread; a batch of which half was swallowed is beyond saving."""
        if self._is_struck_cycle or (self._is_swallowing and self._bytes_left):
            self._stub.reset()
        else:
            self._stub.send(self._unread)

    def _step(self) -> bool:
        """Read one part of a message; tell whether there was a whole one."""
        if self._is_opaque:
            self._take(len(self._unread))
            return True
        if self._bytes_left:
            self._bytes_left -= self._take(min(self._bytes_left, len(self._unread)))
            return True
        return self._read_startup() if self._is_starting else self._read_message()

    def _read_startup(self) -> bool:
        if len(self._unread) < 8:
            return False
        length, code = struct.unpack("!ii", self._unread[:8])
        if not 8 <= length <= MAX_STARTUP_BYTES:
            self._is_opaque = True
        elif len(self._unread) < length:
            return False
        elif self._settings.at == "startup":
            self._refuse(length, code)
        else:
            self._is_starting = code in {SSL_REQUEST, GSSENC_REQUEST}
            self._take(length)
        return True

    def _refuse(self, length: int, code: int) -> None:
        self._unread = self._unread[length:]
        if code in {SSL_REQUEST, GSSENC_REQUEST}:
            # No encryption; the client goes on without, or gives up by itself.
            self._stub.reply(b"N")
        else:
            self._stub.hit()
            self._stub.reply(self._settings.response("FATAL"))
            self._stub.close()

    def _read_message(self) -> bool:
        if len(self._unread) < 5:
            return False
        kind, length = self._unread[:1], struct.unpack("!i", self._unread[1:5])[0] + 1
        if length < 5:
            self._is_opaque, self._is_swallowing = True, False
            return True
        if len(self._unread) < min(length, PEEK_BYTES):
            return False
        self._decide(kind, self._unread[5 : min(length, PEEK_BYTES)])
        self._bytes_left = length
        return True

    def _decide(self, kind: bytes, peek: bytes) -> None:
        """Find out whether a message is swallowed, and say instead what is to be said."""
        if self._settings.at == "startup":
            self._is_swallowing = False
        elif kind == QUERY:
            self._is_swallowing = self._settings.strikes(_text(peek))
            if self._is_swallowing:
                self._say_instead()
        elif kind == SYNC:
            self._end_cycle()
        elif kind in EXTENDED:
            self._begin_or_go_on(kind, peek)
        else:
            self._is_swallowing = False

    def _begin_or_go_on(self, kind: bytes, peek: bytes) -> None:
        if not self._is_in_cycle:
            statement = _text(peek.partition(b"\0")[2]) if kind == PARSE else ""
            self._is_in_cycle = True
            self._is_struck_cycle = self._settings.strikes(statement)
        self._is_swallowing = self._is_struck_cycle
        if kind == FLUSH and self._is_struck_cycle and not self._is_said:
            self._say_at_once()

    def _say_at_once(self) -> None:
        """Answer in the server's place: the client waits before it sends Sync, as asyncpg does after Parse."""
        self._is_said = True
        self._stub.hit()
        self._stub.reply(self._settings.response("ERROR"))

    def _end_cycle(self) -> None:
        # A simple query answers with an error and ReadyForQuery, just as a batch that failed and its Sync do. Where
        # the error was said already, the server's answer to Sync itself is all that is missing.
        self._is_swallowing = self._is_struck_cycle and not self._is_said
        if self._is_swallowing:
            self._say_instead()
        self._is_in_cycle = self._is_struck_cycle = self._is_said = False

    def _say_instead(self) -> None:
        self._stub.hit()
        self._stub.send(self._settings.instead())

    def _take(self, size: int) -> int:
        """Pass so many bytes, or swallow them."""
        taken, self._unread = self._unread[:size], self._unread[size:]
        if taken and not self._is_swallowing:
            self._stub.send(taken)
        return size


def _text(peek: bytes) -> str:
    return peek.partition(b"\0")[0].decode(errors="replace")
