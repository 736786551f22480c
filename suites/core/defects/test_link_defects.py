"""Each seeded defect of the link to Redis against the healthy one: the same check, once red and once green."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest

from fixtures.defects import installed
from fixtures.reference.core.breaker import Unavailable
from fixtures.reference.core.redis_link import Script
from fixtures.reference.parts import Design

ECHO = Script("return ARGV[1]")


@pytest.mark.parametrize(("defect", "gives_up"), [("", True), ("redis-no-timeout", False)])
async def test_link_gives_up_on_a_frozen_redis_unless_it_has_no_timeout(linked, defect, gives_up):
    """The healthy link gives up after its budget of 50 ms; the defective one still waits after six of them."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        link = linked(port=frozen.getsockname()[1], op_timeout_s=0.05, kind=installed(defect, Design()).link)
        call = asyncio.create_task(link.run(ECHO, [], ["x"]))

        done, _ = await asyncio.wait([call], timeout=0.3)
        call.cancel()
        results = await asyncio.gather(call, return_exceptions=True)

    assert bool(done) == gives_up
    assert isinstance(results[0], Unavailable) == gives_up
    assert link.breaker.recent() == ((1, 1) if gives_up else (0, 0))


@pytest.mark.parametrize(("defect", "heard"), [("", b"mine"), ("redis-mixes-replies", b"another's")])
async def test_a_request_reads_its_own_reply_unless_they_are_mixed(linked, defect, heard):
    """Another client has gone while Redis was frozen; what it asked is answered first when Redis goes on (P3)."""
    link = linked(kind=installed(defect, Design()).link, connections=1)
    process = (await link._send("INFO", "server"))["process_id"]

    os.kill(process, signal.SIGSTOP)
    try:
        gone = asyncio.create_task(link.run(ECHO, [], ["another's"]))
        await asyncio.wait([gone], timeout=0.1)
        gone.cancel()
        await asyncio.wait([gone])
        asking = asyncio.create_task(link.run(ECHO, [], ["mine"]))
        await asyncio.wait([asking], timeout=0.1)
    finally:
        os.kill(process, signal.SIGCONT)

    assert await asking == heard
