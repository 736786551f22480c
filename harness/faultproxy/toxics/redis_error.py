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
# The beginning of a command as every client library sends it, up to its name.
HEAD = re.compile(rb"\*(\d{1,7})\r\n\$(\d{1,3})\r\n")
# More than any head or inline command; a stream without one in so many bytes is not Redis'.
MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class RedisError:
    """Answer commands with an error instead of executing them.

    The command is exchanged on its way for a script that raises the error, so the server itself keeps pipelines,
    transactions and replies in order. It works on the upstream stream, without TLS.

    Attributes:
        error: READONLY, LOADING, OOM, or any text that begins with an error code.
        commands: Names separated by blanks. Empty: for READONLY and OOM all that write, otherwise all but the
            handshake's, transactions' and subscriptions'.
    """

    error: str = "LOADING"
    commands: str = ""

    def problem(self) -> str | None:
        """Refuse what Redis could not say in one line."""
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
        text = TEXTS.get(self.error, self.error)
        return command_bytes("EVAL", "return redis.error_reply(ARGV[1])", "0", text)


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
        self._is_struck = False
        # What is left of the command that is passing: arguments, and bytes of the current one.
        self._arguments_left = 0
        self._bytes_left = 0

    def receive(self, data: bytes) -> None:
        """Read as far as the bytes reach."""
        self._unread += data
        while self._unread and self._step():
            continue
        if len(self._unread) > MAX_HEAD_BYTES:
            self._pass_unread()

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
            return self._read_length()
        return self._read_head() if self._unread.startswith(b"*") else self._read_inline()

    def _read_length(self) -> bool:
        line, ending, _ = self._unread.partition(b"\r\n")
        if not ending:
            return False
        self._arguments_left -= 1
        self._bytes_left = int(line[1:]) + 2 if line[1:].isdigit() else 0
        self._take(len(line) + 2)
        return True

    def _read_head(self) -> bool:
        head = HEAD.match(self._unread)
        if not head:
            return False
        count, name_length = int(head[1]), int(head[2])
        name_end = head.end() + name_length
        if len(self._unread) < name_end + 2:
            return False
        self._begin(self._unread[head.end() : name_end])
        self._arguments_left = count - 1
        self._take(name_end + 2)
        return True

    def _read_inline(self) -> bool:
        line, ending, _ = self._unread.partition(b"\n")
        if ending:
            self._begin(line.split()[0] if line.split() else b"")
            self._take(len(line) + 1)
        return bool(ending)

    def _begin(self, name: bytes) -> None:
        self._is_struck = self._settings.strikes(name.decode("latin-1").upper())
        if self._is_struck:
            self._stub.hit()
            self._stub.send(self._settings.instead())

    def _pass_unread(self) -> None:
        unread, self._unread = self._unread, b""
        self._stub.send(unread)

    def _take(self, size: int) -> int:
        """Pass so many bytes, or swallow them if their command is struck."""
        taken, self._unread = self._unread[:size], self._unread[size:]
        if taken and not self._is_struck:
            self._stub.send(taken)
        return size
