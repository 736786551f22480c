"""Which pods of a cluster are meant by a part of a stack here: by labels that the caller gives, or by assumed ones.

A part of a stack has a name and is one process; in a cluster what runs is a set of pods that differ in nothing, and
has labels. So a single replica is any one of them, unless the caller gives a label that only one pod has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.errors import SpecError, nearest
from harness.stack.blueprint import ENTRY, edges_of, replicas_of
from harness.stack.stack import REPLICAS, SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.spec.system import System

NAME_LABEL = "app.kubernetes.io/name"
"""What a part is known by where the caller says nothing: the first of the labels that Kubernetes recommends."""

WORKLOADS = ("deployment", "statefulset", "daemonset", "deploymentconfig", "rollout")
"""What owns pods, in the words of Litmus' ChaosEngine."""

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}=(?:{_NAME})?")
"""A key with or without a prefix, and a value that may be empty: `kubernetes.io`, "Labels and Selectors"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """Some pods of a cluster.

    Attributes:
        part: What of the stack they stand for.
        labels: All of which each of them has.
        is_one: Whether any one of them is meant, and not all.
        workload: What owns them, one of `WORKLOADS`.
        is_assumed: Whether the caller did not say their labels.
    """

    part: str
    labels: Mapping[str, str]
    is_one: bool
    workload: str
    is_assumed: bool

    @property
    def label_text(self) -> str:
        """Return their labels as `kubectl -l` takes them."""
        return ",".join(f"{key}={value}" for key, value in self.labels.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where the parts of a system are in a cluster.

    Attributes:
        system: The system, as readiness.toml has it.
        namespace: Of all its pods.
        labels: Of the pods of a part, where the caller said so.
        workloads: What owns the pods of a part, where the caller said so.
    """

    system: System
    namespace: str = "default"
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    workloads: Mapping[str, str] = field(default_factory=dict)

    def pods_of(self, name: str) -> Pods:
        """Return the pods that a service of the stack stands for: all of its group, or any one of it."""
        group = self._group_of(name)
        own, of_group = self.labels.get(name), self.labels.get(group)
        usual = "statefulset" if group in self.system.kinds else "deployment"
        return Pods(
            part=name,
            labels=own or of_group or {NAME_LABEL: self._usual_name(group)},
            is_one=own is None and name != group and self._size_of(group) > 1,
            workload=self.workloads.get(name) or self.workloads.get(group) or usual,
            is_assumed=own is None and of_group is None,
        )

    def clients_of(self, target: str) -> tuple[Pods, ...]:
        """Return the pods that have a path to a target, each group once; of an edge, those at its beginning."""
        if "." in target:
            return (self.pods_of(target.partition(".")[0]),)
        groups = {self._group_of(client): None for client, server in edges_of(self.system) if server == target}
        return tuple(self.pods_of(group) for group in groups)

    def _group_of(self, name: str) -> str:
        """Return what a process is one of: the replicas, the workers of one name, or itself."""
        if name in replicas_of(self.system):
            return REPLICAS
        stem = re.sub(r"-[0-9]+$", "", name)
        return stem if stem in self.system.subject.workers else name

    def _size_of(self, group: str) -> int:
        worker = self.system.subject.workers.get(group)
        return worker.count if worker else len(replicas_of(self.system)) if group == REPLICAS else 1

    def _usual_name(self, group: str) -> str:
        return self.system.name if group in {REPLICAS, SUBJECT} else group


def parts_of(system: System) -> list[str]:
    """Return everything that labels may be given for."""
    ends = {name for edge in edges_of(system) for name in edge}
    return sorted(ends | {*system.kinds, *replicas_of(system), *system.subject.workers, REPLICAS, ENTRY})


def labels_from(pairs: Iterable[str], known: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the labels that the caller gives, by part: `redis=app=redis,role=primary`.

    Raises:
        SpecError: If one is no label, or its part is none or has some already.
    """
    found: dict[str, dict[str, str]] = {}
    for part, text in _by_part(pairs, known, "--selector", "redis=app=redis"):
        labels = text.split(",")
        for label in labels:
            if not _LABEL.fullmatch(label):
                raise SpecError(f"{label!r} is no label", where=f"--selector {part}", fix="such as redis=app=redis")
        found[part] = dict(label.split("=", 1) for label in labels)
    return found


def workloads_from(pairs: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Return what owns the pods of a part, where the caller says so: `redis=statefulset`.

    Raises:
        SpecError: If it is nothing that owns pods, or its part is none or has one already.
    """
    found = dict(_by_part(pairs, known, "--workload", "redis=statefulset"))
    for part, workload in found.items():
        if workload not in WORKLOADS:
            raise SpecError(
                f"{workload!r} owns no pods", where=f"--workload {part}", fix=nearest(workload, list(WORKLOADS))
            )
    return found


def _by_part(pairs: Iterable[str], known: Sequence[str], option: str, example: str) -> list[tuple[str, str]]:
    split = [pair.partition("=") for pair in pairs]
    for part, sign, said in split:
        if not (part and sign and said):
            raise SpecError(f"{part!r} is given nothing", where=option, fix=f"such as {option} {example}")
        if part not in known:
            raise SpecError(f"there is no {part!r}", where=option, fix=nearest(part, known))
        if [other for other, _, _ in split].count(part) > 1:
            raise SpecError(f"{part!r} is given twice", where=option, fix="keep one of the two")
    return [(part, said) for part, _, said in split]
