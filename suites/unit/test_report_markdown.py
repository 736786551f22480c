"""report.md says the verdict first, every number in its place, and stays text whatever it is fed."""

import dataclasses

import pytest

from harness.evidence import Experiment
from harness.history.marks import Event
from harness.report import html
from harness.report.markdown import escaped, evidence_text, experiment_page, run_page, run_sentence
from harness.spec.claim import Catch
from harness.verdict.judge import judge
from harness.verdict.outcome import Outcome
from suites.support import histories


def judged(make):
    """Return scenario, history and verdict of a made history."""
    scenario, history = make()
    return scenario, history, judge(scenario, history, confidence=0.95)


def page_of(make):
    """Return report.md of a made history, as lines."""
    return experiment_page(*judged(make)).splitlines()


def test_the_verdict_comes_first():
    """Title with a shape, then the sentence with its numbers."""
    title, _, sentence, *_ = page_of(histories.breaker_never_opens)

    assert title == "# ✗ redis-latency"
    assert sentence.startswith("**fail: errors 3.5 % \\[2.7, 4.4\\] > 1 % during fault (redis +400ms); n = 2 475")


def test_claims_are_a_table():
    """Each promise is a row: what, when, outcome, estimate, bounds, n."""
    lines = page_of(histories.breaker_never_opens)
    head = lines.index("| objective | phase | outcome | estimate | bounds (95% each) | n |")

    assert lines[head + 1] == "| --- | --- | --- | --- | --- | --- |"
    assert lines[head + 2] == "| slow (over 100ms) &lt; 5% | baseline | ✓ pass | 0 % | 0 % to 0.059 % | 5\u00a0097 |"
    assert lines[head + 6] == "| slow (over 100ms) &lt; 10% | fault | ✗ fail | 48.2 % | 46.6 % to 49.9 % | 2\u00a0475 |"
    assert lines[head + 7] == "| recovery &lt; 5s | recovery | ✓ pass | 3.0 s | – | 2\u00a0039 |"
    assert lines[head + 8] == ""


def test_evidence_is_a_checklist():
    """What happened has a cross in its box; what did not has none, and says what was seen instead."""
    lines = page_of(histories.nothing_seen)

    assert "- [ ] **load delivered** (? inconclusive): not one request was issued" in lines
    assert "- [x] **phase fault complete**: it lasted 10.0 s" in lines
    assert any(
        line.startswith("- [ ] **fault delivered: redis down** (? inconclusive): replica-1.redis:") for line in lines
    )


def test_what_ran_already_has_a_version_and_no_start_up(tmp_path):
    """It was not started in no time: nothing is known of that."""

    def run_already():
        scenario, history = histories.redis_latency()
        parts = tuple(dataclasses.replace(part, began_s=None, took_s=None) for part in history.startup)
        return scenario, dataclasses.replace(history, startup=parts)

    lines, (scenario, history) = page_of(run_already), run_already()

    first = history.startup[0]
    assert f"| {escaped(first.part)} | {escaped(first.version)} | – | – |" in lines
    verdict = judge(scenario, history, confidence=0.95)
    page = html.experiment_page(Experiment(scenario, history, verdict, tmp_path), scenario_text="")
    assert 'class="span"' not in page.partition("Start-up")[2].partition("</section>")[0]


def test_every_dose_is_told():
    """A fault is a row, and each look at it is another."""
    lines = page_of(histories.redis_latency)

    assert "| redis +400ms | fault | 24.0 s to 34.0 s |   |" in lines
    assert sum("PING answered after" in line and line.startswith("|   |   |") for line in lines) == 4


def test_load_is_counted():
    """The generator's own count stands beside ours."""
    lines = page_of(histories.breaker_never_opens)

    assert "| 10\u00a0599 | 10\u00a0599 | 10\u00a0492 | 101 | 6 | 0 | 2 ms | 31% |" in lines


def test_the_command_repeats_the_experiment():
    """Seed, profile, backend and defect are in it."""
    command = "    readiness run redis-latency --seed 3 --profile quick --backend embedded --defect breaker-never-opens"

    assert command in page_of(histories.breaker_never_opens)


def test_an_experiment_that_broke_off_says_why():
    """There is no load and no phase, but there is a reason."""
    lines = page_of(histories.broke_off)

    assert "The load generator never gave its count." in lines
    assert any(line.startswith("- **broke off:** postgres gave no healthy answer within 20 s") for line in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>", id="HTML"),
        pytest.param("[x](javascript:alert(1))", "\\[x\\](javascript:alert(1))", id="link"),
        pytest.param("![x](https://e.vil/p.png)", "!\\[x\\](https&#58;//e.vil/p.png)", id="image"),
        pytest.param("a | b\n| c", "a \\| b \\| c", id="table"),
        pytest.param("`x` **y** _z_ ~w~ $q$", "\\`x\\` \\*\\*y\\*\\* \\_z\\_ \\~w\\~ \\$q\\$", id="marks"),
        pytest.param("# title", "\\# title", id="heading"),
        pytest.param("1. list", "1\\. list", id="list"),
        pytest.param("> quote", "\\> quote", id="quote"),
        pytest.param("---", "\\---", id="rule"),
        pytest.param("-0.9 s", "-0.9 s", id="a negative number"),
        pytest.param("&lt;b&gt;", "&amp;lt;b&amp;gt;", id="entity"),
        pytest.param("mail @everyone www.e.vil", "mail &#64;everyone www&#46;e.vil", id="mention and bare address"),
        pytest.param("redis +400ms ± 5ms", "redis +400ms ± 5ms", id="plain words"),
    ],
)
def test_escaped_text_stays_text(text, expected):
    """Neither Markdown nor HTML takes it for anything else, and plain words are left alone."""
    assert escaped(text) == expected


def test_hostile_text_adds_no_row():
    """A pipe or a newline in an event does not break the timeline."""
    scenario, history, verdict = judged(histories.control)
    hostile = dataclasses.replace(history, events=(Event(at_s=1.0, kind="x|y", text="a\n| b | c |\n\n# big"),))

    page = experiment_page(scenario, hostile, verdict)

    assert "| 1.0 s | x\\|y | a \\| b \\| c \\| # big |" in page.splitlines()


def test_a_run_is_a_table_of_its_experiments(tmp_path):
    """Each scenario has a row that leads to its report."""
    made = [judged(make) for make in (histories.control, histories.nothing_seen, histories.broke_off)]
    experiments = [Experiment(*each, tmp_path / each[0].scenario) for each in made]

    facts = {"run_id": "r1", "profile": "quick", "command": "readiness run --seed 1"}
    page = run_page(experiments, facts=facts).splitlines()

    assert page[0] == "# ! r1"
    assert page[2] == "**error: 1 of 3 scenarios (postgres-down)**"
    assert "| [no-fault](no-fault/report.md) | ✓ pass | 3 objectives kept | 28.0 s | 7\u00a0003 |" in page
    assert "    readiness run --seed 1" in page


def test_a_run_that_broke_off_is_no_pass_of_what_it_reached(tmp_path):
    """What came to no verdict is named before anything else is said."""
    made = judged(histories.control)
    facts = {"run_id": "r1", "profile": "quick", "command": "readiness run", "never_run": ["redis-down"]}

    page = run_page([Experiment(*made, tmp_path)], facts=facts).splitlines()

    assert page[0] == "# ! r1"
    assert page[2] == "**error: the run broke off; without a verdict: redis-down**"


def test_no_experiments_are_no_pass():
    """Absence of evidence is never a pass."""
    assert run_sentence([]) == "inconclusive: no scenario was run, so nothing is known"


def test_evidence_text_is_plain():
    """Allure shows it as it is."""
    _, _, verdict = judged(histories.control)

    first, *_ = evidence_text(verdict).splitlines()

    assert verdict.outcome is Outcome.PASS
    assert first == "[x] ran to the end: nothing broke off"


def test_what_would_have_turned_it_red_is_named():
    """A green is worth what it could have caught: each defect, with the promise that is meant to see it."""
    scenario, history, verdict = judged(histories.redis_latency)
    catches = (Catch(defect="redis-no-timeout", by="slow"), Catch(defect="write-forgotten", by="errors"))

    lines = experiment_page(scenario.model_copy(update={"catches": catches}), history, verdict).splitlines()
    silent = experiment_page(scenario, history, verdict).splitlines()

    at = lines.index("## Red for")
    assert lines[at + 2 : at + 4] == ["- redis-no-timeout, by slow", "- write-forgotten, by errors"]
    assert silent[silent.index("## Red for") + 2] == "The scenario names no seeded defect that would turn it red."
