"""One contract for what toxics do to real connections: our fault proxy, and the real server where it is on PATH.

Times are lower bounds (never early) and upper bounds with a second to spare, because machines stall; what must not be
delayed at all is held against a delay of a minute. Orderings and contents are exact. What differs on purpose is in the
tests named `deviation`, with both behaviours pinned, and which of them strict mode has.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
import time

import pytest

from harness.faultproxy.toxics import TOXICS, UPSTREAM_ONLY
from suites.support.faultproxy import (
    DEADLINE_S,
    Road,
    how_it_ended,
    is_silent,
    read_exactly,
    reset_now,
    started,
    toxiproxy_is_missing,
    wait_until,
)

pytestmark = pytest.mark.alone

OTHER = pytest.param(
    "toxiproxy",
    marks=pytest.mark.skipif(toxiproxy_is_missing(), reason="no toxiproxy-server on PATH to compare with"),
)
ALL = ["ours", "strict", OTHER]
# How much later than meant is still on time on a busy machine.
SLACK_S = 1.0
# What is delayed for so long never comes, as far as a test can see.
MINUTE_MS = 60_000
# Long enough that a proxy that wanted to send would have.
QUIET_S = 0.1
# An API that has not answered by then is frozen; it answers in milliseconds.
FROZEN_S = 0.4
MEGABYTE = 10**6
PG_STARTUP = (16).to_bytes(4) + (196608).to_bytes(4) + b"user\0a\0\0"


@pytest.fixture(scope="module", params=ALL)
def server(request):
    with started(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def ours():
    with started("ours") as running:
        yield running


@pytest.fixture(scope="module", params=["ours", "strict"])
def lively(request):
    """Ours in both modes, where the original freezes for good."""
    with started(request.param) as running:
        yield running


@pytest.fixture
def lively_road(lively):
    with Road(lively) as road:
        yield road


@pytest.fixture
def road(server):
    with Road(server) as road:
        yield road


@pytest.fixture
def our_road(ours):
    with Road(ours) as road:
        yield road


@contextlib.contextmanager
def takes(at_least_s: float):
    """Assert that the block lasts at least this long, and not much longer."""
    started_s = time.monotonic()
    yield
    lasted_s = time.monotonic() - started_s
    assert at_least_s <= lasted_s < at_least_s + SLACK_S, f"took {lasted_s:.3f} s, meant {at_least_s} s"


def sent_and_read(source, sink, data: bytes) -> bytes:
    """Send from a thread, so that back-pressure does not stop the reader in the same test."""
    sender = threading.Thread(target=source.sendall, args=(data,), daemon=True)
    sender.start()
    received = read_exactly(sink, len(data))
    sender.join(DEADLINE_S)
    return received


class TestPassThrough:
    """Without toxics a proxy is a wire."""

    def test_bytes_arrive_unchanged_in_both_directions(self, road):
        """Ten megabytes each way, in order."""
        client, upstream = road.travel()
        data = bytes(range(256)) * 40_000

        assert sent_and_read(client, upstream, data) == data
        assert sent_and_read(upstream, client, data) == data

    def test_server_may_speak_first(self, road):
        """A greeting reaches the client, however early it is."""
        for _ in range(20):
            client, upstream = road.travel()
            upstream.sendall(b"220 hello")
            assert client.recv(9) == b"220 hello"

    def test_dead_upstream_is_an_accepted_connection_that_ends(self, server):
        """A refused dial shows as end of stream, never as a refused connection."""
        with Road(server) as road:
            road._upstream.close()

            assert how_it_ended(road.connect()) == "fin"

    def test_client_end_reaches_the_server(self, road):
        """FIN from the client is FIN at the server."""
        client, upstream = road.travel()
        client.sendall(b"bye")
        client.close()

        assert upstream.recv(10) == b"bye"
        assert how_it_ended(upstream) == "fin"

    def test_server_end_reaches_the_client(self, road):
        """FIN from the server is FIN at the client."""
        client, upstream = road.travel()
        upstream.sendall(b"bye")
        upstream.close()

        assert client.recv(10) == b"bye"
        assert how_it_ended(client) == "fin"

    def test_deviation_half_close_is_preserved(self, road):
        """A client that has finished sending still gets its answer; the original cuts it off."""
        client, upstream = road.travel()
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_exactly(upstream, 100) == b"question"

        with contextlib.suppress(ConnectionError):
            upstream.sendall(b"answer")
            upstream.close()

        assert read_exactly(client, 100) == (b"answer" if road.server.name == "ours" else b"")

    @pytest.mark.parametrize("who", ["client", "upstream"])
    def test_deviation_reset_is_preserved(self, road, who):
        """A reset arrives as a reset; the original turns it into an orderly end."""
        ends = dict(zip(("client", "upstream"), road.travel(), strict=True))
        ends["client"].sendall(b"open")
        assert ends["upstream"].recv(4) == b"open"
        reset_now(ends.pop(who))

        assert how_it_ended(*ends.values()) == ("reset" if road.server.name == "ours" else "fin")

    def test_deviation_reset_at_once_is_preserved(self, road):
        """Also one that comes before the proxy knows that it is connected."""
        for _ in range(200):
            client, upstream = road.travel()
            reset_now(upstream)

            assert how_it_ended(client) == ("reset" if road.server.name == "ours" else "fin")

    def test_slow_reader_slows_the_sender(self, road):
        """A reader that stands still stops the sender after a few megabytes, and then gets every byte."""
        client, upstream = road.travel()
        upstream.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while select.select([], [upstream], [], QUIET_S)[1]:
                sent += upstream.send(b"x" * 65536)
        upstream.close()

        assert sent < 32 * MEGABYTE
        assert len(read_exactly(client, sent + 1)) == sent


class TestLatency:
    """`latency`."""

    def test_delays_each_direction_for_itself(self, road):
        """Data of the poisoned stream is late, the other is not."""
        client, upstream = road.travel()
        toxic = road.poison("latency", latency=200)

        with takes(0.2):
            upstream.sendall(b"late")
            client.recv(4)
        road.change(toxic, latency=MINUTE_MS)
        client.sendall(b"now")
        assert upstream.recv(3) == b"now"

    def test_does_not_accumulate_over_pipelined_pieces(self, road):
        """Twenty pieces (of 32 KiB, so that nobody joins them) that arrive together leave together, not after 4 s."""
        client, upstream = road.travel()
        road.poison("latency", latency=200)
        data = bytes(range(256)) * 128 * 20

        with takes(0.2):
            assert sent_and_read(upstream, client, data) == data

    def test_of_several_toxics_adds_up(self, road):
        """Two toxics of 100 ms are 200 ms."""
        client, upstream = road.travel()
        road.poison("latency", latency=100, name="one")
        road.poison("latency", latency=100, name="two")

        with takes(0.2):
            upstream.sendall(b"late")
            client.recv(4)

    def test_deviation_many_toxics_add_up_exactly(self, road):
        """Ten of 10 ms are never less than 100 ms; the original wins back what a timer of the ones before was late."""
        client, upstream = road.travel()
        for number in range(10):
            road.poison("latency", latency=10, name=str(number))
        lasted_s = []
        for _ in range(5):
            started_s = time.monotonic()
            upstream.sendall(b"x")
            client.recv(1)
            lasted_s.append(time.monotonic() - started_s)

        assert (min(lasted_s) >= 0.1) == (road.server.name != "toxiproxy")

    def test_never_reorders_with_jitter(self, road):
        """However the delays fall, bytes keep their order."""
        client, upstream = road.travel()
        road.poison("latency", latency=20, jitter=20)
        data = bytes(range(200))

        for byte in data:
            upstream.sendall(bytes([byte]))
            assert is_silent(upstream, 0.0005)  # a moment between them, so that the kernel does not join them

        assert read_exactly(client, 200) == data

    def test_does_not_delay_an_end_without_data(self, road):
        """FIN alone passes at once, FIN behind data follows it."""
        client, upstream = road.travel()
        road.poison("latency", latency=MINUTE_MS)

        upstream.close()

        assert how_it_ended(client) == "fin"

    def test_end_follows_the_data(self, road):
        """Nothing is lost when the sender closes at once."""
        client, upstream = road.travel()
        road.poison("latency", latency=200)

        upstream.sendall(b"last words")
        upstream.close()

        assert read_exactly(client, 100) == b"last words"

    @pytest.mark.parametrize("how", ["delete", "reset"])
    def test_removal_releases_what_waits(self, road, how):
        """Held data arrives at once and in order when the toxic goes."""
        client, upstream = road.travel()
        toxic = road.poison("latency", latency=60_000)
        upstream.sendall(b"held")
        assert is_silent(client, QUIET_S)

        if how == "delete":
            road.heal(toxic)
        else:
            road.server.must("POST", "/reset")

        assert client.recv(4) == b"held"

    def test_change_applies_to_live_connections(self, road):
        """What was held arrives at once, and the next piece has the new delay."""
        client, upstream = road.travel()
        toxic = road.poison("latency", latency=60_000)
        upstream.sendall(b"held")
        assert is_silent(client, QUIET_S)
        road.change(toxic, latency=100)
        assert client.recv(4) == b"held"

        with takes(0.1):
            upstream.sendall(b"late")
            client.recv(4)


class TestBandwidth:
    """`bandwidth`."""

    def test_limits_the_rate(self, road):
        """100 KB at 200 KB/s take half a second; a KB has 1000 bytes."""
        client, upstream = road.travel()
        road.poison("bandwidth", rate=200)

        with takes(0.49):
            assert sent_and_read(upstream, client, b"x" * 100_000) == b"x" * 100_000

    def test_gives_no_credit_for_idle_time(self, road):
        """1000 bytes at 10 KB/s take 100 ms each time."""
        client, upstream = road.travel()
        road.poison("bandwidth", rate=10)

        for _ in range(2):
            assert is_silent(client, QUIET_S)
            with takes(0.09):
                upstream.sendall(b"x" * 1000)
                read_exactly(client, 1000)

    def test_of_zero_holds_everything_until_removed(self, road):
        """At rate 0 nothing moves, and nothing is lost."""
        client, upstream = road.travel()
        toxic = road.poison("bandwidth", rate=0)
        upstream.sendall(b"held")
        assert is_silent(client, QUIET_S)

        road.heal(toxic)

        assert client.recv(4) == b"held"

    def test_drains_after_the_sender_closed(self, road):
        """A closed sender's last bytes still arrive at the rate."""
        client, upstream = road.travel()
        road.poison("bandwidth", rate=100)
        upstream.sendall(b"x" * 20_000)
        upstream.close()

        with takes(0.15):
            assert len(read_exactly(client, 30_000)) == 20_000

    def test_is_each_connections_own(self, road):
        """Ten connections together move ten times as much: in 200 ms what would take one wire 2 s."""
        pairs = [road.travel() for _ in range(10)]
        road.poison("bandwidth", rate=100)

        with takes(0.19):
            for _, upstream in pairs:
                upstream.sendall(b"x" * 20_000)
            for client, _ in pairs:
                read_exactly(client, 20_000)


class TestSlowClose:
    """`slow_close`."""

    def test_delays_only_the_end(self, road):
        """Bytes pass at once, FIN later."""
        client, upstream = road.travel()
        toxic = road.poison("slow_close", delay=MINUTE_MS)
        upstream.sendall(b"now")
        assert client.recv(3) == b"now"
        road.change(toxic, delay=300)

        with takes(0.3):
            upstream.close()
            assert how_it_ended(client) == "fin"

    def test_removal_closes_at_once(self, road):
        """A wait that has begun ends with the toxic."""
        client, upstream = road.travel()
        toxic = road.poison("slow_close", delay=60_000)
        upstream.close()
        assert is_silent(client, QUIET_S)

        road.heal(toxic)

        assert how_it_ended(client) == "fin"

    def test_change_starts_the_wait_anew(self, road):
        """A wait that has begun follows the new delay."""
        client, upstream = road.travel()
        toxic = road.poison("slow_close", delay=60_000)
        upstream.close()
        assert is_silent(client, QUIET_S)

        road.change(toxic, delay=100)

        assert how_it_ended(client) == "fin"


class TestTimeout:
    """`timeout`."""

    def test_drops_data_and_closes_after_the_silence(self, road):
        """Nothing of the stream arrives, and both sides end."""
        client, upstream = road.travel()
        road.poison("timeout", timeout=300)

        with takes(0.25):
            upstream.sendall(b"lost")
            assert read_exactly(client, 10) == b""
        assert how_it_ended(upstream) in {"fin", "reset"}

    def test_closes_idle_connections(self, road):
        """Also those that were open before and never say a word."""
        client, _ = road.travel()

        with takes(0.2):
            road.poison("timeout", timeout=200)
            assert how_it_ended(client) == "fin"

    def test_chatter_postpones_the_end(self, road):
        """Each dropped piece starts the silence anew."""
        client, upstream = road.travel()
        road.poison("timeout", timeout=400)

        for _ in range(5):
            upstream.sendall(b"x")
            assert is_silent(client, 0.1)

        assert how_it_ended(client) == "fin"

    def test_of_zero_is_silence_until_removed(self, road):
        """The connection stays open without data, and closes when the toxic goes, because data is missing."""
        client, upstream = road.travel()
        toxic = road.poison("timeout", timeout=0)
        upstream.sendall(b"lost")
        assert is_silent(client, QUIET_S)

        road.heal(toxic)

        assert read_exactly(client, 10) == b""

    def test_leaves_the_other_stream_alone(self, road):
        """Requests still reach the server."""
        client, upstream = road.travel()
        road.poison("timeout", timeout=0)
        client.sendall(b"request")

        assert upstream.recv(7) == b"request"

    def test_reset_of_all_closes_what_it_touched(self, road):
        """POST /reset removes toxics, with the same effect."""
        client, _ = road.travel()
        road.poison("timeout", timeout=0)

        road.server.must("POST", "/reset")

        assert how_it_ended(client) == "fin"


class TestResetPeer:
    """`reset_peer`."""

    def test_resets_both_sides_of_a_new_connection(self, road):
        """RST for the client and for the server."""
        road.poison("reset_peer", "upstream", timeout=0)
        client, upstream = road.travel()
        with contextlib.suppress(ConnectionError):
            client.sendall(b"hello")

        assert how_it_ended(client) == "reset"
        assert how_it_ended(upstream) == "reset"

    def test_waits_for_its_timeout_and_drops_meanwhile(self, road):
        """The data of the stream is gone, and the reset comes later."""
        road.poison("reset_peer", "upstream", timeout=300)
        client, upstream = road.travel()

        with takes(0.25):
            client.sendall(b"lost")
            assert is_silent(upstream, QUIET_S)
            assert how_it_ended(client) == "reset"

    def test_deviation_resets_connections_that_were_idle_before(self, road):
        """A pool's idle connections are what a reset meets; the original waits for data there, and then sends FIN."""
        client, upstream = road.travel()
        client.sendall(b"open")
        assert upstream.recv(4) == b"open"
        is_ours = road.server.name == "ours"

        road.poison("reset_peer", timeout=0)

        assert is_silent(client, 2 * QUIET_S) != is_ours
        if not is_ours:
            upstream.sendall(b"data")
        assert how_it_ended(client) == ("reset" if is_ours else "fin")

    def test_deviation_spares_connections_that_toxicity_spares(self, road):
        """With toxicity 0 a connection ends in order; the original resets it when it ends."""
        road.poison("reset_peer", toxicity=0, timeout=0)
        client, upstream = road.travel()
        upstream.close()

        assert how_it_ended(client) == ("fin" if road.server.name == "ours" else "reset")

    def test_removal_spares_who_lost_nothing(self, road):
        """A connection on which nothing was dropped lives on."""
        toxic = road.poison("reset_peer", timeout=MINUTE_MS)
        client, upstream = road.travel()

        road.heal(toxic)

        upstream.sendall(b"alive")
        assert client.recv(5) == b"alive"

    def test_deviation_change_starts_the_wait_anew(self, road):
        """A reset that waits comes after the new time; the original's PATCH blocks until the old one is over."""
        toxic = road.poison("reset_peer", timeout=1500)
        client, upstream = road.travel()
        upstream.sendall(b"lost")
        assert is_silent(client, QUIET_S)

        with takes(1.2 if road.server.name == "toxiproxy" else 0):
            road.change(toxic, timeout=MINUTE_MS)

        assert is_silent(client, 2 * QUIET_S) == (road.server.name != "toxiproxy")
        road.heal(toxic)
        assert how_it_ended(client) == "reset"

    def test_deviation_removal_does_not_wait(self, road):
        """A connection that has lost data is reset at once; the original's DELETE blocks until its time has come."""
        toxic = road.poison("reset_peer", timeout=1500)
        client, upstream = road.travel()
        upstream.sendall(b"lost")
        assert is_silent(client, QUIET_S)

        with takes(1.2 if road.server.name == "toxiproxy" else 0):
            road.heal(toxic)

        assert how_it_ended(client) == "reset"


class TestSlicer:
    """`slicer`."""

    def test_cuts_data_in_halves_until_small_enough(self, road):
        """100 bytes at an average of 10 arrive in 16 pieces of 6 or 7, with pauses between them."""
        client, upstream = road.travel()
        road.poison("slicer", average_size=10, delay=20_000)
        upstream.sendall(b"x" * 100)

        sizes = []
        while sum(sizes) < 100:
            sizes.append(len(client.recv(100)))

        assert sum(sizes) == 100
        assert sizes[:4] == [6, 6, 6, 7]

    def test_pauses_are_microseconds(self, road):
        """Sixteen pieces with 20 000 us between them take 300 ms."""
        client, upstream = road.travel()
        road.poison("slicer", average_size=10, delay=20_000)

        with takes(0.3):
            upstream.sendall(b"x" * 100)
            read_exactly(client, 100)

    def test_keeps_every_byte_in_order(self, road):
        """Variation moves the cuts, never the bytes."""
        client, upstream = road.travel()
        road.poison("slicer", average_size=50, size_variation=25)
        data = bytes(range(256)) * 50

        assert sent_and_read(upstream, client, data) == data

    def test_cuts_without_pauses_too(self, road):
        """Each piece is a segment of its own even without a delay; one call of write must not join them."""
        client, upstream = road.travel()
        road.poison("slicer", average_size=10)

        # A reader that is late gets several segments at once, so one short read in many proves the cut.
        for _ in range(100):
            upstream.sendall(b"x" * 100)
            first = len(client.recv(100))
            read_exactly(client, 100 - first)
            if first < 100:
                return
        pytest.fail("a hundred messages all arrived in one piece")


class TestLimitData:
    """`limit_data`."""

    def test_passes_exactly_the_limit_then_closes(self, road):
        """A piece is cut in the middle, and both sides end."""
        client, upstream = road.travel()
        road.poison("limit_data", bytes=5)
        upstream.sendall(b"0123456789")

        assert read_exactly(client, 100) == b"01234"
        assert how_it_ended(upstream) in {"fin", "reset"}

    def test_closes_on_reaching_the_limit(self, road):
        """The last allowed byte is the last."""
        client, upstream = road.travel()
        road.poison("limit_data", bytes=5)
        upstream.sendall(b"01234")

        assert read_exactly(client, 100) == b"01234"

    def test_of_zero_closes_on_the_first_byte_only(self, road):
        """An idle connection stays open."""
        client, upstream = road.travel()
        road.poison("limit_data", bytes=0)
        assert is_silent(client, QUIET_S)

        upstream.sendall(b"x")

        assert read_exactly(client, 100) == b""

    def test_remembers_what_has_passed_when_changed(self, road):
        """Raising 5 to 8 after 3 bytes lets 5 more pass."""
        client, upstream = road.travel()
        toxic = road.poison("limit_data", bytes=5)
        upstream.sendall(b"012")
        assert read_exactly(client, 3) == b"012"

        road.change(toxic, bytes=8)
        upstream.sendall(b"3456789")

        assert read_exactly(client, 100) == b"34567"

    def test_counts_each_connection_for_itself(self, road):
        """One connection's bytes do not shorten another's."""
        road.poison("limit_data", bytes=5)
        for _ in range(2):
            client, upstream = road.travel()
            upstream.sendall(b"0123456789")
            assert read_exactly(client, 100) == b"01234"


class TestChain:
    """Several toxics on one stream."""

    def test_works_in_order_of_creation(self, road):
        """A limit before a latency lets the allowed bytes come late, then the end."""
        client, upstream = road.travel()
        road.poison("slicer", average_size=4)
        road.poison("latency", latency=200)

        with takes(0.2):
            upstream.sendall(b"0123456789")
            assert read_exactly(client, 10) == b"0123456789"

    def test_deviation_keeps_what_it_holds_when_its_neighbour_goes(self, road):
        """The toxic behind it is none of its business; the original lets go, since it wires the two anew."""
        client, upstream = road.travel()
        road.poison("latency", latency=MINUTE_MS)
        neighbour = road.poison("noop")
        upstream.sendall(b"held")
        road.change(neighbour)
        assert is_silent(client, QUIET_S)

        road.heal(neighbour)

        assert is_silent(client, 2 * QUIET_S) == (road.server.name == "ours")

    def test_survives_edits_under_traffic(self, road):
        """Toxics come and go while bytes flow, and no byte is lost or moved."""
        client, upstream = road.travel()
        data = bytes(range(256)) * 4000
        sender = threading.Thread(target=upstream.sendall, args=(data,), daemon=True)
        sender.start()
        received = bytearray()
        for _ in range(10):
            latency = road.poison("latency", latency=5, jitter=5)
            received += client.recv(20_000)
            slicer = road.poison("slicer", average_size=5000, size_variation=500)
            received += client.recv(20_000)
            road.heal(latency)
            road.change(slicer, average_size=3000)
            received += client.recv(20_000)
            road.heal(slicer)
        received += read_exactly(client, len(data) - len(received))
        sender.join(DEADLINE_S)

        assert bytes(received) == data

    @pytest.mark.parametrize("kind", ["latency", "bandwidth", "noop", "slow_close", "limit_data", "slicer"])
    def test_deviation_edits_never_wait_for_a_stalled_reader(self, lively_road, kind):
        """The whole API answers while a client does not read, in strict mode too."""
        attributes = {"latency": {"latency": 1}, "bandwidth": {"rate": 10**6}, "limit_data": {"bytes": 2**40}}
        attributes["slicer"] = {"average_size": 30_000}
        road = lively_road
        _, upstream = road.travel()
        toxic = road.poison(kind, **attributes.get(kind, {}))
        flood(upstream)

        with takes(0):
            road.change(toxic)
            road.heal(toxic)
            road.poison("noop")
            road.server.must("GET", "/proxies")
            road.server.must("POST", "/reset")
            road.server.must("PATCH", "/proxies/road", {"enabled": False})

    @pytest.mark.skipif(toxiproxy_is_missing(), reason="no toxiproxy-server on PATH to compare with")
    def test_deviation_stalled_reader_freezes_the_original(self):
        """No edit of a toxic and nothing else is answered any more, for good."""
        with started("toxiproxy") as server, Road(server) as road:
            _, upstream = road.travel()
            toxic = road.poison("latency", latency=1)
            flood(upstream)

            for method, path in [("DELETE", toxic), ("GET", "/proxies"), ("POST", "/reset")]:
                with pytest.raises(TimeoutError):
                    server.ask(method, path, within_s=FROZEN_S)
            server.process.kill()


def flood(sender) -> None:
    """Send until nobody has taken anything for a while."""
    sender.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while select.select([], [sender], [], QUIET_S)[1]:
            sender.send(b"x" * 65536)


class TestToxicity:
    """The share of connections a toxic applies to."""

    def test_of_zero_is_transparent(self, road):
        """Never means never."""
        road.poison("timeout", toxicity=0, timeout=0)
        client, upstream = road.travel()
        upstream.sendall(b"through")

        assert client.recv(7) == b"through"

    def test_chooses_connections_not_pieces(self, road):
        """A connection is hit wholly or not at all, and about half of them are."""
        road.poison("timeout", toxicity=0.5, timeout=0)
        pairs = [road.travel() for _ in range(60)]

        held = who_is_held(pairs, b"1")

        assert 12 <= len(held) <= 48  # outside with probability 2e-6
        assert who_is_held(pairs, b"2") == held

    @pytest.mark.parametrize("name", ALL)
    def test_deviation_repeats_with_the_seed(self, name):
        """The same seed chooses the same connections, another seed others; in the original it has no effect."""

        def chosen(seed: int) -> list[bool]:
            with started(name, "-seed", str(seed)) as server, Road(server) as road:
                road.poison("limit_data", toxicity=0.5, bytes=0)
                pairs = [road.travel() for _ in range(40)]
                for _, upstream in pairs:
                    upstream.sendall(b"x")
                return [client.recv(1) == b"x" for client, _ in pairs]

        assert (chosen(7) == chosen(7)) == (name != "toxiproxy")
        if name == "ours":
            assert chosen(7) != chosen(8)

    def test_deviation_dice_are_thrown_once(self, road):
        """A connection goes on as it began; the original throws anew when the toxic or what follows it changes."""
        toxic = road.poison("bandwidth", toxicity=0.5, rate=0)
        pairs = [road.travel() for _ in range(40)]
        held = [who_is_held(pairs, b"1")]
        road.change(toxic)
        held.append(who_is_held(pairs, b"2"))
        noop = road.poison("noop")
        held.append(who_is_held(pairs, b"3"))
        road.heal(noop)
        held.append(who_is_held(pairs, b"4"))

        for before, after in itertools.pairwise(held):
            assert (before == after) == (road.server.name == "ours")

    def test_deviation_raised_toxicity_only_adds_connections(self, our_road):
        """Those that suffered go on suffering, and others join them."""
        toxic = our_road.poison("bandwidth", toxicity=0.3, rate=0)
        pairs = [our_road.travel() for _ in range(40)]
        few = who_is_held(pairs, b"1")
        our_road.change(toxic, toxicity=0.6)
        more = who_is_held(pairs, b"2")

        assert few < more  # a subset, and not the same: with probability 1e-5 nobody joins


def who_is_held(pairs, word: bytes) -> set[int]:
    """Send a word to every client; return the places of those that it does not reach."""
    for _, upstream in pairs:
        upstream.sendall(word)
    clients = {client: place for place, (client, _) in enumerate(pairs)}
    held = set(clients.values())
    while ready := select.select(list(clients), [], [], 2 * QUIET_S)[0]:
        held -= {clients[client] for client in ready if word in client.recv(100)}
    return held


class TestUpstream:
    """Dialling."""

    def test_deviation_slow_upstream_holds_up_nobody_else(self, lively):
        """While one upstream does not answer, other clients and the API are served, in strict mode too."""
        with deaf_upstream() as upstream, Road(lively) as road:
            lively.must("PATCH", "/proxies/road", {"upstream": upstream})
            clients = [road.connect() for _ in range(3)]

            with takes(0):
                lively.must("PATCH", "/proxies/road", {"enabled": False})

            assert {how_it_ended(client) for client in clients} == {"fin"}

    @pytest.mark.skipif(toxiproxy_is_missing(), reason="no toxiproxy-server on PATH to compare with")
    def test_deviation_slow_upstream_freezes_the_original(self):
        """Its proxy cannot be disabled any more, and with that the whole API is gone."""
        with deaf_upstream() as upstream, started("toxiproxy") as server, Road(server) as road:
            server.must("PATCH", "/proxies/road", {"upstream": upstream})
            road.connect()

            for method, path, body in [
                ("PATCH", "/proxies/road", {"enabled": False}),
                ("DELETE", "/proxies/road", None),
            ]:
                with pytest.raises(TimeoutError):
                    server.ask(method, path, body, within_s=FROZEN_S)
            with pytest.raises(TimeoutError):
                server.ask("GET", "/proxies", within_s=FROZEN_S)
            server.process.kill()

    @pytest.mark.parametrize("name", ["ours", "strict"])
    def test_deviation_dialling_is_given_up(self, name):
        """A client whose upstream never answers is closed after -dial-timeout, in strict mode too."""
        with deaf_upstream() as upstream, started(name, "-dial-timeout", "0.3") as server, Road(server) as road:
            server.must("PATCH", "/proxies/road", {"upstream": upstream})

            with takes(0.29):  # the loop's clock has whole milliseconds
                assert how_it_ended(road.connect()) == "fin"

    def test_many_connections_leave_nothing_behind(self, ours):
        """Ten thousand connections opened and dropped, in all ways, leave descriptors and memory within a tenth."""
        with Road(ours) as road:
            self._churn(road, 100)  # what the first ones bring along
            wait_until(lambda: ours.usage()[1] < 20, "first connections are gone")
            before_bytes, before_descriptors = ours.usage()

            self._churn(road, 10_000)

            wait_until(lambda: ours.usage()[1] <= before_descriptors, "all connections are gone")
            assert ours.usage()[0] < before_bytes * 1.1

    def _churn(self, road: Road, count: int) -> None:
        for number in range(count):
            ends = road.travel()
            first, second = ends if number % 2 else reversed(ends)
            if number % 3:
                first.close()
            else:
                reset_now(first)
            second.close()
            road._open.clear()
            road._open.append(road._upstream)


@contextlib.contextmanager
def deaf_upstream():
    """Yield an address that drops whoever wants to connect: as a machine that is gone, it leaves him waiting."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as fillers:
        # With its queue full the kernel drops SYNs.
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yield "{}:{}".format(*full.getsockname())


# Every toxic, with settings under which it holds as much as it ever would; on the stream that it is made for.
GREEDY = {
    "bandwidth": {"rate": 0},
    "connect_blackhole": {},
    "connection_limit": {"connections": 9},
    "drop_reply": {"timeout": 60_000},
    "http_error": {},
    "latency": {"latency": 60_000},
    "latency_distribution": {"median": 60_000, "p99": 60_000},
    "limit_data": {"bytes": 2**40},
    "max_age": {"age": 60_000},
    "noop": {},
    "postgres_error": {},
    "redis_error": {},
    "reset_peer": {"timeout": 60_000},
    "shared_bandwidth": {"rate": 0},
    "slicer": {"average_size": 1, "delay": 1000},
    "slow_close": {"delay": 60_000},
    "stale_connections": {},
    "timeout": {"timeout": 0},
}
# Beginnings that never come to their end, for those that look for one.
ENDLESS = {
    "http_error": [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;"],
    "postgres_error": [
        b"\x7f\xff\xff\xff\0\3\0\0",
        b"\0\0\x27\x10\0\3\0\0",
        PG_STARTUP + b"Q\x7f\xff\xff\xff",
        PG_STARTUP + b"P\0\0\xff\xff",
    ],
    "redis_error": [b"*2\r\n$3\r\nSET\r\n$", b"*", b"*1\r\n$999\r\n", b"SET "],
}
FLOOD_BYTES = 32 * 2**20


class TestMemory:
    """A fast sender in front of a reader that stands still costs less than 4 MiB a connection, whatever is between."""

    def test_knows_every_toxic(self):
        """A new toxic is put on trial here too."""
        assert set(GREEDY) == set(TOXICS)

    @pytest.mark.parametrize(
        ("kind", "beginning"), [(kind, start) for kind in GREEDY for start in ENDLESS.get(kind, [b""])]
    )
    def test_stalled_reader_costs_little(self, ours, kind, beginning):
        """Data without an end, and without a meaning that any toxic could wait for."""
        with Road(ours) as road:
            stream = "upstream" if kind in UPSTREAM_ONLY else "downstream"
            ends = [] if kind in ENDLESS else [road.travel(), road.travel()]
            road.poison(kind, stream, **GREEDY[kind])
            ends = ends or [road.travel(), road.travel()]
            senders = [client if stream == "upstream" else upstream for client, upstream in ends]

            assert flooded_bytes(ours, senders, beginning, b"0" * 65536) / len(senders) < 4 * 2**20

    def test_answers_that_nobody_reads_cost_little(self, our_road):
        """A client that asks and asks is not heard any more once its answers pile up, and again when it reads them."""
        our_road.poison("http_error", "upstream")
        client, _ = our_road.travel()

        assert flooded_bytes(our_road.server, [client], b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 500) < 4 * 2**20
        client.settimeout(DEADLINE_S)
        wait_until(lambda: client.recv(2**20) and select.select([], [client], [], 0)[1], "it is heard again")


def flooded_bytes(server, senders, beginning: bytes, more: bytes) -> int:
    """Send until nobody has taken anything for a while, or a lot is sent; return what the server's memory grew by."""
    before_bytes, _ = server.usage()
    for sender in senders:
        sender.sendall(beginning)
        sender.setblocking(False)
    sent_bytes = 0
    with contextlib.suppress(ConnectionError):
        while sent_bytes < FLOOD_BYTES * len(senders) and (ready := select.select([], senders, [], QUIET_S)[1]):
            for sender in ready:
                sent_bytes += sender.send(more)
    return server.usage()[0] - before_bytes
