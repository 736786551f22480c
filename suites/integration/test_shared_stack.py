"""What is seen of a stack that a story has left: on real services, each thing that is not as it was."""

from __future__ import annotations

import re
from contextlib import closing, suppress
from types import SimpleNamespace

import httpx
import pytest

from harness.clock import SystemClock, is_met_within
from harness.experiment import RunContext, SharedStack, shared
from harness.experiment.shared import unclean
from harness.faults.injection import injected
from harness.options import settings_of
from harness.spec.faults import Down
from harness.spec.system import Subject, System
from harness.stack.metrics import exposed, value_of
from harness.stack.proxy import Toxic
from suites.support.made import plan_for
from suites.support.servers import PROJECT
from suites.unit.test_verdict_sharing import first, story


@pytest.fixture
def seen(embedded_stack, ledger):
    """Look at the stack, of which each service is in the life that it had when the test began."""
    lives = {name: service.life() for name, service in embedded_stack.services.items()}
    return lambda: list(unclean(embedded_stack, lives, ledger))


def test_a_stack_that_nothing_was_done_to_is_clean(seen):
    assert seen() == []


def test_an_edge_that_is_still_hurt_is_seen(seen, embedded_stack):
    """Whatever the ledger says of it: the proxy is asked."""
    embedded_stack.proxy.add(Toxic("replica-2.redis", "left", "latency", {"latency": 1}))
    embedded_stack.proxy.disable("replica-1.postgres")
    try:
        assert seen() == ["replica-1.postgres is still refused", "latency is still on replica-2.redis"]
    finally:
        embedded_stack.proxy.remove("replica-2.redis", "left")
        embedded_stack.proxy.enable("replica-1.postgres")


def test_what_the_ledger_has_left_is_seen(seen, ledger):
    """A process and a folder are the stack's own, and end with it."""
    ledger.note("folder", "work")
    entry = ledger.note("redis-memory", "redis", maxmemory="0")

    assert seen() == [f"not undone: {entry}"]

    ledger.strike(entry)
    assert seen() == []


def test_a_service_that_does_not_answer_is_seen(seen, embedded_stack):
    redis = embedded_stack.services["redis"]
    redis.pause()
    try:
        assert seen() == ["redis is not ready"]
    finally:
        redis.resume()


def test_a_service_in_another_life_is_seen_although_it_answers(seen, embedded_stack):
    """What its process held is gone, and who knows what it holds now."""
    replica = embedded_stack.services["replica-1"]
    replica.kill()
    assert seen() == ["replica-1 is not ready"]

    replica.start()
    assert is_met_within(replica.is_ready, deadline_s=20, clock=SystemClock())

    assert seen() == ["replica-1 is in another life than it was started in"]


# What replicas say of themselves --------------------------------------------------------------------------------------

OWING = '''
"""A service that owes as much as a file says, and pays one debt each time that it is asked for its metrics."""

from pathlib import Path

from dummy import create_app as plain

OWED = Path(__file__).with_name("owed")


def create_app():
    app = plain()

    async def owing(scope, receive, send):
        if scope["type"] == "lifespan" or scope["path"] != "/metrics":
            await app(scope, receive, send)
            return
        said = OWED.read_text()
        body = f"debts{{to=\\"redis\\"}} {said}\\n".encode() if said else b""
        OWED.write_text(str(max(0, int(said) - 1)) if said else "")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return owing
'''


@pytest.fixture
def handed_on(tmp_path, ledger, monkeypatch):
    """Let a story pass on a stack whose one replica owes something, and return the beginning of the next."""
    (tmp_path / "dummy.py").write_text((PROJECT / "suites/support/dummy.py").read_text())
    (tmp_path / "owing.py").write_text(OWING)
    (tmp_path / "story").mkdir()
    monkeypatch.setattr(shared, "CLEAN_WITHIN_S", 1.0)

    def beginning(owed, **subject):
        (tmp_path / "owed").write_text(owed)
        system = System(
            name="owing", replicas=1, components={}, subject=Subject(app="owing:create_app", ready="/", **subject)
        )
        context = RunContext(
            run_id=ledger.run_id, system=system, project=tmp_path, backend="embedded", defect=None, ledger=ledger,
            clock=SystemClock(), listener=SimpleNamespace(message=lambda _text: None),
        )  # fmt: skip
        scenario, verdict = first()
        with closing(SharedStack(context)) as stacks:
            with stacks.standing(plan_for(scenario), tmp_path / "story"):
                pass
            stacks.has_ended(scenario, verdict)
            return stacks.beginning_of(plan_for(story()))

    return beginning


NO_DEBTS = {"clean": ({"metric": "debts", "labels": {"to": "redis"}, "at_most": 0},)}


def test_a_replica_that_does_not_say_what_is_clean_ends_the_stack(handed_on):
    """It is well for all who ask it, and the next story is told why it begins anew."""
    began = handed_on("999", **NO_DEBTS)

    assert began.after == ()
    assert re.fullmatch(
        r"first does not hand on its stack: replica-1 says 9\d\d where `debts\{to=redis\} ≤ 0` is clean",
        began.why_fresh,
    )


def test_a_replica_that_does_not_speak_of_it_is_not_known_to_be_clean(handed_on):
    began = handed_on("", **NO_DEBTS)

    assert began.why_fresh.endswith("replica-1 says nothing where `debts{to=redis} ≤ 0` is clean")


def test_what_becomes_clean_soon_is_waited_for(handed_on):
    """And the next story says what was seen."""
    began = handed_on("2", **NO_DEBTS)

    assert (began.after, began.why_fresh) == (("first",), "")
    assert "each of 1 replicas says debts{to=redis} ≤ 0" in began.seen


def test_where_nothing_is_declared_replicas_are_asked_nothing(handed_on, tmp_path):
    began = handed_on("7")

    assert began.after == ("first",)
    assert [said for said in began.seen if "replicas says" in said] == []
    assert (tmp_path / "owed").read_text() == "7"


REFERENCE = settings_of(PROJECT).system


def asked_until(stack, is_there):
    """Ask the service for one item again and again, until each replica says of itself what is waited for."""

    def is_so():
        with suppress(httpx.HTTPError):
            httpx.get(f"{stack.base_url}/items/1", timeout=5)
        said = [exposed(address, "/metrics") for address in stack.replicas.values()]
        return all(is_there(samples) for samples in said)

    assert is_met_within(is_so, deadline_s=60, clock=SystemClock())


def circuit(samples, state):
    return value_of(samples, "reference_breaker_state", {"breaker": "redis", "state": state})


@pytest.mark.parametrize(
    ("defect", "why_fresh"),
    [
        pytest.param(None, "", id="healthy"),
        pytest.param(
            "breaker-holds-a-grudge",
            "first does not hand on its stack: "
            + "; ".join(f"replica-{number} says N where `reference_breaker_trips ≤ 0` is clean" for number in (1, 2)),
            id="its next outage would begin with a longer rest",
        ),
    ],
)
def test_a_service_that_bears_a_grudge_after_an_outage_is_not_handed_on(tmp_path, ledger, defect, why_fresh):
    """It is ready, and answers everything as before: only its metrics tell that it is not what it was."""
    context = RunContext(
        run_id=ledger.run_id, system=REFERENCE, project=PROJECT, backend="embedded", defect=defect, ledger=ledger,
        clock=SystemClock(), listener=SimpleNamespace(message=lambda _text: None),
    )  # fmt: skip
    scenario, verdict = first()
    down = Down(kind="down", target="redis")
    with closing(SharedStack(context)) as stacks:
        with stacks.standing(plan_for(scenario), tmp_path) as stack:
            with injected(down, into=stack, ledger=ledger, clock=SystemClock()):
                asked_until(stack, lambda samples: circuit(samples, "closed") == 0)
            asked_until(stack, lambda samples: circuit(samples, "closed") == 1)
        stacks.has_ended(scenario, verdict)
        began = stacks.beginning_of(plan_for(story()))

    assert re.sub(r"says \d+", "says N", began.why_fresh) == why_fresh
    assert began.after == (() if defect else ("first",))
