"""What Allure shows around the results: where and with what they came about, and how it sorts what did not pass."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING, Any

from harness.errors import FaultError, FaultProxyError, HarnessError, MissingError, NotReadyError, SubjectError
from harness.evidence.documents import json_text
from harness.evidence.redaction import line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence.experiment import Experiment
    from harness.evidence.folder import EvidenceFolder

EPIC = "Production readiness"


def _of(*errors: type[HarnessError]) -> str:
    """Return the expression that takes what our plugin raises for failures of these classes: `[not-ready] error: …`."""
    kinds = "|".join(re.escape(error.kind) for error in errors)
    return rf"^(?:[\w.]+: )?\[(?:{kinds})\] [\s\S]*$"


CATEGORIES: tuple[dict[str, Any], ...] = (
    {"name": "Service does not start", "matchedStatuses": ["failed"], "messageRegex": _of(SubjectError)},
    {"name": "SLO violated", "matchedStatuses": ["failed"]},
    {
        "name": "Inconclusive (evidence)",
        "matchedStatuses": ["broken"],
        "messageRegex": r"^(?:[\w.]+: )?INCONCLUSIVE: [\s\S]*$",
    },
    {
        "name": "Fault not under control",
        "matchedStatuses": ["broken"],
        "messageRegex": _of(FaultError, FaultProxyError),
    },
    {
        "name": "Component not ready",
        "matchedStatuses": ["broken"],
        "messageRegex": _of(NotReadyError, MissingError),
    },
    {"name": "Harness error", "matchedStatuses": ["broken"]},
)
"""The first that matches wins. The expressions are JavaScript's; they meet the sentence that our plugin raises, which
begins with the failure's kind."""


def write_allure_context(results: EvidenceFolder, experiments: Sequence[Experiment]) -> None:
    """Write what Allure shows around the results: environment, categories and who ran them; net what it wrote itself.

    Args:
        results: What `--alluredir` names.
        experiments: Of one run, whose versions, seed, profile and backend are told; nothing else of the environment.

    Raises:
        ReportError: If a file cannot be written.
    """
    results.cut_files()
    facts = {
        "Platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        **(_run_facts(experiments[0]) if experiments else {}),
        **{part.part: part.version for experiment in experiments for part in experiment.history.startup},
    }
    properties = "".join(f"{_property_key(key)}={_property(value)}\n" for key, value in facts.items())
    results.write("environment.properties", properties)
    results.write("categories.json", json_text(CATEGORIES))
    run = experiments[0].history.run_id if experiments else ""
    executor = {"name": "readiness", "type": "readiness", "buildName": run, "reportName": f"{EPIC} {run}".strip()}
    results.write("executor.json", json_text(executor))


def _run_facts(first: Experiment) -> dict[str, str]:
    history = first.history
    return {
        "Backend": history.backend,
        "Profile": history.profile or "",
        "Run": history.run_id,
        "Seed": str(history.seed),
    }


def _property_key(key: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in key)


def _property(value: str) -> str:
    return line(value).replace("\\", "\\\\")
