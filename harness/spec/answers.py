"""Can the answers tell what is promised of them? Asked at collection: a run could only find that they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import SpecError, nearest
from harness.spec.objective import Hits, Processor, Recovery
from harness.spec.sometimes import Answered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.spec.document import Document
    from harness.spec.invariant import Invariant
    from harness.spec.objective import Objective
    from harness.spec.requests import DeclaredRequest, ResponseHeaders
    from harness.spec.sometimes import Sometimes

_WHERE = "in readiness.toml, as your service has it: [system.headers] with"
_DECLARE_CACHE = f'name it {_WHERE} cache = "HEADER" and hits = ["LEVEL"]'
_DECLARE_HITS = f'name them {_WHERE} hits = ["LEVEL"]; or in the objective, as levels: [LEVEL]'
_DECLARE_ANY = f'name it {_WHERE} cache = "HEADER", or replica = "HEADER"'


def unanswerable(
    objectives: Sequence[Objective],
    headers: ResponseHeaders,
    requests: Sequence[DeclaredRequest],
    document: Document,
) -> Iterator[SpecError]:
    """Return the objectives of a file that no answer could tell of.

    Args:
        objectives: Those that stand in the file, in order.
        headers: What answers tell of themselves.
        requests: What is asked; empty where that is not known.
        document: The file.
    """
    for index, objective in enumerate(objectives):
        about, of = (document.place(("objectives", index, key)) for key in ("sli", "of"))
        yield from _untold(objective, headers, requests, about, of)


def unreachable(points: Sequence[Sometimes], headers: ResponseHeaders, document: Document) -> Iterator[SpecError]:
    """Return the points of a scenario that no answer could tell of."""
    for index, point in enumerate(points):
        if isinstance(point, Answered) and not (headers.cache or headers.replica):
            what = f"`{point}` is told by a response header, and none is named that tells of a cache or a replica"
            yield SpecError(what, where=document.place(("sometimes", index, "by")), fix=_DECLARE_ANY)


def unexercised(
    invariants: Sequence[Invariant],
    headers: ResponseHeaders,
    requests: Sequence[DeclaredRequest],
    document: Document,
) -> Iterator[SpecError]:
    """Return the invariants of a scenario that nothing it asks could break."""
    for index, invariant in enumerate(invariants):
        yield from _unbroken(invariant, headers, requests, document.place(("invariants", index, "kind")))


def default_unanswerable(
    objectives: Sequence[Objective], headers: ResponseHeaders, requests: Sequence[DeclaredRequest], where: str
) -> Iterator[SpecError]:
    """Return the same of what readiness.toml promises of every scenario, where a load asks or is told something else.

    Args:
        objectives: Those that hold in a scenario by default.
        headers: What answers to its load tell of themselves.
        requests: What its load asks; empty where that is not known.
        where: The place of its load.
    """
    for objective in objectives:
        yield from _untold(objective, headers, requests, where, where)


def default_unexercised(
    invariants: Sequence[Invariant], headers: ResponseHeaders, requests: Sequence[DeclaredRequest], where: str
) -> Iterator[SpecError]:
    """Return the invariants of every scenario that nothing a load asks could break; `where` is the load's place."""
    for invariant in invariants:
        yield from _unbroken(invariant, headers, requests, where)


def _unbroken(
    invariant: Invariant, headers: ResponseHeaders, requests: Sequence[DeclaredRequest], where: str
) -> Iterator[SpecError]:
    missing = invariant.missing(requests, headers)
    if missing is not None:
        what, fix = missing
        yield SpecError(f"`{invariant}`: {what}", where=where, fix=fix)


def _untold(
    objective: Objective, headers: ResponseHeaders, requests: Sequence[DeclaredRequest], about: str, of: str
) -> Iterator[SpecError]:
    if isinstance(objective, Recovery | Processor):
        return
    known = [request.name for request in requests]
    for name in [objective.of] if isinstance(objective.of, str) else objective.of or ():
        if known and name not in known:
            what = f"`{objective}` is about the request {name!r}, which is not asked"
            yield SpecError(what, where=of, fix=nearest(name, known))
    if not isinstance(objective, Hits):
        return
    if headers.cache is None:
        what = f"`{objective}` is told by the response header of a cache, and none is named"
        yield SpecError(what, where=about, fix=_DECLARE_CACHE)
    elif not (objective.levels or headers.hits):
        what = f"`{objective}` does not know which values of {headers.cache} are hits"
        yield SpecError(what, where=about, fix=_DECLARE_HITS)
    if known and not objective.of and not any(request.may_be_cached for request in requests):
        what = f"`{objective}` is about what a cache may answer, and no request is a GET"
        yield SpecError(what, where=about, fix=f"name those that a cache answers: of: {known[0]}")
