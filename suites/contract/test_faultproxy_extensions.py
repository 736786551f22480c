"""What our fault proxy can do beyond Toxiproxy, on real connections."""

from __future__ import annotations

import contextlib
import select
import socket
import time

import pytest

from fixtures.faultproxy import (
    DEADLINE_S,
    Road,
    how_it_ended,
    is_silent,
    read_exactly,
    started,
    wait_until,
)

# Long enough that a proxy that wanted to send would have.
QUIET_S = 0.15


@pytest.fixture(scope="module")
def ours():
    with started("ours") as running:
        yield running


@pytest.fixture
def road(ours):
    with Road(ours) as road:
        yield road


def is_hit(road) -> bool:
    """Open a connection that a `limit_data` of 0 bytes, if it applies, closes at the first byte."""
    client, upstream = road.travel()
    upstream.sendall(b"x")
    return client.recv(1) == b""


class TestSchedule:
    """`when`."""

    @pytest.mark.parametrize(
        ("when", "hits"),
        [
            ({"first": 2}, [True, True, False, False, False, False]),
            ({"skip": 2}, [False, False, True, True, True, True]),
            ({"every": 3}, [False, False, True, False, False, True]),
            ({"skip": 1, "first": 2}, [False, True, True, False, False, False]),
            ({"skip": 1, "every": 2, "first": 4}, [False, False, True, False, True, False]),
            ({}, [True] * 6),
        ],
    )
    def test_selects_connections_by_their_place(self, road, when, hits):
        """The first N, all but the first N, every Nth, counted from the toxic on."""
        road.travel()
        road.poison("limit_data", when=when, bytes=0)

        assert [is_hit(road) for _ in hits] == hits

    def test_spares_connections_from_before_when_it_counts(self, road):
        """A connection that was there first has no place in the count."""
        client, upstream = road.travel()
        road.poison("limit_data", when={"first": 1}, bytes=0)
        upstream.sendall(b"x")

        assert client.recv(1) == b"x"
        assert is_hit(road)

    def test_flaps(self, road):
        """On, off, on: data is held, passes, is held again."""
        client, upstream = road.travel()
        road.poison("bandwidth", when={"on_ms": 400, "off_ms": 400}, rate=0)

        upstream.sendall(b"1")
        assert is_silent(client, QUIET_S)
        assert client.recv(1) == b"1"  # released as the off part begins
        upstream.sendall(b"2")
        assert not is_silent(client, QUIET_S)
        assert client.recv(1) == b"2"
        wait_until(lambda: kinds(road).count("toxic_on") == 1, "it is on again")
        upstream.sendall(b"3")
        assert is_silent(client, QUIET_S)

    def test_expires(self, road):
        """The toxic is gone after its time, and what it held arrives."""
        client, upstream = road.travel()
        road.poison("bandwidth", when={"lasts_ms": 300}, rate=0)
        started_s = time.monotonic()
        upstream.sendall(b"held")

        assert client.recv(4) == b"held"
        assert time.monotonic() - started_s > 0.2
        assert road.server.must("GET", "/proxies/road/toxics") == []
        assert kinds(road)[-2:] == ["toxic_expired", "toxic_removed"]

    def test_is_shown_and_changed_like_a_field(self, road):
        """Shown only if it is given; a PATCH replaces it as a whole, or leaves it."""
        plain = road.server.must("GET", road.poison("noop", name="plain"))
        toxic = road.poison("noop", when={"first": 2, "every": 1})

        changed = road.server.must("PATCH", toxic, {"when": {"lasts_ms": 60_000}})
        kept = road.server.must("PATCH", toxic, {"toxicity": 0.5})
        cleared = road.server.must("PATCH", toxic, {"when": {}})

        assert "when" not in plain
        assert changed["when"] == kept["when"] == {"lasts_ms": 60_000}
        assert "when" not in cleared

    @pytest.mark.parametrize(
        "when", [{"first": -1}, {"on_ms": 5}, {"off_ms": 5}, {"first": 1.5}, [], {"lasts_ms": 10**12}]
    )
    def test_refuses_what_cannot_work(self, road, when):
        """With a 400, and nothing is created."""
        answer = road.server.ask("POST", "/proxies/road/toxics", {"type": "noop", "when": when})

        assert answer.status == 400
        assert road.server.must("GET", "/proxies/road/toxics") == []

    def test_is_unknown_in_strict_mode(self):
        """As in the original, which ignores fields it does not know."""
        with started("strict") as strict, Road(strict) as road:
            assert "when" not in strict.must("GET", road.poison("noop", when={"first": 1}))


class TestConnectBlackhole:
    """`connect_blackhole`."""

    def test_lets_connects_time_out_until_healed(self, road):
        """A connect hangs, an open connection lives on, and after healing the one that hung gets in by itself."""
        client, upstream = road.travel()
        toxic = road.poison("connect_blackhole")

        with socket.socket() as knocking:
            knocking.setblocking(False)
            knocking.connect_ex(road.address)
            assert not is_connected(knocking, 2 * QUIET_S)
            client.sendall(b"alive")
            assert upstream.recv(5) == b"alive"

            road.heal(toxic)
            assert is_connected(knocking, DEADLINE_S)

        client, upstream = road.travel()
        client.sendall(b"new")
        upstream.recv(3)

    def test_keeps_its_times(self, road):
        """It flaps and expires like any toxic."""
        road.poison("connect_blackhole", when={"lasts_ms": 200})
        with socket.socket() as knocking:
            knocking.setblocking(False)
            knocking.connect_ex(road.address)
            assert not is_connected(knocking, 0.1)
            assert is_connected(knocking, DEADLINE_S)

    def test_survives_disabling(self, road):
        """A proxy that is enabled again is as deaf as before."""
        road.poison("connect_blackhole")
        road.server.must("PATCH", "/proxies/road", {"enabled": False})
        road.server.must("PATCH", "/proxies/road", {"enabled": True})
        with socket.socket() as knocking:
            knocking.setblocking(False)
            knocking.connect_ex(road.address)

            assert not is_connected(knocking, QUIET_S)


def is_connected(knocking: socket.socket, within_s: float) -> bool:
    """Tell whether a connect that was begun succeeds in time."""
    writable = select.select([], [knocking], [], within_s)[1]
    return bool(writable) and knocking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class TestConnectionLimit:
    """`connection_limit`."""

    def test_turns_away_who_is_too_many_and_lets_in_again(self, road):
        """Two may be open; the third is closed at once; when one leaves, the next gets in."""
        road.poison("connection_limit", connections=2)
        (client, upstream), _ = road.travel(), road.travel()

        assert how_it_ended(road.connect()) == "fin"
        client.close()
        upstream.close()
        wait_until(lambda: kinds(road).count("connection_closed") == 1, "one has left")
        third, upstream = road.travel()
        third.sendall(b"in")
        assert upstream.recv(2) == b"in"
        assert kinds(road).count("toxic_hit") == 1

    def test_of_zero_lets_nobody_in(self, road):
        """The default."""
        road.poison("connection_limit")

        assert how_it_ended(road.connect()) == "fin"


class TestDropReply:
    """`drop_reply`."""

    def test_lets_the_request_through_and_resets_instead_of_the_reply(self, road):
        """The server has done its work, the client gets a reset."""
        road.poison("drop_reply")
        client, upstream = road.travel()
        client.sendall(b"INCR")
        assert upstream.recv(4) == b"INCR"

        upstream.sendall(b"1")

        assert how_it_ended(client) == "reset"
        assert how_it_ended(upstream) == "reset"

    def test_lets_a_greeting_pass_and_idle_connections_live(self, road):
        """So many bytes arrive before anything is dropped."""
        road.poison("drop_reply", pass_bytes=5)
        client, upstream = road.travel()
        upstream.sendall(b"hello")

        assert client.recv(5) == b"hello"
        assert is_silent(client, QUIET_S)
        upstream.sendall(b"lost")
        assert how_it_ended(client) == "reset"

    def test_waits_from_the_first_lost_byte_whatever_follows(self, road):
        """More lost bytes do not postpone the reset."""
        road.poison("drop_reply", timeout=400)
        client, upstream = road.travel()
        started_s = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while is_silent(client, 0.1):
                upstream.sendall(b"x")

        assert how_it_ended(client) == "reset"
        assert 0.4 <= time.monotonic() - started_s < 1.5

    def test_removal_spares_who_lost_nothing(self, road):
        """And resets who did."""
        toxic = road.poison("drop_reply", timeout=60_000)
        (spared, upstream), (struck, other) = road.travel(), road.travel()
        other.sendall(b"lost")
        assert is_silent(struck, QUIET_S)

        road.heal(toxic)

        assert how_it_ended(struck) == "reset"
        upstream.sendall(b"alive")
        assert spared.recv(5) == b"alive"


class TestLatencyDistribution:
    """`latency_distribution`; the shapes themselves are in the unit suite."""

    def test_delays_by_its_table(self, road):
        """A table of one value is a constant."""
        client, upstream = road.travel()
        road.poison("latency_distribution", distribution="table", percentiles=[[100, 200]])
        started_s = time.monotonic()
        upstream.sendall(b"late")

        assert client.recv(4) == b"late"
        assert 0.2 <= time.monotonic() - started_s < 1.2

    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"median": 5},
            {"median": 5, "p99": 4},
            {"median": 5, "p99": 10, "distribution": "even"},
            {"distribution": "table"},
            {"distribution": "table", "percentiles": [[50, 1], [50, 2]]},
            {"distribution": "table", "percentiles": [[50, 5], [60, 2]]},
            {"distribution": "table", "percentiles": [[101, 5]]},
            {"distribution": "table", "percentiles": [5]},
            {"distribution": "table", "percentiles": [["a", 5]]},
            {"distribution": 5},
        ],
    )
    def test_refuses_what_no_distribution_has(self, road, attributes):
        """With a 400."""
        body = {"type": "latency_distribution", "attributes": attributes}

        assert road.server.ask("POST", "/proxies/road/toxics", body).status == 400


class TestSharedBandwidth:
    """`shared_bandwidth`."""

    def test_is_one_wire_for_all_connections(self, road):
        """Two times 20 KB at 100 KB/s take 400 ms, where each alone would take 200."""
        pairs = [road.travel(), road.travel()]
        road.poison("shared_bandwidth", rate=100)
        started_s = time.monotonic()
        for _, upstream in pairs:
            upstream.sendall(b"x" * 20_000)
        for client, _ in pairs:
            assert len(read_exactly(client, 20_000)) == 20_000

        assert 0.39 <= time.monotonic() - started_s < 1.4


@pytest.mark.parametrize(
    "kind", ["connect_blackhole", "connection_limit", "drop_reply", "latency_distribution", "shared_bandwidth"]
)
def test_strict_mode_knows_no_extension(strict, kind):
    """An invalid type, as for the original."""
    answer = strict.ask("POST", "/proxies/here/toxics", {"type": kind})

    assert (answer.status, answer.json["error"]) == (400, "invalid toxic type")


@pytest.fixture(scope="module")
def strict():
    with started("strict") as running:
        running.must("POST", "/proxies", {"name": "here", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"})
        yield running


def kinds(road) -> list[str]:
    """Return the kinds of events about this road's proxy since it was created."""
    events = [event for event in road.server.must("GET", "/events")["events"] if event["proxy"] == road.name]
    latest = max(place for place, event in enumerate(events) if event["kind"] == "proxy_started")
    return [event["kind"] for event in events[latest:]]
