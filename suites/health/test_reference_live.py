"""`/live` over real WebSockets: what a client is told, and what it may cost; before real servers that can be cut off."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import Close

from fixtures.reference.app import create_app
from fixtures.reference.hub import Hub, LivePolicy
from fixtures.reference.live import MESSAGE_MAX_CHARS
from suites.support.live import listener, listening, mute
from suites.support.replicas import is_ready, put, quick_settings, series_of, until


class Replica:
    """One, with a client for requests and the port for WebSockets."""

    def __init__(self, app, client, port) -> None:
        self.app, self.client, self.port = app, client, port
        self.hub = app.state.parts.hub

    def listener(self, **headers):
        return listener(self.port, **headers)

    async def put(self, item, value, **headers) -> int:
        """Write; return the version."""
        return int((await put(self.client, item, value, **headers)).headers["x-version"])


@asynccontextmanager
async def replica(world, name="one", *, uvicorn=None, **settings):
    app = create_app(quick_settings(world.redis.port, world.postgres.port, replica=name, **settings))
    async with (
        listening(app, **(uvicorn or {})) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        await until(lambda: is_ready(app, client))
        yield Replica(app, client, port)


def told(*pairs):
    return [{"type": "changed", "item": item, "version": version} for item, version in pairs]


async def test_client_is_told_of_each_change_wherever_it_was_written(world):
    """Three writes on another replica and one on its own: each once, in order, and a read then finds no older one."""
    async with replica(world, "one") as one, replica(world, "two") as two, one.listener() as client:
        await one.client.get("/items/1500")
        answer = await client.subscribes(1500, 1501)
        assert answer == {"type": "subscribed", "items": [1500, 1501], "reread": [], "hears": True}
        await two.put(1502, "of no interest")
        versions = [await two.put(1500, f"{number}") for number in range(3)]
        versions.append(await one.put(1500, "its own"))
        heard = [await client.hears() for _ in versions]
        found = await one.client.get("/items/1500")

    assert heard == told(*((1500, version) for version in versions))
    assert found.json()["value"] == "its own"


async def test_client_is_told_of_the_items_of_its_tenant_only(world):
    """The same number of another tenant, or of none, is another item."""
    async with replica(world) as one, one.listener(x_tenant="acme") as client:
        await client.subscribes(1510)
        await one.put(1510, "of none")
        await one.put(1510, "of another", **{"x-tenant": "other"})
        version = await one.put(1510, "its own", **{"x-tenant": "acme"})

        assert await client.hears() == told((1510, version))[0]


async def test_client_is_told_no_more_of_what_it_left(world):
    """After the answer to `unsubscribe` only the other item is told of, and nothing is kept of the first."""
    async with replica(world) as one, one.listener() as client:
        await client.subscribes(1515, 1516)
        assert await client.asks(type="unsubscribe", items=[1515, 1999]) == {
            "type": "unsubscribed",
            "items": [1515, 1999],
        }
        await one.put(1515, "x")
        version = await one.put(1516, "x")

        assert await client.hears() == told((1516, version))[0]
        assert one.hub._by_key.keys() == {"/1516"}


async def test_client_that_comes_back_is_told_what_it_missed(world):
    """It says which versions it has: of one there is a newer one, of one there is not, and one it does not have."""
    async with replica(world, "one") as one, replica(world, "two") as two:
        has = {item: await one.put(item, "before") for item in (1520, 1521)}
        newer = await one.put(1520, "while it was away")
        async with two.listener() as client:
            answer = await client.subscribes(v1520=has[1520], v1521=has[1521], v1522=0, v199999=0)
            heard = [answer, await client.hears(), await client.hears()]
        changes = [message for message in heard if message["type"] == "changed"]

    # One that it was told of and read is not told again, even if the news of it come later.
    assert sorted(map(str, changes)) == sorted(map(str, told((1520, newer), (1522, 1))))


async def test_client_may_know_better_than_the_replica_what_it_has(world):
    """One that read an older version elsewhere after it was told of a newer one says so, and is told again."""
    async with replica(world) as one, one.listener() as client:
        before = await one.put(1525, "x")
        await client.subscribes(1525)
        version = await one.put(1525, "y")
        assert await client.hears() == told((1525, version))[0]

        heard = [await client.asks(type="subscribe", items=[{"item": 1525, "version": before}]), await client.hears()]

    assert told((1525, version))[0] in heard


async def test_what_cannot_be_compared_is_to_be_read_anew(world):
    """Without Postgres a cold item cannot be compared with what the client has: it is named in the answer."""
    async with replica(world) as one, one.listener() as client:
        await world.postgres.cut()

        answer = await client.subscribes(v1530=1)

    assert (answer["items"], answer["reread"]) == ([1530], [1530])


async def test_lost_news_are_said_and_what_may_have_been_missed(world):
    """With Redis cut a client hears `paused`, and a new one is welcomed with it; when it is back, what to read anew."""
    async with replica(world) as one, one.listener() as client:
        assert client.welcome["hears"] is True
        await client.subscribes(1540, 1541)
        await world.redis.cut()
        assert await client.hears() == {"type": "paused"}
        async with one.listener() as late:
            assert late.welcome["hears"] is False
            assert (await late.subscribes(1540))["hears"] is False
            version = await one.put(1540, "while nothing was heard")
            await world.redis.mend()

            heard = [await each.hears() for each in (client, late)]

        assert heard[0] == {"type": "reread", "items": [1540, 1541]}
        assert heard[1] == {"type": "reread", "items": [1540]}
        assert int((await one.client.get("/items/1540")).headers["x-version"]) == version


@pytest.mark.parametrize(
    ("message", "where"),
    [
        pytest.param("{", [], id="no JSON"),
        pytest.param('{"type": "listen"}', [], id="a type that there is not"),
        pytest.param('{"type": "subscribe", "items": []}', ["subscribe", "items"], id="no items"),
        pytest.param(
            '{"type": "subscribe", "items": [{"item": -1}]}', ["subscribe", "items", 0, "item"], id="negative"
        ),
        pytest.param('{"type": "unsubscribe", "items": [5.0]}', ["unsubscribe", "items", 0], id="no whole number"),
        pytest.param('{"type": "unsubscribe", "items": [1], "x": 1}', ["unsubscribe", "x"], id="a key too many"),
    ],
)
async def test_nonsense_is_answered_and_ends_nothing(world, message, where):
    """What is wrong is said, without the input; the next message is understood."""
    async with replica(world) as one, one.listener() as client:
        await client.connection.send(message)
        answer = await client.hears()

        assert (answer["type"], answer["error"]) == ("error", "invalid message")
        assert where == answer["faults"][0]["where"]
        assert (await client.subscribes(1550))["items"] == [1550]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(b"bytes", 1003, id="binary"),
        pytest.param("x" * MESSAGE_MAX_CHARS, None, id="as long as may be"),
        pytest.param("x" * (MESSAGE_MAX_CHARS + 1), 1009, id="longer"),
    ],
)
async def test_what_is_no_message_of_ours_ends_the_connection(world, message, code):
    """Bytes, and what is too long, with the codes of the standard."""
    async with replica(world) as one, one.listener() as client:
        await client.connection.send(message)

        if code is None:
            assert (await client.hears())["type"] == "error"
        else:
            assert await client.ended() == code
            assert len(one.hub) == 0


async def test_client_subscribes_to_no_more_than_it_may(world):
    """With three at most, a fourth is refused as a whole, and what was subscribed to stays."""
    async with replica(world, live={"max_items": 3}) as one, one.listener() as client:
        await client.subscribes(1560, 1561)
        refused = await client.subscribes(1562, 1563)
        version = await one.put(1562, "x")
        again = await client.subscribes(1561, 1562)
        heard = await one.put(1562, "y")

        assert refused == {"type": "error", "error": "no more than 3 items; nothing was subscribed to"}
        assert again["items"] == [1561, 1562]
        assert await client.hears() == told((1562, heard))[0]
    assert heard == version + 1


async def test_replica_takes_no_more_clients_than_it_may(world):
    """The third of two is told to come back later, before the handshake; when one has left there is room."""
    async with replica(world, live={"max_connections": 2}) as one:
        async with one.listener(), one.listener():
            with pytest.raises(InvalidStatus) as refused:
                await one.listener(x_request_id="third").__aenter__()
            seen = await series_of(one.client)

        response = refused.value.response
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert (response.headers["x-replica"], response.headers["x-request-id"]) == ("one", "third")
        assert json.loads(response.body) == {
            "error": "this replica has as many clients as it takes",
            "retry_after_s": 1.0,
        }
        refusals = [seen[f"reference_live_refused_total['{cause}']"] for cause in ("full", "leaving")]
        assert (seen["reference_live_connections[]"], refusals) == (2, [1, 0])

        async def has_room() -> bool:
            return (await series_of(one.client))["reference_live_connections[]"] == 0

        await until(has_room)
        async with one.listener():
            pass


async def test_client_pays_for_its_messages_and_for_each_comparison(world):
    """A bucket of three: the handshake, a message and one comparison; what is left is told to be read, or refused."""
    limit = {"rate_per_s": 0.001, "burst": 3}
    async with replica(world, limiter=limit) as one, one.listener(x_client_key="greedy") as client:
        answer = await client.subscribes(v1570=1, v1571=1)
        refused = await client.subscribes(1572)
        with pytest.raises(InvalidStatus) as turned_away:
            await one.listener(x_client_key="greedy").__aenter__()

    assert len(answer["reread"]) == 1
    assert (refused["type"], refused["retry_after_s"] > 900) == ("error", True)
    assert turned_away.value.response.status_code == 429
    assert int(turned_away.value.response.headers["retry-after"]) > 900


async def test_handshake_is_refused_in_the_words_of_any_request(world):
    """A tenant that is none is 422 with what is wrong; a plain request is told that this is a WebSocket."""
    async with replica(world) as one:
        with pytest.raises(InvalidStatus) as refused:
            await one.listener(x_tenant="NO TENANT").__aenter__()
        plain = await one.client.get("/live")

    assert refused.value.response.status_code == 422
    assert json.loads(refused.value.response.body)["faults"][0]["where"] == ["header", "x-tenant"]
    assert (plain.status_code, plain.headers["upgrade"]) == (426, "websocket")


async def test_request_id_of_a_client_is_in_its_answer_and_its_lines(world, capfd):
    """Of the handshake, in the line at its end and in what is logged on it; no line has an address."""
    async with replica(world, log_requests=True) as one:
        async with one.listener(x_request_id="live-1") as client:
            assert (client.headers["x-request-id"], client.headers["x-replica"]) == ("live-1", "one")
        await until(lambda: asyncio.sleep(0, len(one.hub) == 0))
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "WEBSOCKET" in line]

    (line,) = lines
    assert (line["request_id"], line["route"], line["status"], line["event"]) == ("live-1", "/live", 101, "request")


async def test_client_that_answers_no_pings_is_gone_soon(world):
    """Uvicorn's own pings: one that gives no sign of life is closed and forgotten; one that does is not."""
    async with replica(world, uvicorn={"ws_ping_interval": 0.1, "ws_ping_timeout": 0.2}) as one:
        async with one.listener() as alive, mute(one.port) as silent:
            await until(lambda: asyncio.sleep(0, len(one.hub) == 2))
            read = await silent.rest()
            assert Close(1011, "keepalive ping timeout").serialize() in read
            await until(lambda: asyncio.sleep(0, len(one.hub) == 1))

            assert (await alive.subscribes(1580))["items"] == [1580]


async def test_client_that_takes_nothing_is_cut(world, capfd):
    """Its connection is full; after the time that it may take it is cut, counted and logged; others are told as before."""
    async with replica(world, live={"send_timeout_s": 0.3, "queue_max": 10}, log_requests=True) as one:
        async with one.listener() as other, mute(one.port) as stuck:
            await stuck.says('{"type": "subscribe", "items": [{"item": 1590}]}')
            await until(lambda: asyncio.sleep(0, "/1590" in one.hub._by_key))
            await other.subscribes(1591)
            version = 10
            async with asyncio.timeout(60):
                while one.hub.cut == 0:
                    version += 1
                    one.hub.tell("/1590", version)
                    await asyncio.sleep(0)
            seen = await series_of(one.client)

            assert told((1591, await one.put(1591, "x"))) == [await other.hears()]
            assert len(one.hub) == 1
            await until(stuck.is_reset)

    assert (seen["reference_live_cut_total[]"], seen["reference_live_connections[]"]) == (1, 1)
    assert seen["reference_live_dropped_total[]"] >= 1
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "live client cut" in line]
    assert [(line["level"], line["subscribed"], "request_id" in line) for line in lines] == [("warning", 1, True)]


async def test_metrics_of_live_are_what_clients_were_told(world):
    """Two clients, two welcomes, two answers and three changes: seven messages; none dropped, and nobody left."""
    async with replica(world) as one:
        async with one.listener() as first, one.listener() as second:
            await first.subscribes(1600)
            await second.subscribes(1600, 1601)
            await one.put(1600, "x")
            await one.put(1601, "x")
            for client, count in ((first, 1), (second, 2)):
                assert [(await client.hears())["type"] for _ in range(count)] == ["changed"] * count
            seen = await series_of(one.client)

        assert [
            seen[f"reference_live_{name}[]"] for name in ("connections", "sent_total", "dropped_total", "cut_total")
        ] == [
            2,
            7,
            0,
            0,
        ]


async def test_mistake_of_ours_ends_the_connection_and_is_logged_once(world, capfd, monkeypatch):
    """1011 for the client, one line with its request id, one in the metrics, and no ear is left."""
    async with replica(world) as one, one.listener(x_request_id="unlucky") as client:

        def mistake(*_: object, **__: object) -> None:
            raise ZeroDivisionError("a secret")

        monkeypatch.setattr(one.hub, "subscribe", mistake)
        await client.connection.send('{"type": "subscribe", "items": [{"item": 1}]}')
        assert await client.ended() == 1011
        seen = await series_of(one.client)
        assert len(one.hub) == 0

    assert seen["reference_errors_total['internal']"] == 1
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "unexpected error" in line]
    assert [(line["request_id"], line["route"]) for line in lines] == [("unlucky", "/live")]


# The hub alone: what a slow client costs.


def ear_of(hub, *items, known=None):
    ear = hub.open()
    assert hub.subscribe(ear, {f"/{item}": item for item in items}, known=known or {})
    return ear


def waiting(ear):
    """Take all that an ear keeps for its client."""
    taken = []
    while (message := ear._take()) is not None:
        taken.append(message)
    return taken


@pytest.mark.parametrize(("changes", "dropped"), [(4, 0), (5, 5), (7, 7)])
def test_slow_client_is_told_each_change_or_to_read_anew(changes, dropped):
    """Four fit; with a fifth all are dropped for one word, which also stands for what comes until it was sent."""
    hub = Hub(LivePolicy(queue_max=4))
    ear = ear_of(hub, 1, 2)

    for version in range(1, changes + 1):
        hub.tell("/1", version)

    assert hub.dropped == dropped
    assert waiting(ear) == (
        [{"type": "reread", "items": [1, 2]}] if dropped else told(*((1, version) for version in range(1, 5)))
    )
    hub.tell("/1", 100)
    assert waiting(ear) == told((1, 100))
    hub.close(ear)
    assert (hub.dropped, len(hub), hub._by_key) == (dropped, 0, {})


def test_change_is_told_once_and_none_that_the_client_has():
    """News of a version that it has, was told of, or that is older are none; what is outdated whatever it is, always is."""
    hub = Hub(LivePolicy())
    ear = ear_of(hub, 1, 2, known={"/1": 5})

    for version in (4, 5, 6, 6, 5, float("inf"), float("inf"), 7):
        hub.tell("/1", version)

    assert waiting(ear) == told((1, 6), (1, None), (1, None), (1, 7))


async def test_answers_come_before_changes_and_a_client_that_reads_none_is_not_listened_to():
    """`answered` waits until the last of them was taken; a client that is to go hears nothing more."""
    hub = Hub(LivePolicy())
    ear = ear_of(hub, 1)
    hub.tell("/1", 1)
    ear.say({"type": "a"})
    ear.say({"type": "b"})
    answered = asyncio.create_task(ear.answered())

    assert await ear.next() == {"type": "a"}
    await asyncio.sleep(0)
    assert not answered.done()
    assert await ear.next() == {"type": "b"}
    await answered
    hub.leave()
    assert await ear.next() is None


def test_loss_and_gap_are_told_to_all_and_a_gap_makes_up_for_an_untold_loss():
    """`paused` if it can still be told before the news are back; `reread` in any case."""
    hub = Hub(LivePolicy())
    one, two = ear_of(hub, 1), ear_of(hub, 2)
    hub.tell("/1", 1)

    hub.go_deaf()
    assert hub.hears is False
    assert waiting(one) == [{"type": "paused"}, *told((1, 1))]
    hub.miss()

    assert hub.hears is True
    assert [waiting(one), waiting(two)] == [[{"type": "reread", "items": [1]}], [{"type": "reread", "items": [2]}]]


@pytest.mark.parametrize("field", ["max_connections", "max_items", "queue_max", "send_timeout_s"])
def test_what_makes_no_sense_is_refused(field):
    """Zero of anything is a service that tells nobody."""
    with pytest.raises(ValueError, match=field):
        LivePolicy(**{field: 0})
