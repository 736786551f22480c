"""A Redis as faults of data change it and set it right: known by its run id, which is another one after each start.

So a ledger never makes the harness change a server that has merely the address of the one that it speaks of, and what a
restart has undone is taken for done.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis

from harness.clock import SystemClock, is_met_within
from harness.errors import FaultError
from harness.stack.components.redis import client_of
from harness.stack.service import Address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LEASE_S = 0.25
"""For so long at a time Redis is told to answer nothing; it looks at its clock ten times a second (`hz`)."""

LATE_S = 2.0
"""So much longer than asked for it is told so: the last look at a dose, and its end, come late on a busy machine."""


def facts_of(address: Address) -> dict[str, Any]:
    """Return what another process needs to find the Redis that runs at `address` now.

    Raises:
        FaultError: If it does not answer.
    """
    with changing(address) as client:
        return {"host": address.host, "port": address.port, "run_id": _run_id(client)}


@contextmanager
def changing(address: Address) -> Iterator[redis.Redis]:
    """Speak with the Redis at `address`, and turn every way to fail into one error.

    Raises:
        FaultError: If it does not do as it is told.
    """
    try:
        with client_of(address) as client:
            yield client
    except redis.RedisError as error:
        fix = "see its log; it must run, and take commands of an administrator"
        raise FaultError(f"Redis does not do as it is told: {error}", where=str(address), fix=fix) from error


@contextmanager
def found_again(facts: Mapping[str, Any]) -> Iterator[redis.Redis | None]:
    """Speak with the very server that `facts` name; None if it is gone, or was started anew, which undoes all.

    Raises:
        FaultError: If it is there and does not do as it is told.
    """
    with changing(Address(facts["host"], int(facts["port"]))) as client:
        yield client if _is_same(client, facts) else None


def let_answer(facts: Mapping[str, Any]) -> bool:
    """Let the server answer its clients again, and return when it does; tell whether it is there to do so.

    One that answers nothing takes no command that would end it: what keeps it so has ended with the run, or does by
    itself after `lasts_s`.

    Raises:
        FaultError: If it is still silent then.
    """
    if facts["blocks"] == "everything":
        _wait_for_an_answer(facts)
    with found_again(facts) as client:
        if client is None:
            return False
        if facts["blocks"] == "writes":
            client.client_unpause()
        return True


def takes_writes(address: Address) -> bool:
    """Tell whether what is there answers a write in time, be it with a refusal; what is gone keeps none waiting."""
    try:
        with client_of(address) as client:
            client.set("readiness-look", "here", xx=True)  # sets what is there alone, and nothing has that key
    except redis.TimeoutError:
        return False
    except redis.RedisError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What a Redis holds.

    Attributes:
        used_bytes: All that it has.
        own_bytes: Of that, what it had when it had just started.
        evicted: Keys that it has dropped for want of memory since then.
    """

    used_bytes: int
    own_bytes: int
    evicted: int


def memory_use(address: Address) -> MemoryUse:
    """Return what the Redis at `address` holds now."""
    with changing(address) as client:
        memory, stats = client.info("memory"), client.info("stats")
    return MemoryUse(int(memory["used_memory"]), int(memory["used_memory_startup"]), int(stats["evicted_keys"]))


def memory_facts(address: Address) -> dict[str, Any]:
    """Return what undoing `limit_memory` needs: the very server, and its bound of now."""
    with changing(address) as client:
        return {**facts_of(address), **_bound(client)}


def limit_memory(address: Address, limit_bytes: int, policy: str) -> None:
    """Bound the memory of a Redis, and say what it does when that is used up."""
    with changing(address) as client:
        _set_bound(client, {"maxmemory": str(limit_bytes), "policy": policy})


def restore_memory(facts: Mapping[str, Any]) -> bool:
    """Set the bound that `facts` tell of; tell whether the server is there that had it."""
    with found_again(facts) as client:
        if client is None:
            return False
        _set_bound(client, facts)
        return True


def is_limited(facts: Mapping[str, Any]) -> bool:
    """Tell whether the server is there, and has another bound than the one that `facts` tell of."""
    with found_again(facts) as client:
        return client is not None and _bound(client) != {key: facts[key] for key in ("maxmemory", "policy")}


def _bound(client: redis.Redis) -> dict[str, str]:
    said = client.config_get("maxmemory*")
    return {"maxmemory": str(said["maxmemory"]), "policy": str(said["maxmemory-policy"])}


def _set_bound(client: redis.Redis, bound: Mapping[str, Any]) -> None:
    client.config_set("maxmemory-policy", bound["policy"])  # first, or a new bound would be kept the old way
    client.config_set("maxmemory", bound["maxmemory"])


def _wait_for_an_answer(facts: Mapping[str, Any]) -> None:
    address, deadline_s = Address(facts["host"], int(facts["port"])), float(facts["lasts_s"]) + LATE_S
    if not is_met_within(lambda: not _is_silent(address), deadline_s=deadline_s, clock=SystemClock()):
        fix = "end that Redis; no command reaches one that answers nothing"
        raise FaultError(f"Redis is still silent after {deadline_s:g} s", where=str(address), fix=fix)


def _is_silent(address: Address) -> bool:
    """Tell whether something is there that does not answer; what is gone is not silent."""
    try:
        with client_of(address) as client:
            client.ping()
    except redis.TimeoutError:
        return True
    except redis.RedisError:
        return False
    return False


def _is_same(client: redis.Redis, facts: Mapping[str, Any]) -> bool:
    try:
        return _run_id(client) == str(facts["run_id"])
    except redis.ConnectionError:
        return False


def _run_id(client: redis.Redis) -> str:
    return str(client.info("server")["run_id"])
