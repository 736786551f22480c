"""Allure's own HTML report, made by its Node program; a run that has no Node has our own pages all the same.

What it takes is noted in a ledger of its own, under a guardian, so that it is undone however we end.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError
from harness.faults.guardian import noted
from harness.faults.undo import WORK_PREFIX
from harness.layout import PAGE_FILE, PAGES_LEDGER_FILE
from harness.report.allure.npx import OLDEST_NODE, Patience, npx, run_npx
from harness.stack.service import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.faults.ledger import Ledger

PROGRAM = "allure@3"
DEADLINE_S = 120.0
"""The first time, npm fetches about 90 MB; later it takes seconds."""


def build_allure_report(
    results_dir: Path,
    out_dir: Path,
    *,
    say: Callable[[str], object] = lambda _line: None,
    deadline_s: float = DEADLINE_S,
) -> Path | str:
    """Build Allure 3's HTML report as one file that opens from disk; enter this in the main thread.

    Args:
        results_dir: What `--alluredir` named, in the run's folder.
        out_dir: Replaced if it is there.
        say: Told that it is being built, which takes a while.
        deadline_s: After so long npm is ended, in seconds.

    Returns:
        The page; or a sentence that says what is missing and what to do.
    """
    if not any(results_dir.glob("*-result.json")):
        return f"No Allure report: there are no results in {results_dir}; run the scenarios with --alluredir."
    call = npx()
    if call is None:
        return (
            f"No Allure report: Node {OLDEST_NODE} or newer is not installed; install it, "
            "or install this package with its extra `allure`."
        )
    say(f"building Allure's page with `npx {PROGRAM}`; the first time, npm fetches some 90 MB")
    try:
        folder = results_dir.resolve().parent
        with noted(folder / PAGES_LEDGER_FILE, f"{folder.name}-allure") as ledger, _room(ledger) as workspace:
            trouble = _generate(call, results_dir.resolve(), out_dir.resolve(), workspace, Patience(deadline_s, say))
    except HarnessError as error:
        return f"No Allure report: {error.what}; {error.fix}."
    except OSError as error:
        return f"No Allure report: {error.strerror or error}; the results are in {results_dir}."
    return trouble or out_dir / PAGE_FILE


@contextmanager
def _room(ledger: Ledger) -> Iterator[Workspace]:
    """Make a folder for npm's litter and the unfinished page, noted first, and remove it on any exit."""
    room = Path(tempfile.gettempdir()) / f"{WORK_PREFIX}{ledger.run_id}"
    entry = ledger.note("folder", room.name, path=str(room))
    room.mkdir()
    try:
        yield Workspace(run_id=ledger.run_id, project=room, logs=room, work=room, on_spawn=ledger.note_process)
    finally:
        shutil.rmtree(room, ignore_errors=True)
        ledger.strike(entry)


def _generate(
    call: list[str], results_dir: Path, out_dir: Path, workspace: Workspace, patience: Patience
) -> str | None:
    """Build the report in the work folder and move it to `out_dir` only when it is whole; return what went wrong."""
    config, built = workspace.work / "allurerc.json", workspace.work / "report"
    config.write_text(json.dumps(_config(results_dir, built)), encoding="utf-8")
    # What is in npm's cache is taken from there without asking: fast, and good without a network.
    command = [*call, "--yes", "--prefer-offline", PROGRAM, "generate", str(results_dir), "--config", str(config)]
    code, said = run_npx(command, workspace=workspace, patience=patience)
    page = next((path for path in (built / PAGE_FILE, built / "awesome" / PAGE_FILE) if path.is_file()), None)
    if code is None:
        said = f"npx did not finish within {patience.deadline_s:g} s"
    elif code != 0 or page is None:
        said = f"`npx {PROGRAM}` ended with {code}: {said}"
    if code != 0 or page is None:
        return f"No Allure report: {said}; check the network, then try again."
    shutil.rmtree(out_dir, ignore_errors=True)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(page.parent, out_dir)
    return None


def _config(results_dir: Path, built: Path) -> dict[str, Any]:
    """Return Allure 3's configuration; categories come from here, for it no longer reads them beside the results."""
    options = {"singleFile": True, "reportLanguage": "en", "groupBy": ["epic", "feature", "story"]}
    config: dict[str, Any] = {
        "name": _report_name(results_dir / "executor.json"),
        "output": str(built),
        "plugins": {"awesome": {"options": options}},
    }
    with contextlib.suppress(OSError, ValueError):
        config["categories"] = json.loads((results_dir / "categories.json").read_bytes())
    return config


def _report_name(executor: Path) -> str:
    try:
        return str(json.loads(executor.read_bytes())["reportName"])
    except (OSError, ValueError, KeyError, TypeError):
        return "Production readiness"
