"""`redis_error`: Redis answers with an error, as replicas, starting and full servers do. An extension of ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.faultproxy.toxics.stage import Stub


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What Redis 8 itself says.
TEXTS = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "OOM": "OOM command not allowed when used memory > 'maxmemory'.",
}
# Scripts may write, and a limiter's do, so they count as writes.
WRITES = _words(
    """
    APPEND BITFIELD BITOP BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN COPY DECR DECRBY DEL EVAL
    EVALSHA EXPIRE EXPIREAT FCALL FLUSHALL FLUSHDB GEOADD GETDEL GETEX GETSET HDEL HEXPIRE HGETDEL HGETEX HINCRBY
    HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HSET HSETEX HSETNX INCR INCRBY INCRBYFLOAT LINSERT LMOVE LMPOP LPOP LPUSH
    LPUSHX LREM LSET LTRIM MOVE MSET MSETNX PERSIST PEXPIRE PEXPIREAT PFADD PFMERGE PSETEX RENAME RENAMENX RESTORE RPOP
    RPOPLPUSH RPUSH RPUSHX SADD SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SMOVE SORT SPOP SREM SUNIONSTORE
    UNLINK XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XREADGROUP XSETID XTRIM ZADD ZDIFFSTORE ZINCRBY ZINTERSTORE ZMPOP
    ZPOPMAX ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZUNIONSTORE
    """
)
# A server that is loading still answers these; they also hold a connection's state together.
HARMLESS = _words(
    """
    AUTH CLIENT COMMAND CONFIG DISCARD EXEC HELLO INFO MONITOR MULTI PSUBSCRIBE PSYNC PUNSUBSCRIBE QUIT REPLCONF
    REPLICAOF RESET SELECT SHUTDOWN SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE UNWATCH WATCH
    """
)
# More than any line of the protocol or inline command (the server's own limit); a stream without one is not Redis'.
MAX_LINE_BYTES = 64 * 1024
# No command's name is as long; more is passed as an argument is.
MAX_NAME_BYTES = 128
# What an inline command may begin with: blanks, and what names are made of. TLS begins with 0x16.
INLINE = re.compile(rb"[\s!-~]")


@dataclass(frozen=True, slots=True)
class RedisError:
    """Answer commands with an error instead of executing them.

    The command is exchanged on its way for a script that raises the error, so the server itself keeps pipelines,
    transactions and replies in order. It works on the upstream stream, without TLS; what is not Redis' protocol passes.

    Attributes:
        error: READONLY, LOADING, OOM, or any text that begins with an error code.
        commands: Names separated by blanks. Empty: for READONLY and OOM all that write, otherwise all but the
            handshake's, transactions' and subscriptions'.
        answered_by: `server`, by the script; or `proxy`, for a server that has no EVAL or a user who may not call
            it. Then a client has to wait for each reply before it sends the next command.
    """

    error: str = "LOADING"
    commands: str = ""
    answered_by: str = "server"

    def problem(self) -> str | None:
        """Refuse what Redis could not say in one line."""
        if self.answered_by not in {"server", "proxy"}:
            return "answered_by must be server or proxy"
        return None if self.error.strip() and self.error.isprintable() else "error must be one line of text"

    def stage(self, stub: Stub) -> RedisErrorStage:
        """Return the stage for one link."""
        return RedisErrorStage(self, stub)

    def strikes(self, command: str) -> bool:
        """Tell whether a command, in capitals, is answered with the error."""
        if self.commands:
            return command in self.commands.upper().split()
        return command in WRITES if self.error in {"READONLY", "OOM"} else command not in HARMLESS

    def instead(self) -> bytes:
        """Return the command that makes the server answer with the error."""
        return command_bytes("EVAL", "return redis.error_reply(ARGV[1])", "0", self._text())

    def reply(self) -> bytes:
        """Return the error as a server says it."""
        return f"-{self._text()}\r\n".encode()

    def _text(self) -> str:
        return TEXTS.get(self.error, self.error)


def command_bytes(*words: str) -> bytes:
    """Return a command in RESP.

    Source: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class RedisErrorStage:
    """Redis errors on one link: commands are told apart as they pass, and never held beyond their name."""

    is_full = False

    def __init__(self, settings: RedisError, stub: Stub) -> None:
        self._settings = settings
        self._stub = stub
        self._unread = b""
        self._is_struck = self._is_opaque = False
        # What is left of the command that is passing: arguments, and bytes of the current one.
        self._arguments_left = 0
        self._bytes_left = 0

    def receive(self, data: bytes) -> None:
        """Read as far as the bytes reach."""
        self._unread += data
        while self._unread and not self._is_opaque and self._step():
            continue
        if self._is_opaque or len(self._unread) > MAX_LINE_BYTES:
            self._stop_reading()

    def end(self) -> None:
        """Pass the end on, behind whatever was half a command."""
        self._pass_unread()
        self._stub.end()

    def retune(self, settings: RedisError) -> None:
        """Answer the next command with the new error."""
        self._settings = settings

    def release(self) -> None:
        """Pass what is unread; a command of which half was swallowed is beyond saving."""
        if self._is_struck and (self._arguments_left or self._bytes_left):
            self._stub.reset()
        else:
            self._pass_unread()

    def _step(self) -> bool:
        """Read one part of a command; tell whether there was a whole one."""
        if self._bytes_left:
            self._bytes_left -= self._take(min(self._bytes_left, len(self._unread)))
            return True
        if self._arguments_left:
            return self._read_argument()
        return self._read_command() if self._unread.startswith(b"*") else self._read_inline()

    def _read_argument(self) -> bool:
        line, ending, _ = self._unread.partition(b"\r\n")
        if not ending:
            return False
        length = number_of(line, b"$")
        if length is None or length < 0:
            return self._give_up()
        self._arguments_left -= 1
        self._bytes_left = length + 2
        self._take(len(line) + 2)
        return True

    def _read_command(self) -> bool:
        """Read how many words a command has, and the first of them; one without words is none, and has no answer."""
        line, ending, rest = self._unread.partition(b"\r\n")
        if not ending:
            return False
        count = number_of(line, b"*")
        if count is None:
            return self._give_up()
        if count > 0:
            return self._read_name(len(line) + 2, rest, count)
        self._is_struck = False
        self._take(len(line) + 2)
        return True

    def _read_name(self, start: int, rest: bytes, count: int) -> bool:
        line, ending, name = rest.partition(b"\r\n")
        if not ending:
            return False
        length = number_of(line, b"$")
        if length is None or length < 0:
            return self._give_up()
        if len(name) < min(length, MAX_NAME_BYTES + 1):
            return False
        self._begin(name[: min(length, MAX_NAME_BYTES + 1)])
        self._arguments_left = count - 1
        self._bytes_left = length + 2
        self._take(start + len(line) + 2)
        return True

    def _read_inline(self) -> bool:
        if not INLINE.match(self._unread):
            return self._give_up()
        line, ending, _ = self._unread.partition(b"\n")
        if ending:
            words = line.split()
            self._begin(words[0] if words else b"")
            self._take(len(line) + 1)
        return bool(ending)

    def _give_up(self) -> bool:
        """Take what follows for another protocol."""
        self._is_opaque, self._is_struck = True, False
        return False

    def _begin(self, name: bytes) -> None:
        """Decide about a command; a blank line is none, and no name is too long."""
        is_name = 0 < len(name) <= MAX_NAME_BYTES
        self._is_struck = is_name and self._settings.strikes(name.decode("latin-1").upper())
        if not self._is_struck:
            return
        self._stub.hit()
        if self._settings.answered_by == "proxy":
            self._stub.reply(self._settings.reply())
        else:
            self._stub.send(self._settings.instead())

    def _stop_reading(self) -> None:
        """Pass all from now on: this is TLS, or nothing that Redis would understand."""
        self._is_opaque = True
        self._pass_unread()

    def _pass_unread(self) -> None:
        unread, self._unread = self._unread, b""
        self._stub.send(unread)

    def _take(self, size: int) -> int:
        """Pass so many bytes, or swallow them if their command is struck."""
        taken, self._unread = self._unread[:size], self._unread[size:]
        if taken and not self._is_struck:
            self._stub.send(taken)
        return size


def number_of(line: bytes, kind: bytes) -> int | None:
    """Return the number on a line of RESP such as `$5`, or `None` where there is none."""
    found = re.fullmatch(rb"(-?\d{1,10})", line[1:]) if line[:1] == kind else None
    return int(found[1]) if found else None
