"""Toxics that read a protocol: wherever bytes are cut, what they strike is exchanged whole, and all else is untouched."""

from __future__ import annotations

import itertools
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.faultproxy.toxics.http_error import HttpError
from harness.faultproxy.toxics.postgres_error import PostgresError, first_word, message
from harness.faultproxy.toxics.redis_error import RedisError, command_bytes
from harness.faultproxy.toxics.stage import Stub


class Wire:
    """One stage, and what it sent on, replied, and counted."""

    def __init__(self, settings, *, was_open=True):
        self.sent, self.replied, self.hits = [], [], 0
        stub = Stub(
            dice=Random(0),
            shared={},
            was_open=was_open,
            opened_at_s=0.0,
            on_first_hit=lambda: None,
            on_hit=self.hit,
            on_held=lambda: None,
            reply=self.replied.append,
            end_replies=lambda: self.replied.append("the end"),
            close=lambda: None,
            reset=lambda: None,
        )
        stub.send = self.sent.append
        self.stage = settings.stage(stub)

    def hit(self):
        self.hits += 1

    def carry(self, data: bytes, cuts: list[int]) -> bytes:
        """Send `data` in pieces, then the end; return what came out."""
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for start, end in itertools.pairwise(places):
            self.stage.receive(data[start:end])
        self.stage.end()
        return b"".join(self.sent)


CUTS = st.lists(st.integers(0, 10_000), max_size=12)
WORDS = st.binary(max_size=12) | st.sampled_from([b"$3\r\nSET\r\n", b"*1\r\n", b"\r\n", b"x" * 300])
WRITES, READS = st.sampled_from(["SET", "del", "EvalSha"]), st.sampled_from(["GET", "ping", "NOSUCH", "X" * 129])
NOTHING = st.sampled_from([b"*0\r\n", b"*-1\r\n", b"\r\n", b"  \n", b"*1\r\n$0\r\n\r\n"])


def resp(name: str, arguments: list[bytes]) -> bytes:
    parts = [name.encode(), *arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def commands(names):
    """Return commands as clients send them, and as a person types them."""
    typed = names.map(lambda name: f" {name} a b\r\n".encode())
    return st.builds(resp, names, st.lists(WORDS, max_size=3)) | typed


@given(
    spoken=st.lists(
        st.tuples(st.just(True), commands(WRITES)) | st.tuples(st.just(False), commands(READS) | NOTHING), max_size=8
    ),
    cuts=CUTS,
)
def test_redis_commands_are_exchanged_whole(spoken, cuts):
    """One script for each that is struck, in its place; the others to the byte."""
    settings = RedisError(error="READONLY")
    wire = Wire(settings)
    expected = b"".join(settings.instead() if is_struck else raw for is_struck, raw in spoken)

    assert wire.carry(b"".join(raw for _, raw in spoken), cuts) == expected
    assert wire.hits == sum(is_struck for is_struck, _ in spoken)


@given(
    first=st.sampled_from([b"\x16", b"\x00", b"\x80", b"*x\r\n", b"*1\r\n:1\r\n", b"*1\r\n$-1\r\n"]),
    rest=st.binary(max_size=200) | st.just(command_bytes("SET", "a")),
    cuts=CUTS,
)
def test_what_redis_would_not_understand_passes(first, rest, cuts):
    """To the byte and without a hit, commands in it included: they are none."""
    wire = Wire(RedisError())

    assert wire.carry(first + rest, cuts) == first + rest
    assert wire.hits == 0


# What stands before a first word, nested; the words in it are none.
COMMENTS = st.recursive(
    st.sampled_from(["insert", " ", "-- ", "*", "'", "/", ""]),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"/* {' '.join(parts)} */"),
    max_leaves=5,
)
LEADS = st.lists(
    COMMENTS.filter(lambda text: text.startswith("/*")) | st.sampled_from([" ", "\n", ";", "(", "--insert\n", "--\n"]),
    max_size=5,
).map("".join)


@given(
    lead=LEADS,
    word=st.sampled_from(["insert", "SELECT", "With"]),
    rest=st.sampled_from(["", ";", " x", "(1)", "/* insert */"]),
)
def test_first_word_is_found_behind_anything_blank(lead, word, rest):
    """However comments nest, and whatever is in them."""
    assert first_word(lead + word + rest) == word.upper()


@given(text=st.text(max_size=60))
def test_first_word_of_anything_is_a_word_or_nothing(text):
    """It always comes to an end."""
    word = first_word(text)

    assert word == "" or word.replace("_", "a").isalnum()


STRUCK = LEADS.map(lambda lead: message(b"Q", f"{lead}insert into t".encode() + b"\0"))
PASSING = LEADS.map(lambda lead: message(b"Q", f"{lead}select 1".encode() + b"\0")) | st.sampled_from(
    [
        message(b"d", b"insert" * 50),
        message(b"C", b"Sx\0"),
        message(b"S", b""),
        message(b"Q", b"\0"),
        message(b"p", b"insert\0"),
    ]
)


@given(spoken=st.lists(st.tuples(st.just(True), STRUCK) | st.tuples(st.just(False), PASSING), max_size=8), cuts=CUTS)
def test_postgres_statements_are_exchanged_whole(spoken, cuts):
    """One that raises for each that is struck, in its place; the others to the byte."""
    settings = PostgresError(statements="insert")
    wire = Wire(settings)
    expected = b"".join(settings.instead() if is_struck else raw for is_struck, raw in spoken)

    assert wire.carry(b"".join(raw for _, raw in spoken), cuts) == expected
    assert wire.hits == sum(is_struck for is_struck, _ in spoken)


OFFERS = st.sampled_from(
    ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "connection: keep-alive, upgrade\r\nupgrade: websocket\r\n"]
)
BODIES = st.sampled_from(
    [
        "Content-Length: 5\r\n\r\nGET /",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
        "\r\n",
    ]
)


@given(
    asked=st.lists(
        st.tuples(st.sampled_from(["/api/x", "/other", "http://h/api"]), OFFERS, BODIES), min_size=1, max_size=4
    ),
    size=st.integers(1, 200),
)
def test_http_requests_are_answered_or_passed_whole(asked, size):
    """Each by its own path, whatever it offers and however its body is framed; a client waits for each answer."""
    wire = Wire(HttpError(path_prefix="/api"))
    for target, offer, body in asked:
        raw = f"POST {target} HTTP/1.1\r\nHost: h\r\n{offer}{body}".encode()
        wire.sent.clear()
        wire.replied.clear()
        for start in range(0, len(raw), size):
            wire.stage.receive(raw[start : start + size])

        is_struck = target.endswith(("/api", "/api/x"))
        assert b"".join(wire.sent) == (b"" if is_struck else raw)
        assert len(wire.replied) == is_struck


@pytest.mark.parametrize(
    "asked", [b"GET / HTTP/1.0\r\n\r\n", b"PUT / HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"]
)
async def test_http_last_answer_is_followed_by_the_end_at_once(asked):
    """A client that reads to the end need not wait until the connection is closed, and hears nothing twice."""
    wire = Wire(HttpError())
    wire.stage.receive(asked)
    wire.stage.receive(b"the body.GET / HTTP/1.1\r\n\r\n")

    assert [type(said) for said in wire.replied] == [bytes, str]
    assert (wire.sent, wire.hits) == ([], 1)
