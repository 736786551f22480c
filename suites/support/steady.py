"""The suites of the reference core, once for each seed: `python -m suites.support.steady [SEED]…`.

Three processes that never pause compute beside the first few runs, so that a test which asserts how fast the machine is
goes red here and not in somebody's CI. Hypothesis and the suites' own dice go by the seed. Exit code 1 if anything was red. A run
of seeds 1 to `--runs` writes docs/steady.md; seeds that are named are looked at, and nothing is written.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from fixtures.trials.strangers import strangers
from suites.support.dice import VARIABLE
from suites.support.servers import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = PROJECT / "docs/steady.md"
RUNS = 20
BUSY_RUNS = 3
SPINNERS = 3
LIMIT_S = 1800.0
"""For one run: many times what it takes, so that what does not end is told and does not hold up the others."""


@dataclass(frozen=True, slots=True)
class Red:
    """A test that was red, and the first line of what it said."""

    test: str
    why: str


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one seed: counts, and seconds."""

    seed: str
    spinners: int
    tests: int
    skipped: int
    took_s: float
    red: tuple[Red, ...]


def suites() -> list[str]:
    """Return what is run: the core's folders, and the property tests that import it."""
    of_the_core = [
        path for path in (PROJECT / "suites/property").glob("test_*.py") if "fixtures.reference" in path.read_text()
    ]
    return ["suites/core", "suites/contract/core", *sorted(str(path.relative_to(PROJECT)) for path in of_the_core)]


def main(arguments: Sequence[str]) -> int:
    """Run each seed; tell what was red."""
    options = _read(arguments)
    seeds = options.seeds or [str(number) for number in range(1, options.runs + 1)]
    runs = []
    with tempfile.TemporaryDirectory(prefix="steady-") as folder:
        for number, seed in enumerate(seeds, 1):
            with strangers(options.spinners if number <= options.busy else 0) as spinning:
                runs.append(run(seed, Path(folder), workers=options.workers, spinners=len(spinning)))
            _say(f"[{number}/{len(seeds)}] {told(runs[-1])}", *(f"  {red.test}: {red.why}" for red in runs[-1].red))
    if not options.seeds:
        day = datetime.now(UTC).date().isoformat()
        PAGE.write_text(page(runs, day=day, commit=_commit()), encoding="utf-8")
    return int(any(each.red for each in runs))


def run(seed: str, folder: Path, *, workers: int, spinners: int) -> Run:
    """Run the suites with a seed, to their end, beside so many spinners."""
    report = folder / f"{seed}.xml"
    command = [sys.executable, "-m", "pytest", *suites(), f"--numprocesses={workers}", "--no-loadscope-reorder", "-v"]
    told = [f"--hypothesis-seed={seed}", f"--junitxml={report}", "-o", "junit_family=xunit2"]
    # The profile of CI takes its examples from the tests alone, whatever the seed.
    environment = {**os.environ, VARIABLE: seed, "HYPOTHESIS_PROFILE": "dev"}
    began_s = time.monotonic()
    with (folder / f"{seed}.log").open("w") as log:
        process = subprocess.Popen([*command, *told], cwd=PROJECT, env=environment, stdout=log, stderr=log)
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            process.terminate()  # which ends its workers and what they have started
            process.wait()
    took_s = time.monotonic() - began_s
    if not report.exists():
        how = f"did not end within {LIMIT_S:.0f} s" if code is None else f"ended with code {code} and without a report"
        return Run(seed, spinners, 0, 0, took_s, (Red("pytest", how),))
    return read(report, seed, spinners=spinners, took_s=took_s, code=code)


def read(report: Path, seed: str, *, spinners: int, took_s: float, code: int | None) -> Run:
    """Read a JUnit report. An exit code that it does not explain is red as well."""
    cases, red = list(ET.parse(report).iter("testcase")), []  # noqa: S314 - our own pytest has just written it
    for case in cases:
        for trouble in [*case.iter("failure"), *case.iter("error")]:
            why = (trouble.get("message") or trouble.text or "").strip().partition("\n")[0]
            red.append(Red(f"{case.get('classname')}::{case.get('name')}", why))
    if code != 0 and not red:
        red.append(Red("pytest", f"ended with code {code}"))
    skipped = sum(case.find("skipped") is not None for case in cases)
    return Run(seed, spinners, len(cases), skipped, took_s, tuple(red))


def told(run: Run) -> str:
    """Say what came of a run, in a line."""
    beside = f" beside {run.spinners} busy processes" if run.spinners else ""
    return f"seed {run.seed}{beside}: {run.tests} tests, {run.skipped} skipped, {len(run.red)} red, {run.took_s:.0f} s"


def page(runs: Sequence[Run], *, day: str, commit: str) -> str:
    """Return docs/steady.md."""
    red = [(run.seed, each) for run in runs for each in run.red]
    result = f"{len(runs)} runs, {sum(run.tests for run in runs)} tests, {len(red)} red"
    lines = [
        "# Steady: the same tests, other seeds, a busy machine",
        "",
        "`nox -s steady` runs the suites of the reference core (`suites/core`, `suites/contract/core`, and the property tests",
        f"that import it) {RUNS} times, each time with a seed of its own for Hypothesis and for the suites' dice. Beside the first",
        f"{BUSY_RUNS} of them {SPINNERS} processes compute that never pause. `nox -s steady -- 7` runs seed 7 again, on such a machine;",
        f"`nox -s steady -- --busy {RUNS}` has them all there. It writes this page, also when something was red.",
        "",
        f"{day}, at {commit}: **{result}**, on {os.cpu_count()} cores.",
        "",
        "| seed | busy processes beside it | tests | skipped | red | took, s |",
        "|---|---|---|---|---|---|",
        *(
            f"| {run.seed} | {run.spinners} | {run.tests} | {run.skipped} | {len(run.red)} | {run.took_s:.0f} |"
            for run in runs
        ),
    ]
    if red:
        lines += ["", "| seed | red | why |", "|---|---|---|"]
        lines += [f"| {seed} | `{each.test}` | {each.why.replace('|', chr(92) + '|')} |" for seed, each in red]
    return "\n".join([*lines, ""])


def _read(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "steady", description="Run the core's suites with many seeds, some of them on a busy machine."
    )
    parser.add_argument("seeds", nargs="*", metavar="SEED", help="only these; nothing is written")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"seeds 1 to so many, {RUNS} by default")
    parser.add_argument(
        "--busy", type=int, default=BUSY_RUNS, help=f"the first so many of them, {BUSY_RUNS} by default,"
    )
    parser.add_argument("--spinners", type=int, default=SPINNERS, help="beside so many processes that never pause")
    parser.add_argument("--workers", type=int, default=(os.cpu_count() or 1) + 1, help="tests side by side")
    options = parser.parse_args(arguments)
    if mistaken := [seed for seed in options.seeds if not seed.isdecimal()]:
        parser.error(f"a seed is a number: {', '.join(mistaken)}")
    return options


def _commit() -> str:
    """Return the commit that was tried, and whether anything was changed since."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or "no commit"


def _say(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
