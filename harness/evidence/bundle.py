"""A run's folder as evidence: every file by its hash, and the verdict found again from nothing but what is there.

An experiment's manifest covers what was seen and what was concluded; the run's own covers the manifests of all its
experiments, so that none can go missing unseen. Pages and pictures are in neither: `readiness report` makes them again
from the evidence.
"""

from __future__ import annotations

import hashlib
import json
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from harness.errors import ReportError
from harness.evidence.documents import json_text, read_json, run_text, verdict_text
from harness.evidence.experiment import read_experiment
from harness.layout import (
    EVIDENCE,
    HISTORY_FILE,
    LOGS,
    MANIFEST_FILE,
    RUN_EVIDENCE,
    RUN_MANIFEST_FILE,
    SOMETIMES_EVIDENCE,
    VERDICT_FILE,
)
from harness.verdict.judge import judge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from harness.evidence.folder import EvidenceFolder
    from harness.verdict.outcome import Verdict

SCHEMA = 2
READABLE = (1, 2)
"""Schemas that are read, verified, compared and judged. Since 2, history.json holds failures as records, faults with
ids and plans, and the profile; the manifests themselves are the same."""

_NAME = re.compile(rf"(?:{LOGS}/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_RUN_NAME = re.compile(rf"[a-z0-9][a-z0-9-]*/{MANIFEST_FILE}|[a-z0-9][a-z0-9.-]*")
_CONCLUDED = ("outcome", "exit_code", "experiments")
"""What a run's verdict holds that follows from its experiments' own."""
_FIX = "take the folder from where it was made, again"


def write_manifest(folder: EvidenceFolder) -> None:
    """Note size and hash of every file of evidence; the last file of an experiment, so what has it is whole.

    Raises:
        ReportError: If a file of evidence is missing, or the manifest cannot be written.
    """
    path = folder.path
    logs = sorted(f"{LOGS}/{log.name}" for log in (path / LOGS).glob("*.log"))
    written = [name for name in SOMETIMES_EVIDENCE if (path / name).is_file()]
    files = {name: _fingerprint(path / name) for name in [*EVIDENCE, *written, *logs]}
    folder.write(MANIFEST_FILE, _manifest_text(files))


def write_run_manifest(folder: EvidenceFolder, experiments: Iterable[str]) -> None:
    """Note the manifests of a run's experiments, and its own files; the last file of a run, so what has it is whole.

    Args:
        folder: The run's.
        experiments: The names of all that were to be run.

    Raises:
        ReportError: If one of them has no manifest, or the run's own cannot be written.
    """
    names = [f"{name}/{MANIFEST_FILE}" for name in sorted(experiments)]
    names += [name for name in RUN_EVIDENCE if name == VERDICT_FILE or (folder.path / name).is_file()]
    files = {name: _fingerprint(folder.path / name) for name in names}
    folder.write(RUN_MANIFEST_FILE, _manifest_text(files))


def _manifest_text(files: dict[str, Any]) -> str:
    return json_text({"schema": SCHEMA, "harness": version("readiness-harness"), "files": files})


def verified_run(folder: Path) -> dict[Path, Verdict]:
    """See that all the evidence of a run, or of one experiment, is as it was written, and judge it again.

    Returns:
        The verdict of each experiment, by its folder.

    Raises:
        ReportError: As `verified` and `experiments_in` do, or if the run says another verdict than its experiments.
    """
    verdicts = {place: verified(place) for place in experiments_in(folder)}
    if folder not in verdicts:
        _compare_said(folder, verdicts.values())
    return verdicts


def verified(folder: Path) -> Verdict:
    """See that an experiment's evidence is as it was written, and judge it again.

    Returns:
        The verdict, which is the same as the folder's, byte for byte.

    Raises:
        ReportError: If a file is missing, was cut short or changed, or the verdict would be another; it names which.
    """
    check_unchanged(folder)
    experiment, _ = read_experiment(folder)
    judged = experiment.verdict
    verdict = judge(experiment.scenario, experiment.history, confidence=judged.confidence, family=judged.family)
    if verdict_text(verdict).encode() != (folder / VERDICT_FILE).read_bytes():
        what = f"judged again, this is another verdict: {verdict.sentence}"
        by = read_json(folder / MANIFEST_FILE).get("harness")
        fix = f"it was judged by version {by} of the harness, this is {version('readiness-harness')}"
        raise ReportError(what, where=str(folder / VERDICT_FILE), fix=fix)
    return verdict


def check_unchanged(folder: Path) -> None:
    """See that an experiment's evidence is as it was written.

    Raises:
        ReportError: If a file is missing, was cut short or changed; it names which.
    """
    for name, noted in _noted(folder / MANIFEST_FILE, EVIDENCE).items():
        _compare(_within(folder, name, _NAME, MANIFEST_FILE), noted)


def experiments_in(folder: Path) -> list[Path]:
    """Return the experiments' folders of a run's folder, or the folder itself if it is an experiment's.

    Raises:
        ReportError: If there is none; one, or the run, broke off before its evidence was whole; or they are not those
            that were run.
    """
    if (folder / MANIFEST_FILE).is_file():
        return [folder]
    is_noted = (folder / RUN_MANIFEST_FILE).is_file()
    begun = experiments_begun(folder)
    if not begun and not is_noted:
        fix = "give the folder of a run: reports/runs/<id>"
        raise ReportError("there is no experiment in this folder", where=str(folder), fix=fix)
    noted = _experiments_noted(folder) if is_noted else set()
    for each in sorted(begun - noted):
        _raise_unless_whole(each)
    if not is_noted:
        fix = "run its scenarios again; those that were finished can be named one by one: RUN/SCENARIO"
        raise ReportError("this run was cut short: it has no manifest", where=str(folder), fix=fix)
    if begun - noted:
        what = "this is none of the run's experiments: its manifest does not name it"
        raise ReportError(what, where=str(min(begun - noted)), fix=_FIX)
    return sorted(noted)


def experiments_begun(folder: Path) -> set[Path]:
    """Return the folders of a run's experiments that left anything behind, whole or not."""
    return {path.parent for name in (LOGS, HISTORY_FILE) for path in folder.glob(f"*/{name}")}


def _raise_unless_whole(folder: Path) -> None:
    if not (folder / MANIFEST_FILE).is_file():
        fix = "run the scenario again; what was seen until then is in the folder"
        raise ReportError("this experiment was cut short: it has no manifest", where=str(folder), fix=fix)


def _experiments_noted(folder: Path) -> set[Path]:
    """Return the experiments that a run's manifest names, having seen that it names what is there."""
    for name, noted in (files := _noted(folder / RUN_MANIFEST_FILE, (VERDICT_FILE,))).items():
        _compare(_within(folder, name, _RUN_NAME, RUN_MANIFEST_FILE), noted)
    return {folder / name.partition("/")[0] for name in files if name.endswith(f"/{MANIFEST_FILE}")}


def _compare_said(folder: Path, verdicts: Iterable[Verdict]) -> None:
    """See that a run says of its experiments what they say themselves."""
    path = folder / VERDICT_FILE
    said = read_json(path)
    facts = {name: value for name, value in said.items() if name not in _CONCLUDED}
    if _in_any_order(said) != _in_any_order(json.loads(run_text(list(verdicts), facts))):
        raise ReportError("the run says another verdict than its experiments", where=str(path), fix=_FIX)


def _in_any_order(said: dict[str, Any]) -> dict[str, Any]:
    experiments = said.get("experiments")
    return {**said, "experiments": sorted(map(json_text, experiments if isinstance(experiments, list) else []))}


def _fingerprint(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReportError(f"cannot read the file: {error.strerror}", where=str(path), fix=_FIX) from error
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _noted(path: Path, evidence: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the files of the manifest `path`, having seen that it is a manifest and names all the evidence."""
    data = read_json(path)
    if data.get("schema") not in READABLE:
        fix = f"use a harness that reads it; this one knows the schemas {' and '.join(map(str, READABLE))}"
        raise ReportError(f"unknown schema {data.get('schema')!r}", where=f"{path}: schema", fix=fix)
    files = data.get("files")
    if not isinstance(files, dict) or not set(evidence) <= set(files):
        raise ReportError("the manifest does not name all the evidence", where=f"{path}: files", fix=_FIX)
    return files


def _within(folder: Path, name: str, allowed: re.Pattern[str], manifest: str) -> Path:
    """Return a file of the folder; a manifest from elsewhere must not make us read what is not in it."""
    path = folder / name
    if not allowed.fullmatch(name) or path.is_symlink() or path.parent.is_symlink():
        raise ReportError(f"{name!r} leads out of the folder", where=str(folder / manifest), fix=_FIX)
    return path


def _compare(path: Path, noted: Any) -> None:
    seen = _fingerprint(path)
    if seen == noted:
        return
    expected = noted.get("bytes") if isinstance(noted, dict) else None
    differs = f"{seen['bytes']} bytes instead of {expected}" if seen["bytes"] != expected else "its hash is another"
    raise ReportError(f"the file was changed: {differs}", where=str(path), fix=_FIX)
