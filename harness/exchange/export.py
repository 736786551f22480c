"""A scenario's faults, written for a cluster: what each becomes, and which cannot be said.

Only the faults and their times go along. What loads the service there, and what judges it, is another matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, assert_never

import yaml

from harness.errors import SpecError, all_of
from harness.evidence.redaction import line
from harness.exchange import chaos_mesh, litmus
from harness.exchange.fidelity import Fidelity, Translation, unsupported
from harness.spec.faults import TrafficFault
from harness.stack.blueprint import PROXY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.exchange.pods import Cluster
    from harness.plan import Plan
    from harness.spec.document import Document
    from harness.spec.timeline import Scheduled


class Tool(StrEnum):
    """What a scenario can be written for."""

    CHAOS_MESH = "chaos-mesh"
    LITMUS = "litmus"


VERSIONS = {Tool.CHAOS_MESH: "Chaos Mesh 2.8.3", Tool.LITMUS: "Litmus 3.28.0"}
"""What the manifests are written for; their schemas are held in suites/support/crds.py."""

PREFIX = "readiness/"
"""Of the annotations that say what a manifest came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A scenario in another tool's words.

    Attributes:
        tool: Which.
        plan: What was exported.
        rows: Each fault, with what it becomes.
        manifests: What it becomes, as Kubernetes reads it.
    """

    tool: Tool
    plan: Plan
    rows: tuple[tuple[Scheduled, Translation], ...]
    manifests: tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """Return the manifests as YAML documents, with a comment on what they are."""
        return "\n".join(_opening(self)) + "\n---\n" + yaml.safe_dump_all(self.manifests, sort_keys=False, width=120)

    @property
    def table(self) -> list[str]:
        """Return a line for each fault: its id, what it is, how well it is said, and what is otherwise there."""
        cells = [(action.id, line(str(action.spec)), how.fidelity.value, how.why) for action, how in self.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(3)]
        return ["  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in cells]


def exported(plan: Plan, document: Document, tool: Tool, cluster: Cluster, *, is_partial: bool = False) -> Export:
    """Write a plan's faults for a tool.

    Args:
        plan: What would be run here.
        document: Its file, so that what cannot be said is told with its line.
        tool: What the manifests are for.
        cluster: Where the parts of the system are there.
        is_partial: Whether a fault that cannot be said there is left out, and told.

    Raises:
        SpecError: If a fault cannot be said there and is not to be left out, or if none can.
    """
    rows = tuple((action, _translated(action, tool, cluster)) for action in plan.actions)
    lost = [action for action, how in rows if how.fidelity is Fidelity.UNSUPPORTED]
    if not rows:
        raise SpecError("the scenario has no fault to export", where=document.place(()), fix="name one that has some")
    if lost and (len(lost) == len(rows) or not is_partial):
        raise all_of(list(_refusals(rows, plan, document, tool)))
    done = [(action, how) for action, how in rows if how.parts]
    return Export(tool=tool, plan=plan, rows=rows, manifests=tuple(_manifests(plan, tool, cluster, rows, done)))


def _translated(action: Scheduled, tool: Tool, cluster: Cluster) -> Translation:
    if not isinstance(action.spec, TrafficFault) and action.spec.target == PROXY:
        return unsupported("the fault proxy is the harness's own, and a cluster has none")
    match tool:
        case Tool.CHAOS_MESH:
            return chaos_mesh.translated(action.spec, cluster)
        case Tool.LITMUS:
            return litmus.translated(action, cluster)
        case _:
            assert_never(tool)


def _refusals(
    rows: Sequence[tuple[Scheduled, Translation]], plan: Plan, document: Document, tool: Tool
) -> Iterator[SpecError]:
    """Yield what is told of each fault that cannot be said, at its place in the file."""
    phases = plan.scenario.phases
    paths = [("phases", n, "faults", i) for n, phase in enumerate(phases) for i in range(len(phase.faults))]
    for path, (action, how) in zip(paths, rows, strict=True):
        if how.fidelity is Fidelity.UNSUPPORTED:
            fix = (
                "leave it out with --partial"
                if any(other.parts for _, other in rows)
                else "nothing is left of it there"
            )
            what = f"`{action.spec}` cannot be said for {VERSIONS[tool]}: {how.why}"
            yield SpecError(what, where=document.place(path), fix=fix)


def _manifests(
    plan: Plan,
    tool: Tool,
    cluster: Cluster,
    rows: Sequence[tuple[Scheduled, Translation]],
    done: Sequence[tuple[Scheduled, Translation]],
) -> Iterator[dict[str, Any]]:
    if tool is Tool.CHAOS_MESH:
        yield _annotated(chaos_mesh.workflow(plan.name, plan.scenario.phases, done, cluster), plan, rows)
        return
    for action, how in done:
        for part in how.parts:
            manifest = litmus.engine(plan.name, action, part, how.pods[0], cluster)
            yield _annotated(manifest, plan, [(action, how)])


def _annotated(manifest: dict[str, Any], plan: Plan, rows: Sequence[tuple[Scheduled, Translation]]) -> dict[str, Any]:
    """Return a manifest that says what it came from, how well each fault is said, and what was assumed of pods."""
    said = {f"{PREFIX}scenario": plan.name, f"{PREFIX}profile": plan.profile}
    for action, how in rows:
        said[f"{PREFIX}{action.id}"] = line(f"{how.fidelity}: {action.spec}: {how.why}")
        for pods in how.pods:
            if pods.is_assumed:
                said[f"{PREFIX}assumed.{pods.part}"] = pods.label_text
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": said}}


def _opening(export: Export) -> Iterator[str]:
    yield line(f"# The faults of the scenario {export.plan.name}, for {VERSIONS[export.tool]}.")
    yield "# No load is applied by this, and nothing is promised or judged."
    yield from (f"# {row}" for row in export.table)
