"""One stack that several stories are lived through on, one after the other, for as long as each leaves it clean.

Whether a story may begin where another one ended is decided by rules (`verdict/sharing.py`) and by what is seen here of
the stack itself. Any doubt ends the stack: the next story gets a fresh one, and its evidence says why.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from harness.clock import is_met_within
from harness.errors import HarnessError
from harness.experiment.standing import fresh_stack
from harness.history.marks import Beginning
from harness.layout import LOGS
from harness.stack.metrics import exposed, value_of
from harness.verdict.sharing import (
    flows_unlike,
    kept_by,
    promised_before,
    unlike_declared,
    why_fresh_after,
    why_fresh_always,
    why_leaves_a_trace,
    why_not_handed_on,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.experiment.context import RunContext
    from harness.faults.ledger import Ledger
    from harness.plan import Plan
    from harness.spec.scenario import Scenario
    from harness.spec.system import Subject
    from harness.stack.stack import Stack
    from harness.verdict.outcome import Verdict

CLEAN_WITHIN_S = 5.0
"""How long replicas may take until they say of themselves what is declared clean, seconds: what is under way when a
story ends needs its moment, and a breaker's window its length (5 s in the reference service). A choice: a fresh stack
takes six times as long, with the baseline that it has to prove."""

_LOOK_EVERY_S = 0.1


class SharedStack:
    """A stack that stands until a story leaves it unclean, or until there is none to come.

    Args:
        context: What all experiments of the run have in common.
    """

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._leaving = ExitStack()
        self._stack: Stack | None = None
        self._logs: Path | None = None
        self._folder: Path | None = None
        self._taken: dict[str, int] = {}
        self._lives: dict[str, str] = {}
        self._stories: list[str] = []
        self._asked: set[str] = set()
        self._flows: dict[str, dict[str, float]] = {}
        self._first: tuple[Scenario, Verdict] | None = None
        self._seen: tuple[str, ...] = ()
        self._why_fresh = ""

    def beginning_of(self, plan: Plan) -> Beginning:
        """Decide on what a story begins; a stack that it cannot begin on is ended, and is so before another one starts.

        Raises:
            StackError: If a part of the old stack does not end.
        """
        if self._stack is not None and self._first is not None:
            why = why_fresh_always(plan.scenario) or why_fresh_after(plan.scenario, *self._first)
            if not why:
                self._context.listener.message(f"{plan.name}: begins where {self._stories[-1]} ended")
                kept = kept_by(*self._first)
                return Beginning(after=tuple(self._stories), kept=kept, seen=self._seen)
            self.end(why)
        if self._why_fresh:
            self._context.listener.message(f"{plan.name}: a fresh stack, because {self._why_fresh}")
        return Beginning(why_fresh=self._why_fresh)

    @contextmanager
    def standing(self, plan: Plan, folder: Path) -> Iterator[Stack]:
        """Yield the stack that stands, or start one; afterwards what the services wrote meanwhile is in `folder`.

        A story of whose faults one leaves a trace needs no more than a stack that ends with it.
        """
        if self._stack is None and why_leaves_a_trace(plan.scenario):
            with fresh_stack(self._context, plan, logs=lambda _work: folder / LOGS) as stack:
                yield stack
            return
        self._folder, self._flows = folder, {}
        # Of what these phases say it is known whether all flows as before.
        self._asked = {*promised_before(plan.scenario), plan.scenario.phases[-1].name}
        try:
            yield self._stack or self._started(plan)
        finally:
            self._take_logs()
            self._folder = None

    @contextmanager
    def counting(self, phase: str) -> Iterator[None]:
        """Count what clients send on each edge while inside, if the phase is one that is asked of."""
        stack = self._stack
        if stack is None or phase not in self._asked:
            yield
            return
        edges = [edge.name for edge in stack.edges]
        began_s, before = self._context.clock.now(), stack.proxy.all_client_bytes(edges)
        yield
        lasted_s, after = self._context.clock.now() - began_s, stack.proxy.all_client_bytes(edges)
        self._flows[phase] = {edge: (after[edge] - before[edge]) / lasted_s for edge in edges}

    def has_ended(self, scenario: Scenario, verdict: Verdict, *, is_last: bool = False) -> None:
        """Look at what a story has left, and end the stack if that is not clean, or was the last one's.

        Args:
            scenario: As it was lived through.
            verdict: What it came to.
            is_last: Whether no story is to come.

        Raises:
            StackError: If a part of the stack does not end.
        """
        name = scenario.scenario
        if is_last:
            self.end()
            return
        self._why_fresh = why_not_handed_on(scenario, verdict)
        if self._stack is not None and not self._why_fresh:
            seen = (*unclean(self._stack, self._lives, self._context.ledger), *flows_unlike(scenario, self._flows))
            self._why_fresh = "; ".join(seen or self._unlike_declared(self._stack))
        if self._why_fresh:
            self.end(f"{name} does not hand on its stack: {self._why_fresh}")
            return
        if self._stack is None:
            return
        self._first = self._first or (scenario, verdict)
        self._stories.append(name)
        self._seen = self._what_was_seen(self._stack, scenario, verdict)

    def end(self, why: str = "") -> None:
        """End the stack that stands, if one does; `why` is what the next story is told.

        Raises:
            StackError: If a part of it does not end.
        """
        self._why_fresh = why
        self._stack, self._first, self._stories, self._seen, self._taken = None, None, [], (), {}
        self._leaving.close()

    def close(self) -> None:
        """End the stack that stands, on the way out of a run."""
        self.end()

    def _started(self, plan: Plan) -> Stack:
        stack = self._leaving.enter_context(
            fresh_stack(self._context, plan, logs=self._logs_in, on_leaving=self._take_logs)
        )
        self._stack, self._lives = stack, {name: service.life() for name, service in stack.services.items()}
        return stack

    def _logs_in(self, work: Path) -> Path:
        self._logs = work / LOGS
        return self._logs

    def _take_logs(self) -> None:
        """Keep what was written since the story began; each story's evidence is whole when the next one begins."""
        if self._logs is None or self._folder is None:
            return
        (self._folder / LOGS).mkdir(exist_ok=True)
        for log in sorted(self._logs.glob("*.log")):
            data, taken = log.read_bytes(), self._taken.get(log.name, 0)
            with (self._folder / LOGS / log.name).open("ab") as kept:
                kept.write(data[taken:])
            self._taken[log.name] = len(data)

    def _unlike_declared(self, stack: Stack) -> tuple[str, ...]:
        """Find what replicas say of themselves that is not declared clean, when all of it is or their time is over."""
        subject = self._context.system.subject
        found: tuple[str, ...] = ()

        def is_clean() -> bool:
            nonlocal found
            found = unlike_declared(subject.clean, said_of(subject, stack))
            return not found

        is_met_within(is_clean, deadline_s=CLEAN_WITHIN_S, clock=self._context.clock, every_s=_LOOK_EVERY_S)
        return found

    def _what_was_seen(self, stack: Stack, scenario: Scenario, verdict: Verdict) -> tuple[str, ...]:
        last = scenario.phases[-1].name
        kept = tuple(claim.sentence.removeprefix("pass: ") for claim in verdict.claims if claim.phase == last)
        edges = [edge.name for edge in stack.edges]
        flowing = [edge for edge, per_s in self._flows.get(last, {}).items() if per_s > 0]
        clean = self._context.system.subject.clean
        return (
            *kept,
            f"nothing is left to undo, and {len(edges)} of {len(edges)} edges are whole",
            f"{len(flowing)} of {len(edges)} edges carry bytes{', as before the fault' if scenario.faults else ''}",
            f"{len(self._lives)} of {len(self._lives)} services are ready, each in its first life",
            *([f"each of {len(stack.replicas)} replicas says {', '.join(map(str, clean))}"] if clean else []),
        )


def said_of(subject: Subject, stack: Stack) -> dict[str, tuple[float | None, ...]]:
    """Return what each replica says of each metric that is declared clean, asked directly; nothing is None."""
    if not subject.clean:
        return {}
    said = {name: exposed(address, subject.metrics) for name, address in stack.replicas.items()}
    return {
        name: tuple(value_of(samples, bound.metric, bound.labels) for bound in subject.clean)
        for name, samples in said.items()
    }


def unclean(stack: Stack, lives: Mapping[str, str], ledger: Ledger) -> Iterator[str]:
    """Find what is not as it was when a stack was started, each in a clause.

    Args:
        stack: What stands.
        lives: The life of each of its services when it was started.
        ledger: What was noted before it was done.
    """
    yield from (f"not undone: {entry}" for entry in ledger.open_faults())
    try:
        yield from _hurt(stack)
        yield from _changed(stack, lives)
    except HarnessError as error:
        yield error.what


def _hurt(stack: Stack) -> Iterator[str]:
    """Find the edges that something is still done to."""
    for edge in stack.edges:
        if not stack.proxy.is_enabled(edge.name):
            yield f"{edge.name} is still refused"
        yield from (f"{toxic.kind} is still on {edge.name}" for toxic in stack.proxy.toxics(edge.name))


def _changed(stack: Stack, lives: Mapping[str, str]) -> Iterator[str]:
    """Find the services that are not ready, or are not those that were started."""
    for name, service in stack.services.items():
        if not service.is_alive() or not service.is_ready():
            yield f"{name} is not ready"
        elif service.life() != lives[name]:
            yield f"{name} is in another life than it was started in"
