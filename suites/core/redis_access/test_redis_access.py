"""Values of one kind in a real Redis: what each command does, and what is refused as no such value."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass

import pytest

from fixtures.reference.core.breaker import DependencyFailed, Unavailable
from fixtures.reference.core.redis_access import Above, BadValue, Below, Json, RedisAccess, of_type


@dataclass(frozen=True)
class Order:
    """A value that is checked: an item's name, and a count of at least one."""

    item: str
    count: int

    @classmethod
    def parse(cls, said) -> Order:
        order = cls(**said)
        if type(order.item) is not str or type(order.count) is not int or order.count < 1:
            raise ValueError(order)
        return order


ORDERS = Json(parse=Order.parse, build=asdict)
ROUNDED_S = 0.002  # Redis counts in milliseconds, by a clock that it looks at now and then
TEA, SALT, RICE = Order("tea", 1), Order("salt", 2), Order("rïce", 3)


@pytest.fixture
async def orders(linked, request):
    """Orders under a prefix of this test's own."""
    return RedisAccess(linked(), ORDERS, prefix=f"{request.node.name}:")


@pytest.fixture
async def ranked(orders):
    """A sorted set of three: tea 1.5, salt 2, rice 3."""
    assert await orders.zadd("z", (TEA, 1.5), (SALT, 2), (RICE, 3)) == 3
    return orders


def items_of(scored) -> list[str]:
    return [each.value.item for each in scored]


async def test_access_returns_what_was_put(orders):
    """A value comes back as its kind, and only under its key (C8)."""
    assert await orders.set("a", RICE)

    assert await orders.get("a") == RICE
    assert await orders.get("b") is None
    assert await orders.mget("b", "a") == [None, RICE]
    assert await orders.mget() == []
    assert (await orders.exists("a"), await orders.exists("b")) == (True, False)


async def test_access_puts_a_key_under_its_prefix(orders, linked):
    """Two kinds of values with one key each do not meet."""
    others = RedisAccess(linked(), of_type(str), prefix="others:")
    await orders.set("same", TEA)
    await others.set("same", "another")

    assert await orders.get("same") == TEA
    assert await orders._link.call("GET", orders._prefix + "same") == b'{"count":1,"item":"tea"}'
    assert await others.delete("same", "none") == 1
    assert await orders.exists("same")


async def test_access_removes_keys(orders):
    """Told is how many there were; asked for none, Redis is not asked."""
    await orders.set("a", TEA)

    assert await orders.delete("a", "b") == 1
    assert await orders.delete() == 0
    assert await orders.get("a") is None


async def test_access_lets_keys_end(orders):
    """A time to live is put, replaced by the next one, and taken away where none is said (C7)."""
    began_s = time.monotonic()
    await orders.set("a", TEA, ttl_s=100)
    left_s = await orders.ttl_s("a")
    assert 100 - (time.monotonic() - began_s) - ROUNDED_S <= left_s <= 100
    await orders.set("a", TEA, ttl_s=7)
    left_s = await orders.ttl_s("a")
    assert 7 - (time.monotonic() - began_s) - ROUNDED_S <= left_s <= 7
    await orders.set("a", TEA)
    assert await orders.ttl_s("a") == math.inf
    assert await orders.ttl_s("b") is None

    assert await orders.set("c", TEA, ttl_s=0.0001)  # rounded to the least there is, not to none
    assert await orders.expire("a", 0.0001)
    assert not await orders.expire("b", 5)
    while await orders.exists("a"):
        continue


@pytest.mark.parametrize("ttl_s", [0, -1, math.inf, math.nan])
async def test_access_refuses_a_time_to_live_that_is_none(orders, ttl_s):
    """Redis would remove the key at once or refuse; nothing is sent (C7)."""
    with pytest.raises(ValueError, match="a time to live"):
        await orders.set("a", TEA, ttl_s=ttl_s)
    with pytest.raises(ValueError, match="a time to live"):
        await orders.expire("a", ttl_s)
    assert not await orders.exists("a")


async def test_access_puts_only_what_is_new_where_asked_to(orders):
    """The first of two stays, and the second is told so."""
    assert await orders.set("a", TEA, is_new=True)
    assert not await orders.set("a", SALT, is_new=True)

    assert await orders.get("a") == TEA


async def test_access_counts(orders):
    """A counter begins at 0, in a key or in a field."""
    assert [await orders.incrby("n"), await orders.incrby("n", 5), await orders.incrby("n", -2)] == [1, 6, 4]
    assert [await orders.hincrby("h", "n"), await orders.hincrby("h", "n", -3)] == [1, -2]


async def test_access_keeps_fields(orders):
    """Put, read one, some, all, count, remove."""
    assert await orders.hset("h", {"a": TEA, "b": SALT}) == 2
    assert await orders.hset("h", {"b": RICE, "ç": TEA}) == 1
    assert await orders.hset("h", {}) == 0

    assert await orders.hlen("h") == 3
    assert await orders.hget("h", "b") == RICE
    assert await orders.hget("h", "none") is None
    assert await orders.hmget("h", "ç", "none", "a") == [TEA, None, TEA]
    assert await orders.hmget("h") == []
    assert await orders.hgetall("h") == {"a": TEA, "b": RICE, "ç": TEA}
    assert await orders.hdel("h", "a", "none") == 1
    assert await orders.hdel("h") == 0
    assert await orders.hlen("h") == 2
    assert (await orders.hlen("none"), await orders.hgetall("none")) == (0, {})


async def test_access_ranks_members(ranked):
    """Ranges of ranks from either end, both ends within, each member with its score."""
    assert items_of(await ranked.zrange("z", 0, -1)) == ["tea", "salt", "rïce"]
    assert await ranked.zrevrange("z", 0, 1) == [(RICE, 3.0), (SALT, 2.0)]
    assert await ranked.zrevrange("z", 5, 9) == []
    assert (await ranked.zrank("z", SALT), await ranked.zrevrank("z", TEA)) == (1, 2)
    assert (await ranked.zrank("z", Order("none", 1)), await ranked.zrevrank("z", Order("none", 1))) == (None, None)
    assert await ranked.zcard("z") == 3
    assert await ranked.zcard("none") == 0


@pytest.mark.parametrize(
    ("begin", "end", "items"),
    [
        (1.5, 3, ["tea", "salt", "rïce"]),
        (Above(1.5), 3, ["salt", "rïce"]),
        (1.5, Below(3), ["tea", "salt"]),
        (Above(2), Below(3), []),
        (-math.inf, 2, ["tea", "salt"]),
        (2, math.inf, ["salt", "rïce"]),
        (Above(-math.inf), Below(math.inf), ["tea", "salt", "rïce"]),
        (3, 1, []),
    ],
)
async def test_access_finds_counts_and_removes_the_same_members_by_score(ranked, begin, end, items):
    """Bounds are within unless they are said to be beyond; all three commands mean the same by them."""
    assert items_of(await ranked.zrangebyscore("z", begin, end)) == items
    assert await ranked.zcount("z", begin, end) == len(items)

    assert await ranked.zremrangebyscore("z", begin, end) == len(items)
    assert await ranked.zcard("z") == 3 - len(items)


async def test_access_pages_through_scores(ranked):
    """So many, after leaving some out; all of the rest where no number is said."""
    assert items_of(await ranked.zrangebyscore("z")) == ["tea", "salt", "rïce"]
    assert items_of(await ranked.zrangebyscore("z", skip=1, most=1)) == ["salt"]
    assert items_of(await ranked.zrangebyscore("z", skip=1)) == ["salt", "rïce"]
    assert items_of(await ranked.zrangebyscore("z", most=0)) == []


async def test_access_keeps_scores_to_the_last_bit(orders):
    """A score comes back as the double that it was, and is found by it."""
    for score in (0.1 + 0.2, -1e-300, 2**53 + 2.0, 1e300, math.inf, -math.inf):
        await orders.zadd("z", (TEA, score))
        assert await orders.zscore("z", TEA) == score
        assert await orders.zcount("z", score, score) == 1
    assert await orders.zscore("z", SALT) is None


async def test_access_refuses_a_score_that_is_no_number(orders):
    """Redis cannot order it; nothing is sent."""
    with pytest.raises(ValueError, match="not NaN"):
        await orders.zadd("z", (TEA, math.nan))
    with pytest.raises(ValueError, match="not NaN"):
        await orders.zcount("z", math.nan)
    with pytest.raises(ValueError, match="not NaN"):
        await orders.zcount("z", 0, Below(math.nan))


async def test_access_moves_members(ranked):
    """Put again, a member moves and is not new; unless only new ones were to be put."""
    assert await ranked.zadd("z", (TEA, 9), (Order("new", 1), 8)) == 1
    assert await ranked.zadd("z", (SALT, 99), is_new=True) == 0
    assert await ranked.zadd("z") == 0
    assert await ranked.zincrby("z", RICE, 0.5) == 3.5

    assert await ranked.zrange("z", 0, -1) == [(SALT, 2), (RICE, 3.5), (Order("new", 1), 8), (TEA, 9)]


async def test_access_removes_members(ranked):
    """By value, however its fields were ordered when it was put, and by rank."""
    await ranked._link.call("ZADD", ranked._prefix + "z", "4", b'{"count":4,"item":"oats"}')

    assert await ranked.zrem("z", Order(count=4, item="oats"), Order("none", 1)) == 1
    assert await ranked.zrem("z") == 0
    assert await ranked.zremrangebyrank("z", 0, 0) == 1
    assert items_of(await ranked.zrange("z", 0, -1)) == ["salt", "rïce"]


async def test_access_keeps_lists(orders):
    """Put at either end, read, cut, take."""
    assert await orders.rpush("l", TEA, SALT) == 2
    assert await orders.lpush("l", RICE) == 3

    assert await orders.llen("l") == 3
    assert await orders.lrange("l", 0, -1) == [RICE, TEA, SALT]
    await orders.ltrim("l", 0, 1)
    assert [await orders.lpop("l") for _ in range(3)] == [RICE, TEA, None]
    assert await orders.llen("l") == 0
    with pytest.raises(ValueError, match="nothing to put"):
        await orders.rpush("l")


async def test_access_keeps_sets(orders):
    """Each member once."""
    assert await orders.sadd("s", TEA, SALT, TEA) == 2
    assert await orders.sadd("s") == 0

    assert (await orders.sismember("s", SALT), await orders.sismember("s", RICE)) == (True, False)
    assert sorted(order.item for order in await orders.smembers("s")) == ["salt", "tea"]
    assert await orders.srem("s", TEA, RICE) == 1
    assert await orders.srem("s") == 0
    assert await orders.scard("s") == 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"item":"tea","count":NaN}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"item":"tea","count":0}', "another kind"),
        (b'{"item":"tea","count":"1"}', "another kind"),
        (b'{"item":"hunter2"}', "another kind"),
        (b'{"item":"tea","count":1,"more":1}', "another kind"),
        (b"[]", "another kind"),
        (b"null", "another kind"),
    ],
    ids=range(11),
)
async def test_access_believes_no_value_of_another_kind(orders, raw, why):
    """What something else wrote is refused by each way of reading, says where and not what, and Redis is not blamed."""
    at = {name: orders._prefix + name for name in "khzls"}
    await orders._link.call("SET", at["k"], raw)
    await orders._link.call("HSET", at["h"], "f", raw)
    await orders._link.call("ZADD", at["z"], "1", raw)
    await orders._link.call("RPUSH", at["l"], raw)
    await orders._link.call("SADD", at["s"], raw)

    reads = [
        orders.get("k"),
        orders.mget("k"),
        orders.hget("h", "f"),
        orders.hmget("h", "f"),
        orders.hgetall("h"),
        orders.zrange("z", 0, -1),
        orders.zrevrange("z", 0, -1),
        orders.zrangebyscore("z"),
        orders.lrange("l", 0, -1),
        orders.lpop("l"),
        orders.smembers("s"),
    ]
    for read in reads:
        with pytest.raises(BadValue, match=f"^[khzls]: .*{why}") as refused:
            await read
        assert "hunter2" not in f"{refused.value!r}"
    assert orders._link.breaker.recent()[0] == 0


async def test_access_tells_true_from_one(linked):
    """JSON's true is no count, though Python's is an int."""
    counts = RedisAccess(linked(), of_type(int), prefix="counts:")
    await counts._link.call("SET", "counts:a", b"true")

    with pytest.raises(BadValue, match="another kind"):
        await counts.get("a")
    await counts.set("a", 1)
    assert await counts.get("a") == 1


async def test_access_refuses_to_put_what_json_cannot_say(linked):
    """Infinity would be read by no other language; nothing is sent."""
    numbers = RedisAccess(linked(), of_type(float), prefix="numbers:")

    with pytest.raises(ValueError, match="not JSON compliant"):
        await numbers.set("a", math.inf)
    assert not await numbers.exists("a")


async def test_access_is_refused_the_wrong_command_without_blaming_redis(orders):
    """A list asked as a hash is a mistake of the service: told, and no failure of Redis."""
    await orders.rpush("l", TEA)

    for _ in range(6):
        with pytest.raises(DependencyFailed, match="ResponseError"):
            await orders.hlen("l")
    assert orders._link.breaker.recent()[0] == 0


async def test_access_stops_asking_a_dead_redis(linked, dead_port):
    """It goes through the breaker of the link: five refusals, then none is asked."""
    link = linked(port=dead_port)
    orders = RedisAccess(link, ORDERS, prefix="dead:")

    for _ in range(8):
        with pytest.raises(Unavailable):
            await orders.zcard("z")
    assert (link.breaker.admitted, link.breaker.rejected) == (5, 3)
