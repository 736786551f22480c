"""`/live` of replicas that are processes of their own: their end, and the real nginx before two of them."""

from __future__ import annotations

import os
import re
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus

from harness.spec.quantity import duration_s
from harness.stack import nginx
from harness.stack.service import Address
from suites.health.test_deployment import NGINX, running_nginx
from suites.support.live import listener, mute
from suites.support.replicas import put
from suites.support.served import served
from suites.support.servers import free_port


def as_deployed(ports):
    """Return fixtures/deploy/nginx.conf, with the names of replicas replaced."""
    text = NGINX
    for number, port in enumerate(ports, start=1):
        text = text.replace(f"replica-{number}:8000 resolve", f"127.0.0.1:{port}")
    return text


def as_judged(ports):
    """Return what the harness writes, for a system that names the header."""
    upstreams = [Address("127.0.0.1", port) for port in ports]
    listen, work = Address("127.0.0.1", 8080), Path("/tmp")  # noqa: S108 - both are replaced
    text = nginx.configuration(listen, upstreams, work, user=RIGHTS, sticky="x-client-key")
    return text.replace("listen 127.0.0.1:8080", "listen 8080")


RIGHTS = "user root;" if os.geteuid() == 0 else ""  # as the harness has it

CONFIGURATIONS = [pytest.param(as_deployed, id="deployed"), pytest.param(as_judged, id="judged")]


async def test_replica_that_is_told_to_stop_sends_its_clients_away(servers, tmp_path):
    """At SIGTERM each hears 1001, those that answer nothing and read nothing too; none of them holds the stop."""
    async with served(tmp_path, *servers) as replica, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(listener(replica.port)) for _ in range(3)]
        silent = await stack.enter_async_context(mute(replica.port))
        replica.stop()

        assert [await client.ended() for client in clients] == [1001] * 3
        assert b"the replica is about to stop" in await silent.rest()
        await replica.ended()

    assert len(replica.events("stopped")) == 1
    assert "Traceback" not in replica.log()
    assert "127.0.0.1" not in "".join(line for line in replica.log().splitlines() if "/live" in line)


async def test_replica_that_drains_sends_its_clients_away_first_and_takes_no_more(servers, tmp_path):
    """They go while requests are still served; one that comes back is told to look elsewhere."""
    async with served(tmp_path, *servers, drain_s=1.5) as replica, listener(replica.port) as client:
        replica.stop()

        assert await client.ended() == 1001
        assert (await replica.client.get("/items/1700")).status_code == 200
        with pytest.raises(InvalidStatus) as refused:
            await listener(replica.port).__aenter__()
        assert refused.value.response.status_code == 503
        assert b"about to stop" in refused.value.response.body
        assert 'reference_live_refused_total{cause="leaving"} 1.0' in (await replica.client.get("/metrics")).text
        await replica.ended()


@asynccontextmanager
async def balanced(configure, servers, tmp_path, **variables):
    """Two replicas behind nginx, each in the other's place; yield both, a client of nginx, and its port."""
    async with AsyncExitStack() as stack:
        replicas = {}
        for name in ("blue", "green"):
            (tmp_path / name).mkdir()
            told = {"replica": name, "replicas": 2, **variables}
            replicas[name] = await stack.enter_async_context(served(tmp_path / name, *servers, **told))
        port = free_port()
        text = configure([each.port for each in replicas.values()])
        url = stack.enter_context(running_nginx(text, port))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False))
        yield replicas, client, port


@pytest.mark.parametrize("configure", CONFIGURATIONS)
async def test_client_comes_back_to_its_replica_while_that_is_there(configure, servers, tmp_path):
    """Nginx passes the upgrade on; a client's name decides where; with that replica gone the other takes it.

    What was written while it was away it is told, because it says what it has.
    """
    async with balanced(configure, servers, tmp_path) as (replicas, client, port):

        async def lands(name):
            async with listener(port, x_client_key=name) as one:
                return one.replica

        homes = {name: await lands(name) for name in (f"client-{number}" for number in range(12))}
        again = {name: await lands(name) for name in homes}
        assert again == homes
        assert set(homes.values()) == {"blue", "green"}

        name, home = next(iter(homes.items()))
        async with listener(port, x_client_key=name) as one:
            has = int((await put(client, 1710, "before")).headers["x-version"])
            await one.subscribes(v1710=has)
            replicas[home].kill()
            with pytest.raises(ConnectionClosed):
                await one.hears()
        newer = int((await put(client, 1710, "while it was away")).headers["x-version"])
        async with listener(port, x_client_key=name) as one:
            answer = await one.asks(type="subscribe", items=[{"item": 1710, "version": has}])
            heard = [answer, await one.hears()]
            assert one.replica != home

    assert {"type": "changed", "item": 1710, "version": newer} in heard


@pytest.mark.parametrize("configure", CONFIGURATIONS)
async def test_client_of_a_replica_that_drains_lands_on_the_other(configure, servers, tmp_path):
    """Its replica says 1001 and refuses it from then on; nginx asks the next one, and the client notices nothing else."""
    async with balanced(configure, servers, tmp_path, drain_s=60) as (replicas, _, port):
        async with listener(port, x_client_key="moving") as one:
            home = one.replica
            replicas[home].stop()
            assert await one.ended() == 1001
        async with listener(port, x_client_key="moving") as one:
            assert one.replica == ({"blue", "green"} - {home}).pop()
        replicas[home].stop()
        await replicas[home].ended()


@pytest.mark.parametrize("configure", CONFIGURATIONS)
def test_silence_is_ended_by_the_replica_and_not_by_nginx(configure):
    """What nginx allows between two reads is longer than the pings of uvicorn are apart, and what it waits for an answer."""
    (way,) = re.findall(r"location @upgraded \{(.*?)\n\s*\}\n", configure([1, 2]), re.DOTALL)
    (read_timeout,) = re.findall(r"proxy_read_timeout (\w+);", way)
    pings = uvicorn.Config("any:app")

    assert duration_s(read_timeout) > pings.ws_ping_interval + pings.ws_ping_timeout


def test_client_without_a_name_is_told_by_its_address():
    """In both: where the header is empty, the address is hashed; a system that names no header knows only addresses."""
    unnamed = nginx.configuration(Address("127.0.0.1", 1), [Address("127.0.0.1", 2)], Path("/nowhere"))

    for text in (NGINX, as_judged([1, 2])):
        assert 'map $http_x_client_key $client { "" $remote_addr; default $http_x_client_key; }' in text
    assert 'map $remote_addr $client { "" $remote_addr; default $remote_addr; }' in unnamed
    assert "hash $client consistent;" in unnamed
