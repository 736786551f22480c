"""A Chaos Toolkit experiment: what of it means the same here, and what does not, by name.

Nothing of it is run, imported or asked for: a provider is a name that is looked up in a table, and a URL gives a path.

Sources: chaostoolkit-lib 1.44; https://chaostoolkit.org/reference/api/experiment/.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import SpecError, all_of
from harness.exchange.hypothesis import probes_of
from harness.exchange.method import check_rollbacks, method_of
from harness.exchange.node import Node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.exchange.hypothesis import Probe
    from harness.exchange.method import Method
    from harness.spec.document import Document

STRATEGIES = ("default", "before-method-only", "after-method-only", "during-method-only", "continuously", "skip")
"""When the hypothesis is looked at."""

_KNOWN = (
    "version", "title", "description", "tags", "contributions", "extensions", "steady-state-hypothesis", "method",
    "rollbacks", "configuration", "runtime",
)  # fmt: skip
_REFUSED = {
    "secrets": "leave it out: a scenario's file is evidence, and holds no secrets",
    "controls": "leave it out: a control is code, and none of an experiment is run",
    "dry": "leave it out; `readiness run --collect-only` reads a scenario and runs nothing",
}
_SAID_ONLY = ("tags", "contributions", "extensions")
"""What is said about an experiment, and changes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What an experiment does and promises.

    Attributes:
        name: Its file.
        title: Its title.
        description: Its description; its title if there is none.
        strategy: When its hypothesis is looked at: one of `STRATEGIES`.
        probes: The promises about requests.
        method: The faults.
        passed_over: What is done anyway, or changes nothing, a line each.
    """

    name: str
    title: str
    description: str
    strategy: str
    probes: tuple[Probe, ...]
    method: Method
    passed_over: tuple[str, ...] = field(default=())


def read_experiment(
    document: Document, targets: Mapping[str, str] | None = None, known: Sequence[str] = ()
) -> Experiment:
    """Read an experiment.

    Args:
        document: Its file.
        targets: What proxies are called here, where it is not their own name.
        known: All that a fault of the network can hit here; empty where that is not known.

    Raises:
        SpecError: If something in it does not mean the same here; all that does not is told, each with its place.
    """
    root = Node(document.data, (), document)
    if not root.is_mapping():
        raise all_of(root.refusals)
    root.only(_KNOWN, _REFUSED)
    configuration = root.child("configuration")
    root = root.knowing(configuration.value if configuration and configuration.is_mapping() else {})
    titles, hypothesis, method = root.needed("title"), root.child("steady-state-hypothesis"), root.needed("method")
    title, description = titles.text() if titles else None, root.child("description")
    experiment = Experiment(
        name=document.name,
        title=title or "",
        description=(description.text() if description else None) or title or "",
        strategy=_strategy(root.child("runtime")),
        probes=tuple(probes_of(hypothesis)),
        method=(read := method_of(method, targets or {}, known)),
        passed_over=(
            *(f"`{key}`: it changes nothing of what is done" for key in _SAID_ONLY if root.child(key)),
            *read.passed_over,
            *check_rollbacks(root.child("rollbacks")),
        ),
    )
    if root.refusals:
        raise all_of(_told_once(root.refusals))
    return experiment


def _told_once(refusals: list[SpecError]) -> list[SpecError]:
    """Leave out what is told twice: a place may be looked at for several reasons."""
    return list({str(refusal): refusal for refusal in refusals}.values())


def _strategy(runtime: Node | None) -> str:
    """Return when the hypothesis is looked at."""
    if runtime is None or not runtime.is_mapping():
        return STRATEGIES[0]
    runtime.only(("rollbacks", "hypothesis"))
    rollbacks, hypothesis = (_chosen(runtime.child(key)) for key in ("rollbacks", "hypothesis"))
    if rollbacks and rollbacks.value == "never":
        rollbacks.refuse("faults that stay are refused", "leave it out: every fault is undone, whatever happens")
    elif rollbacks:
        rollbacks.one_of(("default", "always", "deviated"))
    return (hypothesis.one_of(STRATEGIES) if hypothesis else None) or STRATEGIES[0]


def _chosen(part: Node | None) -> Node | None:
    if part is None or not part.is_mapping():
        return None
    part.only(("strategy",))
    return part.child("strategy")
