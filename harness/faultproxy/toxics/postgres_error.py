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
PARSE, BIND, DESCRIBE, CLOSE, FLUSH, SYNC, QUERY = b"P", b"B", b"D", b"C", b"H", b"S", b"Q"
EXTENDED = (PARSE, BIND, DESCRIBE, b"E", FLUSH)
# Those of which something is read.
PEEKED = frozenset({QUERY, PARSE, BIND, DESCRIBE})
# As much of a message as is looked at for a statement's first word: tools of tracing put long comments before it.
PEEK_BYTES = 8192
# Clients keep a hundred prepared statements (psycopg, asyncpg); the names of more are forgotten, oldest first.
MAX_PREPARED = 1000
# What may stand before the first word, but for block comments: they nest.
BLANK = re.compile(r"(?:[\s;(]+|--[^\n]*(?:\n|$))+")
BLOCK_EDGE = re.compile(r"/\*|\*/")
WORD = re.compile(r"[A-Za-z_]\w*")


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
            control and settings. Blanks, comments, semicolons and parentheses before the first word are skipped; of
            several statements in one text, or in one batch, the first one decides. A statement that was prepared
            before the toxic came has no first word.
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

    def strikes(self, word: str) -> bool:
        """Tell whether a statement fails, by its first word in capitals; one that is not known is empty."""
        return word in self.statements.upper().split() if self.statements else word not in CONTROL

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


def first_word(statement: str) -> str:
    """Return the first word of a statement in capitals, behind blanks and comments; empty if there is none."""
    place = 0
    while True:
        blank = BLANK.match(statement, place)
        place = blank.end() if blank else place
        if not statement.startswith("/*", place):
            break
        place = _end_of_block(statement, place)
    found = WORD.match(statement, place)
    return found[0].upper() if found else ""


def _end_of_block(statement: str, place: int) -> int:
    """Return the place behind a block comment; the end of the text if it has none."""
    depth = 0
    for edge in BLOCK_EDGE.finditer(statement, place):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(statement)


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
        # First words of the statements that were prepared on this connection, by their names.
        self._prepared: dict[bytes, str] = {}

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
        peek_bytes = min(length, PEEK_BYTES) if kind in PEEKED else 5
        if len(self._unread) < peek_bytes:
            return False
        self._decide(kind, self._unread[5:peek_bytes])
        self._bytes_left = length
        return True

    def _decide(self, kind: bytes, peek: bytes) -> None:
        """Find out whether a message is swallowed, and say instead what is to be said."""
        if self._settings.at == "startup":
            self._is_swallowing = False
        elif kind == QUERY:
            self._is_swallowing = self._settings.strikes(first_word(_text(peek)))
            if self._is_swallowing:
                self._say_instead()
        elif kind == SYNC:
            self._end_cycle()
        elif kind in EXTENDED:
            self._begin_or_go_on(kind, peek)
        else:
            # To forget a statement is not to run it: alone it passes, and goes the way of the batch that it is in.
            self._is_swallowing = kind == CLOSE and self._is_struck_cycle

    def _begin_or_go_on(self, kind: bytes, peek: bytes) -> None:
        if not self._is_in_cycle:
            self._is_in_cycle = True
            self._is_struck_cycle = self._settings.strikes(self._word_of(kind, peek))
        self._is_swallowing = self._is_struck_cycle
        if kind == PARSE and not self._is_struck_cycle:
            self._remember(peek)
        if kind == FLUSH and self._is_struck_cycle and not self._is_said:
            self._say_at_once()

    def _word_of(self, kind: bytes, peek: bytes) -> str:
        """Return the first word of the statement that a message is about, as far as it can be known."""
        if kind == PARSE:
            return first_word(_text(peek.partition(b"\0")[2]))
        if kind == BIND:
            return self._prepared.get(peek.partition(b"\0")[2].partition(b"\0")[0], "")
        if kind == DESCRIBE and peek.startswith(b"S"):
            return self._prepared.get(peek[1:].partition(b"\0")[0], "")
        return ""

    def _remember(self, peek: bytes) -> None:
        name, _, statement = peek.partition(b"\0")
        self._prepared.pop(name, None)
        self._prepared[name] = first_word(_text(statement))
        if len(self._prepared) > MAX_PREPARED:
            del self._prepared[next(iter(self._prepared))]

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
