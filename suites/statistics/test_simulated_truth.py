"""How often the judge is wrong, where the truth is known; and how often a bare estimate is.

The table goes to reports/statistics.md; docs/statistics.md shows one and explains it. Every run has a seed of its own,
counted from SEED, so each figure can be had again. READINESS_STATISTICS_RUNS=200 takes a fifth of the runs, and leaves
the table as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.experiment.interim import InterimAnalysis
from harness.history.history import History
from harness.history.marks import PhaseMark
from harness.measure.ratios import count
from harness.spec.objective import Slow
from harness.verdict.bounds import lower_bound, upper_bound
from harness.verdict.judge import claim_of
from harness.verdict.outcome import Outcome
from suites.support.luck import is_full, luck, runs_of
from suites.support.made import Stretch, history_of, scenario_of
from suites.support.queues import queue_history

SEED = 20_261_123
RUNS = runs_of(1000)
CONFIDENCE = 0.95
BOTH_SIDES = 0.975
"""Of each bound of an interval that holds the truth with 95 %."""
OBJECTIVE = Slow(sli="slow", over="100ms", max="5%")
SCENARIO = scenario_of(faults=False)
SCENARIO_WITH_OBJECTIVE = SCENARIO.model_copy(update={"objectives": (OBJECTIVE,)})
TABLE = Path("reports/statistics.md")


@dataclass(frozen=True)
class Truth:
    """A service whose share of slow requests is known."""

    busy: float
    lasts_s: int
    slow_share: float

    def __str__(self) -> str:
        return f"{self.slow_share:.1%} slow, {self.busy:.0%} busy, {self.lasts_s} s"


BAD = [Truth(0.9, 60, 0.08), Truth(0.9, 24, 0.08), Truth(0.9, 10, 0.08), Truth(0.95, 60, 0.08)]
GOOD = [
    Truth(0.0, 60, 0.03),
    Truth(0.5, 60, 0.03),
    Truth(0.8, 120, 0.005),
    Truth(0.5, 24, 0.005),
    Truth(0.5, 10, 0.005),
]
LIMIT = [Truth(0.0, 60, 0.05), Truth(0.5, 60, 0.05), Truth(0.8, 120, 0.05), Truth(0.8, 300, 0.05)]


@dataclass
class Tries:
    """What came of many runs of one truth; shares of them."""

    truth: Truth
    verdicts: Counter
    naive: Counter
    point_pass: int = 0
    interval_holds: int = 0

    def share(self, outcome: Outcome) -> float:
        return self.verdicts[outcome] / RUNS

    def row(self) -> str:
        """Return the table's line."""
        judged = " / ".join(f"{self.share(each):.1%}" for each in (Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE))
        return f"| {self.truth} | {self.point_pass / RUNS:.1%} | {self.naive[Outcome.PASS] / RUNS:.1%} | {judged} | {self.interval_holds / RUNS:.1%} |"


def tried(truth: Truth) -> Tries:
    """Judge RUNS runs of `truth`: as we do, as if requests were independent, and by the bare estimate."""
    tries = Tries(truth, Counter(), Counter())
    for number in range(RUNS):
        history = queue_history(
            busy=truth.busy,
            lasts_s=truth.lasts_s,
            slow_share=truth.slow_share,
            over_s=OBJECTIVE.over,
            seed=SEED + number,
        )
        claim = claim_of(OBJECTIVE, SCENARIO, history, CONFIDENCE)
        tries.verdicts[claim.outcome] += 1
        interval = claim_of(OBJECTIVE, SCENARIO, history, BOTH_SIDES)
        tries.interval_holds += interval.lower <= truth.slow_share <= interval.upper
        tries.point_pass += claim.estimate < OBJECTIVE.max
        tries.naive[_naive(claim.events, claim.total)] += 1
    return tries


def _naive(events: int, total: int) -> Outcome:
    if upper_bound(events, total, CONFIDENCE) < OBJECTIVE.max:
        return Outcome.PASS
    return Outcome.FAIL if lower_bound(events, total, CONFIDENCE) > OBJECTIVE.max else Outcome.INCONCLUSIVE


@pytest.fixture(scope="module")
def table():
    """Collect the rows, and write them down at the end."""
    rows: list[str] = []
    yield rows
    if not is_full():
        return
    head = "| truth, at a limit of 5 % | passes by bare estimate | by naive bounds | ours: pass / fail / inconclusive | 95 % interval holds |"
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join([head, "|---|---|---|---|---|", *rows, ""]), encoding="utf-8")


@pytest.mark.parametrize("truth", BAD, ids=str)
def test_a_bad_service_passes_in_at_most_one_run_of_twenty(truth, table):
    tries = tried(truth)
    table.append(tries.row())

    assert tries.share(Outcome.PASS) <= 0.05 + luck(0.05, RUNS)
    assert tries.point_pass / RUNS > 2 * tries.share(Outcome.PASS)


@pytest.mark.parametrize("truth", GOOD, ids=str)
def test_a_clearly_good_service_passes(truth, table):
    tries = tried(truth)
    table.append(tries.row())

    assert tries.share(Outcome.PASS) >= 0.95 - luck(0.95, RUNS)
    assert tries.share(Outcome.FAIL) <= 0.01 + luck(0.01, RUNS)


@pytest.mark.parametrize("truth", LIMIT, ids=str)
def test_bounds_hold_as_often_as_they_say(truth, table):
    """Nominal is 95 %; two points are the price of a variance that must itself be estimated."""
    tries = tried(truth)
    table.append(tries.row())

    assert tries.interval_holds / RUNS >= 0.93 - luck(0.93, RUNS)


STILL_GOOD = [Truth(0.0, 60, 0.045), Truth(0.5, 60, 0.045), Truth(0.8, 60, 0.03), Truth(0.9, 60, 0.03)]
STOP_RUNS = runs_of(300) if is_full() else runs_of(100)


@pytest.mark.parametrize("truth", STILL_GOOD, ids=str)
def test_a_good_service_is_not_given_up_however_often_one_looks(truth, record_property):
    """Each second from the fifth on, as `--stop-early` does; a bare estimate gives up more than a quarter of them."""
    glance, given_up, crossed = InterimAnalysis(SCENARIO_WITH_OBJECTIVE, CONFIDENCE), 0, 0
    for number in range(STOP_RUNS):
        samples = _queue_of(truth, SEED + number).samples
        looks = [samples.between(0.0, float(second)) for second in range(5, truth.lasts_s + 1)]
        marks = [
            PhaseMark(name="baseline", began_s=0.0, ended_s=float(second)) for second in range(5, truth.lasts_s + 1)
        ]
        given_up += any(glance.hopeless(*look) is not None for look in zip(looks, marks, strict=True))
        crossed += any(count(OBJECTIVE, look).share > OBJECTIVE.max for look in looks)

    record_property("given up", f"{given_up} of {STOP_RUNS}, by bare estimate {crossed}")
    assert given_up / STOP_RUNS <= 0.02 + luck(0.02, STOP_RUNS)
    assert crossed > 10 * given_up


def test_a_bad_service_is_given_up_early():
    """Stopping early is worth something: most runs of a service that is far off end in a fifth of the time."""
    glance, seconds = InterimAnalysis(SCENARIO_WITH_OBJECTIVE, CONFIDENCE), []
    for number in range(100):
        samples = _queue_of(Truth(0.5, 60, 0.2), SEED + number).samples
        for second in range(5, 61):
            mark = PhaseMark(name="baseline", began_s=0.0, ended_s=float(second))
            if glance.hopeless(samples.between(0.0, second), mark) is not None:
                seconds.append(second)
                break

    assert len(seconds) >= 95
    assert sorted(seconds)[len(seconds) // 2] <= 12


@pytest.mark.parametrize("truth", BAD[:2], ids=str)
def test_going_on_while_it_is_open_does_not_make_wrong_passes_likelier(truth, record_property):
    """Once, twice, four times as long, each look at its own confidence: together at most one in twenty."""
    longer, passed, looked = SCENARIO_WITH_OBJECTIVE.model_copy(update={"extends_to": 4.0}), 0, Counter()
    for number in range(RUNS):
        whole = _queue_of(Truth(truth.busy, 4 * truth.lasts_s, truth.slow_share), SEED + number).samples
        for look in (1, 2, 3):
            ended_s = truth.lasts_s * 2.0 ** (look - 1)
            mark = PhaseMark(name="baseline", began_s=0.0, ended_s=ended_s, looks=look)
            history = History(
                run_id="", began_at="", seed=0, backend="", samples=whole.between(0.0, ended_s), phases=(mark,)
            )
            outcome = claim_of(OBJECTIVE, longer, history, CONFIDENCE).outcome
            if outcome is not Outcome.INCONCLUSIVE:
                break
        looked[look] += 1
        passed += outcome is Outcome.PASS

    record_property("passed", f"{passed} of {RUNS}, looks {dict(looked)}")
    assert passed / RUNS <= 0.05 + luck(0.05, RUNS)


SHORT = [Truth(0.9, 24, 0.08), Truth(0.9, 10, 0.08), Truth(0.8, 24, 0.005), Truth(0.5, 10, 0.005)]
WORTH_MIN = 100
"""What a guard would ask of a pass: so many independent requests; another, thirty seconds."""


@pytest.mark.parametrize("truth", SHORT, ids=str)
def test_two_guards_are_not_needed_for_what_is_promised(truth, record_property):
    """At most one wrong pass in twenty, in phases of any length; docs/statistics.md says what the guards would cost."""
    claims = [claim_of(OBJECTIVE, SCENARIO, _queue_of(truth, SEED + number), CONFIDENCE) for number in range(RUNS)]
    passed = [claim for claim in claims if claim.outcome is Outcome.PASS]
    guarded = [claim for claim in passed if claim.effective >= WORTH_MIN]

    record_property("passes", f"{len(passed) / RUNS:.1%}, worth {WORTH_MIN} or more {len(guarded) / RUNS:.1%}")
    if truth.slow_share > OBJECTIVE.max:
        assert len(passed) / RUNS <= 0.05 + luck(0.05, RUNS)


def test_one_story_in_a_short_phase_would_never_pass_the_guards():
    """Why they are not taken: 60 slow ones in a row, until the breaker opens, are 2 % of 15 s; the promise is 10 %."""
    scenario = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "10%"}]).stretched(0.5)
    until_it_opens, then = Stretch(lasts_s=0.3, per_s=200, slow=60), Stretch(lasts_s=14.7, per_s=200)

    claim = claim_of(scenario.objectives[0], scenario, history_of(scenario, [until_it_opens, then]), CONFIDENCE)

    assert claim.outcome is Outcome.PASS
    assert claim.effective < WORTH_MIN


def _queue_of(truth: Truth, seed: int) -> History:
    return queue_history(
        busy=truth.busy, lasts_s=truth.lasts_s, slow_share=truth.slow_share, over_s=OBJECTIVE.over, seed=seed
    )
