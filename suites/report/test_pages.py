"""Reports are inert: whatever scenarios and services say stays text, and pages neither run nor fetch anything."""

import dataclasses
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from harness.errors import ReportError
from harness.evidence import NO_SECRETS, EvidenceFolder, Experiment, Secrets
from harness.evidence.documents import verdict_text
from harness.evidence.experiment import write_evidence
from harness.history.failures import Failure
from harness.history.marks import Event
from harness.history.samples import Samples
from harness.report import plots, rebuild, write_experiment, write_run
from harness.report.pages import write_pages
from harness.report.palette import LIGHT
from harness.spec.claim import Catch
from harness.verdict.judge import judge
from suites.support import histories

MADE = [
    histories.redis_latency,
    histories.nothing_seen,
    histories.broke_off,
]
CORPUS = [
    "<script>document.title='PWNED'</script>",
    "<img src=x onerror=\"document.title='PWNED'\">",
    "\"><svg onload=document.title='PWNED'>",
    "' autofocus onfocus=document.title='PWNED' x='",
    "</title><script>document.title='PWNED'</script>",
    "</style><script>document.title='PWNED'</script>",
    "<a href=\"javascript:document.title='PWNED'\">x</a>",
    "<iframe srcdoc=\"<script>parent.document.title='PWNED'</script>\">",
    "<meta http-equiv=refresh content='0;url=https://e.vil'>",
    "<link rel=stylesheet href=https://e.vil/x.css>",
    "--><script>document.title='PWNED'</script><!--",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "&lt;script&gt;document.title='PWNED'&lt;/script&gt;",
    "<scr\u200bipt>document.title='PWNED'</scr\u200bipt>",
    "\x1b]8;;https://e.vil\x07<b onclick=1>\x1b]8;;\x07",
    "]]><script>document.title='PWNED'</script>",
    "background:url(https://e.vil/p.png)",
]


class Seen(HTMLParser):
    """Keep every tag and attribute that a browser would see."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes = [], []

    def handle_starttag(self, tag, attrs):
        """Keep a tag with its attributes."""
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def written(tmp_path, made):
    """Write a whole run, and return its folder."""
    folder = tmp_path / "run-1"
    experiments = []
    for scenario, history in made:
        verdict = judge(scenario, history, confidence=0.95)
        place = folder / scenario.scenario
        experiment = Experiment(scenario, history, verdict, place)
        write_experiment(EvidenceFolder(place, NO_SECRETS), experiment, scenario_text="scenario: x\n")
        experiments.append(Experiment(scenario, history, verdict, place))
    write_run(EvidenceFolder(folder, NO_SECRETS), experiments, command="readiness run --seed 7")
    return folder


def without_pictures(monkeypatch):
    """Leave out what takes a second and is tried elsewhere."""
    monkeypatch.setattr("harness.report.plots.svg", lambda *_: "<svg/>")
    monkeypatch.setattr("harness.report.plots.png", lambda *_: b"")


def hostile(text):
    """Return an experiment in which every word that is not ours says `text`."""
    scenario, history = histories.redis_latency()
    fault = dataclasses.replace(
        history.faults[0],
        fault=text,
        target=text,
        doses=tuple(dataclasses.replace(dose, seen=text) for dose in history.faults[0].doses),
    )
    names = ("", text)
    records = history.samples.records[:500].copy()
    for column in ("source", "replica"):
        records[column] %= 2
    return scenario.model_copy(update={"story": text}), dataclasses.replace(
        history,
        run_id=text,
        began_at=text,
        backend=text,
        defect=text,
        samples=Samples(records, ("read", text), names, names),
        phases=tuple(dataclasses.replace(mark, name=text) if not mark.began_s else mark for mark in history.phases),
        faults=(fault,),
        events=(Event(at_s=1.0, kind=text, text=text),),
        startup=(dataclasses.replace(history.startup[0], part=text, version=text),),
        failures=(Failure(kind="stack", what=text),),
    )


def seen_in(path):
    """Parse a page."""
    seen = Seen()
    seen.feed(path.read_text(encoding="utf-8"))
    seen.close()
    return seen


def assert_inert(path):
    """Assert that a page runs nothing and loads only what lies beside it."""
    seen = seen_in(path)
    policy = [value for tag, name, value in seen.attributes if (tag, name) == ("meta", "content")]
    addresses = [value for _, name, value in seen.attributes if name in {"href", "src", "srcset", "action", "data"}]

    assert "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'" in policy
    assert not {"script", "iframe", "object", "embed", "form", "base", "link", "foreignobject"} & set(seen.tags)
    assert [name for _, name, _ in seen.attributes if name.startswith("on")] == []
    assert [value for _, _, value in seen.attributes if "javascript:" in value.lower()] == []
    assert [value for tag, name, value in seen.attributes if tag == "meta" and name == "http-equiv"] == [
        "Content-Security-Policy"
    ]
    for address in addresses:
        assert re.fullmatch(r"(\.\./)?([a-z0-9-]+/)?[a-z-]+\.[a-z]+", address), address


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """Write a run of every kind of outcome, once."""
    return written(tmp_path_factory.mktemp("runs"), [make() for make in MADE])


@pytest.fixture(scope="module")
def calm_folder(tmp_path_factory):
    """Write the run that hostile ones are compared with, once."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        without_pictures(monkeypatch)
        return written(tmp_path_factory.mktemp("calm"), [hostile("harmless words")])


def test_every_page_is_inert(run_folder):
    """The run's page and each experiment's."""
    pages = sorted(run_folder.rglob("index.html"))

    assert len(pages) == 1 + len(MADE)
    for page in pages:
        assert_inert(page)


def test_every_link_leads_somewhere(run_folder):
    """Each address in each page is a file of the run."""
    for page in run_folder.rglob("index.html"):
        for _, name, value in seen_in(page).attributes:
            if name in {"href", "src", "srcset"}:
                assert (page.parent / value).resolve().is_relative_to(run_folder)
                assert (page.parent / value).is_file(), value


def test_an_experiment_leaves_its_evidence(run_folder):
    """Everything that a second judge needs is in the folder, and nothing half-written."""
    names = {path.name for path in (run_folder / "redis-latency").iterdir()}

    assert names == {
        "events.jsonl", "history.json", "index.html", "plot-dark.svg", "plot.png", "plot.svg", "report.md",
        "samples.parquet", "scenario.json", "scenario.yaml", "system.json", "timeline.csv", "verdict.json",
    }  # fmt: skip


@pytest.mark.parametrize("text", CORPUS)
def test_hostile_words_stay_words(tmp_path, monkeypatch, calm_folder, text):
    """A page with hostile words has the same tags as the same page with harmless ones."""
    without_pictures(monkeypatch)
    attacked = written(tmp_path, [hostile(text)])

    for page in ("index.html", "redis-latency/index.html"):
        assert_inert(attacked / page)
        assert seen_in(attacked / page).tags == seen_in(calm_folder / page).tags
    for report in ("report.md", "redis-latency/report.md"):
        said = (attacked / report).read_text(encoding="utf-8")
        # In an indented block Markdown takes everything as it is, so nothing there can be, or needs to be, escaped.
        assert not [each for each in said.splitlines() if "<" in each and not each.startswith("    ")]
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", said)


def test_hostile_words_stay_words_in_pictures():
    """Names in a picture are drawn, not embedded."""
    scenario, history = hostile("<script>document.title='PWNED'</script> $x^2$")

    drawn = plots.svg(scenario, history, judge(scenario, history, confidence=0.95), LIGHT)

    assert "<script" not in drawn
    assert "PWNED" not in re.sub("<!--.*?-->", "", drawn)


SENTINEL = "correct-horse-battery"


def kept(folder, history, scenario):
    """Cut, judge and write, as a run does; return the files."""
    clean = folder.cut(history)
    experiment = Experiment(scenario, clean, judge(scenario, clean, confidence=0.95), folder.path)
    write_experiment(folder, experiment, scenario_text=f"# {SENTINEL}\n")
    write_run(EvidenceFolder(folder.path.parent, folder.secrets), [experiment], command=f"run {SENTINEL}")
    return [path for path in folder.path.parent.rglob("*") if path.is_file()]


def place_of(tmp_path, scenario):
    """Return an experiment's folder in a run whose secret is the sentinel, with a log that says it."""
    folder = EvidenceFolder(tmp_path / "run-1" / scenario.scenario, Secrets([SENTINEL]))
    (folder.path / "logs").mkdir(parents=True)
    (folder.path / "logs/redis.log").write_text(f"AUTH {SENTINEL}\n")
    return folder


def test_no_secret_is_in_any_file(tmp_path):
    """A sentinel that every word contains, also of the scenario and the log, is found in no file that is left."""
    scenario, history = hostile(f"postgres://u:{SENTINEL}@h/db")
    history = dataclasses.replace(history, profile=SENTINEL, backend=SENTINEL)

    files = kept(place_of(tmp_path, scenario), history, scenario)

    assert len(files) == 17
    assert [path.name for path in files if SENTINEL.encode() in path.read_bytes()] == []


def test_what_is_judged_and_told_holds_no_secret_either(tmp_path):
    """It is cut where the history enters, so that a sentence, a step of Allure and a line on the terminal need no net."""
    scenario, history = hostile(f"postgres://u:{SENTINEL}@h/db")
    folder = place_of(tmp_path, scenario)

    clean = folder.cut(history)

    assert SENTINEL in repr(history)
    assert SENTINEL not in repr(clean)
    assert SENTINEL not in verdict_text(judge(scenario, clean, confidence=0.95))
    assert (folder.path / "logs/redis.log").read_text() == "AUTH [redacted]\n"


def test_the_net_catches_what_was_not_cut(tmp_path):
    """A history that came past the cut is refused, before a file of it is written; a page is redacted."""
    scenario, history = histories.redis_latency()
    dirty = dataclasses.replace(history, run_id=SENTINEL)
    folder = place_of(tmp_path, scenario)
    experiment = Experiment(scenario, dirty, judge(scenario, dirty, confidence=0.95), folder.path)

    write_pages(folder, experiment, scenario_text=SENTINEL)
    with pytest.raises(ReportError, match="a secret is in the data"):
        write_evidence(folder, experiment, scenario_text="")

    assert not (folder.path / "history.json").exists()
    assert "[redacted]" in (folder.path / "index.html").read_text()
    assert SENTINEL not in (folder.path / "index.html").read_text()


def test_pages_can_be_written_again(tmp_path):
    """From the evidence alone, and they are the same bytes."""
    folder = written(tmp_path, [histories.broke_off()])
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in [*folder.rglob("index.html"), *folder.rglob("report.md"), *folder.rglob("plot*")]:
        path.unlink()

    lines = rebuild(folder)

    assert lines == [f"report: {folder / 'index.html'}"]
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_run_that_was_cut_short_can_be_reported(tmp_path, monkeypatch):
    """Without the run's own verdict its experiments can be looked at; what passed in them is no pass of the run."""
    without_pictures(monkeypatch)
    folder = written(tmp_path, [histories.control()])
    for name in ("verdict.json", "index.html", "report.md"):
        (folder / name).unlink()
    (folder / "redis-down/logs").mkdir(parents=True)

    for _ in range(2):  # and no better for being asked again
        rebuild(folder)

        said = json.loads((folder / "verdict.json").read_text())
        assert [each["outcome"] for each in said["experiments"]] == ["pass"]
        assert (said["outcome"], said["exit_code"]) == ("error", 3)
        assert said["never_run"] == ["redis-down", "whatever was to come then"]
        assert (said["profile"], said["backend"]) == ("quick", "embedded")
        assert "without a verdict: redis-down" in (folder / "index.html").read_text()
        assert "without a verdict: redis-down" in (folder / "report.md").read_text()


def test_a_folder_without_evidence_is_no_run(tmp_path):
    """The error says what to give instead."""
    with pytest.raises(ReportError, match="reports/runs/<id>"):
        rebuild(tmp_path)


def test_a_scenario_cannot_be_written_elsewhere(tmp_path):
    """A name that is no slug is refused before anything is written."""
    scenario, history = histories.control()
    climbing = scenario.model_copy(update={"scenario": "../../x"})
    verdict = judge(climbing, history, confidence=0.95)

    with pytest.raises(ReportError, match="cannot name a folder"):
        write_run(
            EvidenceFolder(tmp_path / "run-1", NO_SECRETS),
            [Experiment(climbing, history, verdict, tmp_path)],
            command="x",
        )

    assert list(tmp_path.iterdir()) == []


def test_a_browser_runs_nothing(tmp_path, monkeypatch):
    """Opened in a real browser, with every attack in it, the page shows its words and its title is still ours."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on PATH; the parser's checks above hold all the same")
    without_pictures(monkeypatch)
    folder = written(tmp_path, [hostile(" ".join(CORPUS))])

    dom = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", (folder / "redis-latency/index.html").as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=True,
    ).stdout  # fmt: skip

    assert "<title>error: redis-latency</title>" in dom
    assert "&lt;script&gt;document.title='PWNED'" in dom
    assert "<script" not in dom
    assert 'class="badge error"' in dom


def test_a_page_names_what_would_have_turned_it_red(tmp_path, monkeypatch):
    """The defect and the promise that is meant to see it; the page stays inert."""
    without_pictures(monkeypatch)
    scenario, history = histories.redis_latency()
    catches = (Catch(defect="redis-no-timeout", by="slow"),)

    folder = written(tmp_path, [(scenario.model_copy(update={"catches": catches}), history)])

    page = folder / "redis-latency/index.html"
    assert_inert(page)
    assert '<li><b>redis-no-timeout</b> <span class="quiet">by slow</span></li>' in page.read_text()
