"""A run's folder as evidence: every file by its hash, and the verdict found again from nothing but what is there.

The manifest covers what was seen and what was concluded. Pages and pictures are not in it: `readiness report` makes
them again from the evidence.
"""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.history.store import EVENTS_FILE, HISTORY_FILE, SAMPLES_FILE
from harness.report.documents import json_text, read_json, verdict_text
from harness.report.egress import NO_SECRETS, write_text
from harness.report.experiment import read_experiment
from harness.verdict.judge import judge

if TYPE_CHECKING:
    from pathlib import Path

    from harness.verdict.outcome import Verdict

MANIFEST_FILE = "manifest.json"
SCHEMA = 1
EVIDENCE = (
    *(SAMPLES_FILE, EVENTS_FILE, HISTORY_FILE),
    *("scenario.yaml", "scenario.json", "system.json", "timeline.csv", "verdict.json"),
)
LOGS = "logs"

_NAME = re.compile(rf"(?:{LOGS}/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_MEND = "take the folder from where it was made, again"


def write_manifest(folder: Path) -> None:
    """Note size and hash of every file of evidence; the last file of an experiment, so what has it is whole.

    Raises:
        ReportError: If a file of evidence is missing, or the manifest cannot be written.
    """
    logs = sorted(f"{LOGS}/{path.name}" for path in (folder / LOGS).glob("*.log"))
    files = {name: _fingerprint(folder / name) for name in [*EVIDENCE, *logs]}
    data = {"schema": SCHEMA, "harness": version("readiness-harness"), "files": files}
    write_text(folder / MANIFEST_FILE, json_text(data), NO_SECRETS)


def verified(folder: Path) -> Verdict:
    """See that an experiment's evidence is as it was written, and judge it again.

    Returns:
        The verdict, which is the same as the folder's, byte for byte.

    Raises:
        ReportError: If a file is missing, was cut short or changed, or the verdict would be another; it names which.
    """
    for name, noted in _noted(folder).items():
        _compare(_within(folder, name), noted)
    experiment, _ = read_experiment(folder)
    judged = experiment.verdict
    verdict = judge(experiment.scenario, experiment.history, confidence=judged.confidence, family=judged.family)
    if verdict_text(verdict).encode() != (folder / "verdict.json").read_bytes():
        what = f"judged again, this is another verdict: {verdict.sentence}"
        by = read_json(folder / MANIFEST_FILE).get("harness")
        mend = f"it was judged by version {by} of the harness, this is {version('readiness-harness')}"
        raise ReportError(what, where=str(folder / "verdict.json"), mend=mend)
    return verdict


def experiments_in(folder: Path) -> list[Path]:
    """Return the experiments' folders of a run's folder, or the folder itself if it is an experiment's.

    Raises:
        ReportError: If there is none, or one broke off before its evidence was whole.
    """
    if (folder / MANIFEST_FILE).is_file():
        return [folder]
    begun = sorted(path.parent for path in folder.glob(f"*/{LOGS}"))
    if not begun:
        mend = "give the folder of a run: reports/runs/<id>"
        raise ReportError("there is no experiment in this folder", where=str(folder), mend=mend)
    for each in begun:
        if not (each / MANIFEST_FILE).is_file():
            mend = "run the scenario again; what was seen until then is in the folder"
            raise ReportError("this experiment was cut short: it has no manifest", where=str(each), mend=mend)
    return begun


def _fingerprint(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReportError(f"cannot read the file: {error.strerror}", where=str(path), mend=_MEND) from error
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _noted(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest's files, having seen that it is a manifest and names all the evidence."""
    path = folder / MANIFEST_FILE
    data = read_json(path)
    if data.get("schema") != SCHEMA:
        mend = f"use a harness that reads it; this one knows schema {SCHEMA}"
        raise ReportError(f"unknown schema {data.get('schema')!r}", where=f"{path}: schema", mend=mend)
    files = data.get("files")
    if not isinstance(files, dict) or not set(EVIDENCE) <= set(files):
        raise ReportError("the manifest does not name all the evidence", where=f"{path}: files", mend=_MEND)
    return files


def _within(folder: Path, name: str) -> Path:
    """Return a file of the folder; a manifest from elsewhere must not make us read what is not in it."""
    path = folder / name
    if not _NAME.fullmatch(name) or path.is_symlink() or path.parent.is_symlink():
        raise ReportError(f"{name!r} leads out of the folder", where=str(folder / MANIFEST_FILE), mend=_MEND)
    return path


def _compare(path: Path, noted: Any) -> None:
    seen = _fingerprint(path)
    if seen == noted:
        return
    expected = noted.get("bytes") if isinstance(noted, dict) else None
    differs = f"{seen['bytes']} bytes instead of {expected}" if seen["bytes"] != expected else "its hash is another"
    raise ReportError(f"the file was changed: {differs}", where=str(path), mend=_MEND)
