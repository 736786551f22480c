"""The replica's ear: what it makes of news, of silence and of a lost connection, and that it can be told to stop.

The subscriber is a list of what it hears here; the real one is met in the tests of the endpoints.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf

import pytest

from fixtures.reference.core.cache import Bus
from fixtures.reference.core.cache import _bus as module
from fixtures.reference.core.redis_link import Script
from suites.support.relay import Relay

SUBSCRIBED = {"type": "subscribe", "data": 1}
PONG = {"type": "pong", "data": b""}
SILENCE = None


def news(data: bytes) -> dict[str, object]:
    return {"type": "message", "data": data}


class Ear:
    """A subscriber that hears these, one after the other, and then nothing.

    The call named by `deaf` goes on when it is cancelled, as redis-py does on Python before 3.12 if it is told in the
    moment when its writing is done.
    """

    def __init__(self, *hears: object, deaf: str = "") -> None:
        self.hears, self.deaf, self.waits = list(hears), deaf, asyncio.Event()
        self.channels: list[str] = []
        self.pings = self.closed = 0

    async def _call(self, name: str) -> None:
        if name == self.deaf:
            self.deaf = ""  # once: a second time it ends, so that a bus that goes on fails its test and no more
            self.waits.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    async def subscribe(self, channel: str) -> None:
        self.channels.append(channel)
        await self._call("subscribe")

    async def get_message(self, *, timeout: float) -> object:  # noqa: ASYNC109 - the client's own signature
        assert timeout == module.SILENCE_S
        await self._call("get_message")
        if not self.hears:
            self.waits.set()
            await asyncio.Event().wait()
        heard = self.hears.pop(0)
        if isinstance(heard, Exception):
            raise heard
        return heard

    async def ping(self) -> None:
        self.pings += 1
        await self._call("ping")

    async def aclose(self) -> None:
        self.closed += 1


class Told:
    """A bus over these subscribers, one for each time that it subscribes, and what it told."""

    name = "ours"

    def __init__(self, *ears: Ear) -> None:
        self.ears, self.left = ears, list(ears)
        self.told: list[object] = []
        self.naps: list[float] = []
        self.losses: list[int] = []
        self.bus = Bus(
            self,
            on_news=lambda *heard: self.told.append(heard),
            on_tag=lambda tag: self.told.append(f"tag: {tag}"),
            on_gap=self.on_gap,
            on_loss=lambda: self.losses.append(len(self.told)),
            sleep=self.nap,
        )

    async def nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    def listen(self) -> Ear:
        self.told.append(f"listening: {self.bus.is_listening}")
        return self.left.pop(0)

    def on_gap(self) -> None:
        assert self.bus.is_listening
        self.told.append("gap")

    async def until_it_waits(self) -> None:
        """Let it hear everything, then stop it."""
        listening = asyncio.create_task(self.bus.listen_forever())
        ended = asyncio.create_task(self.ears[-1].waits.wait())
        await asyncio.wait([listening, ended], timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert ended.done()

        self.was_listening = self.bus.is_listening
        listening.cancel()
        await asyncio.wait([listening], timeout=5)
        assert listening.cancelled()


async def test_bus_tells_the_key_and_the_version_of_each_write():
    """Both as they were announced: a key may have a space, and what else Redis says is no news."""
    told = Told(Ear(SUBSCRIBED, news(b"v 12 a key"), PONG, news(b"v 7 b")))

    await told.until_it_waits()

    assert told.told == ["listening: False", "gap", ("a key", 12), ("b", 7)]
    assert told.ears[0].channels == ["cache:v2:news"]


async def test_bus_tells_what_was_invalidated():
    """By another: a key whatever its version, or a tag. By any: everything. Its own it has let go of by itself."""
    said = [b"x another a key", b"x ours our key", b"t another a tag", b"t ours our tag", b"a"]
    told = Told(Ear(SUBSCRIBED, *map(news, said)))

    await told.until_it_waits()

    assert told.told == ["listening: False", "gap", ("a key", inf), "tag: a tag", "gap"]
    assert told.bus.gaps == 2


@pytest.mark.parametrize("said", [b"v twelve a", b"v", b"\xff", b"", b"hello"])
async def test_bus_takes_news_that_it_cannot_read_for_a_gap(said):
    """Another release, or something else, said it: the bus goes on, and nothing held is believed."""
    told = Told(Ear(SUBSCRIBED, news(said), news(b"v 2 a")))

    await told.until_it_waits()

    assert told.told == ["listening: False", "gap", "gap", ("a", 2)]


@pytest.mark.parametrize("lost", [ConnectionError(), TimeoutError(), OSError()], ids=repr)
async def test_bus_takes_each_subscription_for_a_gap(lost):
    """What was said while nothing listened is lost, so what was held before it is not believed."""
    told = Told(Ear(SUBSCRIBED, lost), Ear(SUBSCRIBED))

    await told.until_it_waits()

    assert told.told == ["listening: False", "gap", "listening: False", "gap"]
    assert (told.bus.gaps, told.was_listening, told.bus.is_listening) == (2, True, False)
    assert [ear.closed for ear in told.ears] == [1, 1]
    assert told.naps == [module.RECONNECT_S]


async def test_bus_tells_that_it_hears_nothing_any_more_once_and_only_if_it_did():
    """Before it subscribes again; a subscription that never came is no loss, and the end of the bus is one."""
    told = Told(Ear(SUBSCRIBED, ConnectionError()), Ear(OSError()), Ear(SUBSCRIBED))

    await told.until_it_waits()

    assert told.told == ["listening: False", "gap", "listening: False", "listening: False", "gap"]
    assert told.losses == [2, 5]


async def test_bus_asks_a_silent_connection_and_gives_up_one_that_stays_silent():
    """One silence is asked about, and an answer is enough; the second in a row ends the connection."""
    told = Told(
        Ear(SUBSCRIBED, SILENCE, PONG, SILENCE, news(b"v 1 a"), SILENCE, SILENCE, news(b"v 2 a")), Ear(SUBSCRIBED)
    )

    await told.until_it_waits()

    assert told.told == ["listening: False", "gap", ("a", 1), "listening: False", "gap"]
    assert [ear.pings for ear in told.ears] == [3, 0]


@pytest.mark.parametrize("deaf", ["subscribe", "get_message", "ping"])
async def test_bus_ends_when_it_is_told_to_whatever_the_client_does(deaf):
    """A bus that goes on listening would keep its replica from ever stopping."""
    told = Told(Ear(SUBSCRIBED, SILENCE, deaf=deaf))

    await told.until_it_waits()

    assert told.ears[0].closed == 1


async def listening(link, sleep=asyncio.sleep):
    """Begin to listen through a link; return the bus, what it is told, and the task."""
    told: list[object] = []
    bus = Bus(
        link,
        on_news=lambda *news: told.append(news),
        on_tag=told.append,
        on_gap=lambda: told.append("gap"),
        sleep=sleep,
    )
    return bus, told, asyncio.create_task(bus.listen_forever())


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what the bus has heard is not an event of its own
            await asyncio.sleep(0.002)


async def test_bus_notices_a_connection_that_fell_silent_without_a_reset(linked, redis_port, monkeypatch):
    """Nothing comes and nothing is refused: after two silences it subscribes anew, and hears again what is said."""
    monkeypatch.setattr(module, "SILENCE_S", 0.05)
    relay = Relay(redis_port)
    await relay.mend()
    bus, told, task = await listening(linked(port=relay.port))
    await until(lambda: bus.gaps == 1)

    relay.silence()
    await until(lambda: not bus.is_listening)
    await relay.cut()
    await relay.mend()
    await until(lambda: bus.is_listening)
    say = Script("return redis.call('PUBLISH', ARGV[1], 'v 3 silent')")
    await linked().run(say, [], ["cache:v2:news"])
    await until(lambda: ("silent", 3) in told)

    task.cancel()
    await asyncio.wait([task])
    await relay.cut()
    assert bus.gaps == 2


@pytest.mark.parametrize("how", ["refused", "accepted and closed"])
async def test_bus_pauses_before_each_attempt_to_subscribe(linked, dead_port, how):
    """A port that refuses, or closes what it accepts, is asked once a pause and not thousands of times a second."""
    naps, enough = [], asyncio.Event()

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 5:
            enough.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0 if how != "refused" else dead_port)
    port = server.sockets[0].getsockname()[1]
    if how == "refused":
        server.close()
    bus, told, task = await listening(linked(port=port), nap)
    async with asyncio.timeout(20):
        await enough.wait()
    task.cancel()
    await asyncio.wait([task])
    server.close()

    assert naps == [module.RECONNECT_S] * 5
    assert module.RECONNECT_S >= 0.1
    assert (told, bus.gaps) == ([], 0)
