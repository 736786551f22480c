"""pytest's JUnit XML as it leaves: without secrets, and with everything that was to be run.

pytest writes what came to a report. A scenario that a signal cut short, or that was never begun, is not in it, and
a reader of the file alone would take the rest for all.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from harness.evidence.redaction import Secrets, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.report.ctrf import Unjudged

_NOTHING = "nothing was run, and nothing is what it proves"


def junit_text(written: str, unjudged: Sequence[Unjudged], secrets: Secrets) -> str:
    """Return the XML that pytest wrote, completed and cleaned.

    Args:
        written: By pytest; an empty text if it did not come to that.
        unjudged: What was to be run and came to no verdict; what is in `written` already is not added again.
        secrets: What must not be written. Taken out before anything is escaped, so that no form of escaping hides it.
    """
    root = ET.fromstring(written or "<testsuites><testsuite name='readiness'/></testsuites>")  # noqa: S314 - pytest's
    suite = root if root.tag == "testsuite" else next(root.iter("testsuite"))
    for case in suite.findall("testcase"):
        if case.get("name") is None:  # pytest leaves the shell of what a signal cut short, without an end: a pass
            suite.remove(case)
    known = {case.get("name") for case in suite.iter("testcase")}
    for each in unjudged:
        if each.name not in known:
            _add(suite, each.name, each.why)
    if suite.find("testcase") is None:
        _add(suite, "no scenario", _NOTHING)
    for element in root.iter():
        _clean(element, secrets)
    _count(suite)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ET.tostring(root, encoding="unicode") + "\n"


def _add(suite: ET.Element, name: str, why: str) -> None:
    case = ET.SubElement(suite, "testcase", classname="readiness", name=plain(name), time="0.000")
    ET.SubElement(case, "error").text = why


def _clean(element: ET.Element, secrets: Secrets) -> None:
    element.text = secrets.redacted(plain(element.text)) if element.text else element.text
    if element.tag == "error" and element.text:
        element.set("message", element.text)  # pytest's own says `failed on setup with "…"`, which is not what happened
    for name, value in element.items():
        element.set(name, secrets.redacted(plain(value)))


def _count(suite: ET.Element) -> None:
    cases = list(suite.iter("testcase"))
    counts = {"tests": len(cases), **{f"{kind}s": len(suite.findall(f".//{kind}")) for kind in ("failure", "error")}}
    for name, count in counts.items():
        suite.set(name, str(count))
