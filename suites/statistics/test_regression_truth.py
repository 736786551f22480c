"""How often a comparison with a baseline is wrong, where the truth is known; and how often tests over requests are.

The table goes to reports/regression.md; docs/baselines.md shows one. Each side is five runs of a queue, 30 s at 200/s,
each with a seed of its own, counted from SEED.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from scipy import stats

from harness.measure.quantities import Block, Quantity, figures
from harness.verdict.outcome import Outcome
from harness.verdict.regression import compared
from suites.support.luck import is_full, luck, runs_of
from suites.support.made import scenario_of
from suites.support.queues import queue_history

SEED = 20_261_124
TRIES = runs_of(400)
RUNS = 5
SCENARIO = scenario_of(faults=False, objectives=[{"sli": "slow", "over": "100ms", "max": "5%"}])
TABLE = Path("reports/regression.md")


@dataclass(frozen=True)
class Truth:
    """A service that became slower by a known factor, or did not."""

    busy: float
    slower: float = 1.0

    def __str__(self) -> str:
        return f"{self.busy:.0%} busy, {self.slower - 1:+.0%}"


UNCHANGED = [Truth(0.0), Truth(0.5), Truth(0.8), Truth(0.9)]
SLOWER = [Truth(0.0, 1.15), Truth(0.5, 1.15), Truth(0.5, 1.3), Truth(0.8, 1.3), Truth(0.8, 2.0)]
AT_THE_FLOOR = [Truth(0.0, 1.05), Truth(0.5, 1.05)]


@dataclass
class Tries:
    """What came of many comparisons."""

    truth: Truth
    p95: Counter
    slow: Counter
    requests_differ: int = 0

    def share(self, quantity: str, outcome: Outcome) -> float:
        return getattr(self, quantity)[outcome] / TRIES

    def row(self) -> str:
        """Return the table's line."""
        words = (Outcome.FAIL, Outcome.PASS, Outcome.INCONCLUSIVE)
        judged = [" / ".join(f"{self.share(name, each):.1%}" for each in words) for name in ("p95", "slow")]
        return f"| {self.truth} | {self.requests_differ / TRIES:.1%} | {judged[0]} | {judged[1]} |"


def tried(truth: Truth) -> Tries:
    """Compare five runs with five later ones, TRIES times; and one run's requests with another's, as many tools do."""
    tries = Tries(truth, Counter(), Counter())
    for number in range(TRIES):
        sides = [
            _runs(truth, SEED + number * 2 * RUNS, 1.0),
            _runs(truth, SEED + (number * 2 + 1) * RUNS, truth.slower),
        ]
        rows = {
            row.quantity: row.outcome for row in compared("queue", *([_block(run) for run in side] for side in sides))
        }
        tries.p95[rows[Quantity.P95]] += 1
        tries.slow[rows[Quantity.SLOW]] += 1
        one, other = (side[0].samples.records["latency_s"] for side in sides)
        tries.requests_differ += stats.mannwhitneyu(one, other).pvalue < 0.05
    return tries


def _runs(truth: Truth, seed: int, slower: float):
    runs = [
        queue_history(busy=truth.busy, lasts_s=30, slow_share=0.03, over_s=0.1, seed=seed + number)
        for number in range(RUNS)
    ]
    for run in runs:
        run.samples.records["latency_s"] *= slower
    return runs


def _block(history):
    return Block(run_id=str(history.seed), began_at="", figures=figures(SCENARIO, history))


@pytest.fixture(scope="module")
def table():
    """Collect the rows, and write them down at the end."""
    rows: list[str] = []
    yield rows
    if not is_full():
        return
    head = (
        "| truth | tests over requests see a change | p95: worse / no worse / not to be told | slow share: the same |"
    )
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text("\n".join([head, "|---|---|---|---|", *rows, ""]), encoding="utf-8")


@pytest.mark.parametrize("truth", UNCHANGED, ids=str)
def test_an_unchanged_service_is_called_worse_in_at_most_one_comparison_of_forty(truth, table):
    """Two points of leave: 400 tries of 2.5 % scatter by 0.8."""
    tries = tried(truth)
    table.append(tries.row())

    assert tries.share("p95", Outcome.FAIL) <= 0.045 + luck(0.045, TRIES)
    assert tries.share("slow", Outcome.FAIL) <= 0.045 + luck(0.045, TRIES)
    assert truth.busy == 0 or tries.requests_differ / TRIES > 0.25 - luck(0.25, TRIES)


@pytest.mark.parametrize("truth", SLOWER, ids=str)
def test_a_clearly_slower_service_is_hardly_ever_called_no_worse(truth, table):
    tries = tried(truth)
    table.append(tries.row())

    assert tries.share("p95", Outcome.PASS) <= 0.05 + luck(0.05, TRIES)
    assert tries.share("slow", Outcome.PASS) <= 0.05 + luck(0.05, TRIES)
    if truth in {Truth(0.0, 1.15), Truth(0.5, 1.3)}:
        assert tries.share("p95", Outcome.FAIL) >= 0.9 - luck(0.9, TRIES)


@pytest.mark.parametrize("truth", AT_THE_FLOOR, ids=str)
def test_a_shift_of_the_floor_is_called_no_worse_in_one_comparison_of_twenty(truth, table):
    """The bound holds with 95 %; two points of leave, as above."""
    tries = tried(truth)
    table.append(tries.row())

    assert tries.share("p95", Outcome.PASS) <= 0.07 + luck(0.07, TRIES)
