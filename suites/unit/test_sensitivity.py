"""Whether the gate sees what it claims to see: what is tried, how it was met, and what the page says of it."""

from __future__ import annotations

import pytest

from fixtures.trials.sensitivity import Claim, Met, Tried, claims, main, met, page
from fixtures.trials.series import judged
from harness.evidence.documents import run_text
from harness.spec.claim import Catch
from harness.verdict.judge import judge
from suites.support import histories

SLOW = Claim("redis-latency", "P0", Catch(defect="breaker-never-opens", by="slow"))
LOST = Claim("postgres-down", "P1", Catch(defect="write-forgotten", by="no-acknowledged-write-lost"))


@pytest.mark.parametrize(
    ("made", "by", "how"),
    [
        pytest.param(histories.breaker_never_opens, "slow", Met.NAMED, id="caught"),
        pytest.param(histories.breaker_never_opens, "hits", Met.ANOTHER, id="for something else"),
        pytest.param(histories.redis_latency, "slow", Met.NOT, id="a pass"),
        pytest.param(histories.nothing_seen, "slow", Met.NOT, id="inconclusive"),
    ],
)
def test_a_defect_is_caught_for_what_it_breaks_or_by_another_promise_or_it_got_away(tmp_path, made, by, how):
    """An exit code alone would take any red for the right one."""
    verdict = judge(*made(), confidence=0.95)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/verdict.json").write_text(run_text([verdict], {}))

    (said,) = judged(tmp_path, seed=1, code=verdict.outcome.exit_code)

    assert (met(by, said), said.sentence) == (how, verdict.sentence)


def test_every_claim_of_every_scenario_is_tried():
    """Those that were there when this was written are among them, each with its scenario's tier."""
    found = list(claims())

    assert {(each.scenario, each.tier, str(each.catch)) for each in found} >= {
        ("no-fault", "P0", "cache-never-stores by hits"),
        ("redis-latency", "P0", "breaker-never-opens by slow"),
        ("redis-latency", "P0", "redis-no-timeout by slow"),
    }


def test_the_page_says_how_many_claims_held_and_how_sure_that_is():
    """Two of two are at least 22 % at 95 %; one of two that another promise caught is no claim that held."""
    held = page(
        [Tried(SLOW, Met.NAMED, "slow | 47 %")] * 2, defects=74, day="2026-11-30", commit="abc", machine="2 cores"
    )
    other = page(
        [Tried(SLOW, Met.NAMED, "x"), Tried(LOST, Met.ANOTHER, "y")], defects=74, day="d", commit="c", machine="m"
    )

    assert "2026-11-30, at abc, on 2 cores: **2 of 2 claims held** (at least 22.4% of such claims" in held
    assert "1 of 74 seeded defects are\nclaimed by a scenario" in held
    assert "| P0 | redis-latency | breaker-never-opens | slow | caught | slow / 47 % |" in held
    assert "**1 of 2 claims held**" in other
    assert "Of the others 1 were caught by another promise, and 0 got away." in other
    assert "2 of 74 seeded defects" in other
    assert (
        "| P1 | postgres-down | write-forgotten | no-acknowledged-write-lost | caught by another promise | y |" in other
    )


@pytest.mark.parametrize("arguments", [["--defect", "no-such"], ["--tier", "P2", "--defect", "redis-no-timeout"]])
def test_to_try_nothing_is_refused(arguments, capsys):
    """It would be a green without evidence."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert "no scenario claims to catch that" in capsys.readouterr().err
