"""What became of what was accepted, asked of the service when the last answers are there.

Whatever is not settled is asked again and again until it is, or until it was given enough time; then each effect is
counted. What the service does not say stays unknown, which proves nothing.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from harness.history.accounts import SETTLED, Account, Fate
from harness.history.operations import GONE
from harness.load.filling import ANONYMOUS, Clients, filling
from harness.spec.requests import ID, value_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from harness.clock import Clock
    from harness.history.accounts import Accepted
    from harness.history.samples import Samples
    from harness.load.filling import Filling
    from harness.spec.load import Load
    from harness.spec.requests import DeclaredRequest, Settles

    _Fill = Callable[[str], Filling]
    """From a template to what fills it in."""

MOST = 2000
"""So many are asked for; of more, these are spread evenly over the run. With eight at a time, answers of 5 ms and six
questions each, that is 8 s."""

AT_A_TIME = 8
COUNTED_WITHIN_S = 30.0
"""How long effects are asked for that the service does not tell at once, when all is settled."""

_AGAIN_AFTER_S = 0.25


class Told(Protocol):
    """An answer."""

    @property
    def status_code(self) -> int:
        """Its status."""

    @property
    def content(self) -> bytes:
        """Its body."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One thing to ask for.

    Attributes:
        how: As its request declares it.
        path, headers, effects, says: Filled in.
        account: What is known of it.
    """

    how: Settles
    path: str
    headers: dict[str, str]
    effects: tuple[str, ...]
    says: dict[str, str]
    account: Account


@dataclass
class Settling:
    """Asks a service.

    Attributes:
        ask: GETs a path of it with headers; None where no answer comes.
        clock: The time.
        origin_s: The moment of the clock that all times count from.
        say: Tells people how it goes.
        clients: Those who sent what was accepted, and who ask now.
    """

    ask: Callable[[str, Mapping[str, str]], Told | None]
    clock: Clock
    origin_s: float
    say: Callable[[str], object] = field(default=lambda _text: None)
    clients: Clients = ANONYMOUS

    def accounts(
        self, accepted: Sequence[Accepted], load: Load, samples: Samples, *, mark: str, within_s: float
    ) -> tuple[Account, ...]:
        """Return what became of each thing, in the order of its first acceptance.

        Args:
            accepted: What was.
            load: How its requests say where to ask.
            samples: All requests.
            mark: Of the load, for `{unique}` (`LoadPlan.mark`).
            within_s: How long to go on asking for what is not settled.
        """
        questions = _spread(_questions(accepted, load, samples, partial(filling, mark=mark, clients=self.clients)))
        if not questions:
            return ()
        self.say(f"asking what became of {len(questions)} accepted requests")
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            ends_s = self.clock.now() + within_s
            known = _again(questions, lambda some: pool.map(self._look, some), _is_settled, ends_s, self.clock)
            settled = sum(_is_settled(each) for each in known)
            self.say(f"{settled} of {len(known)} are settled; counting what they did")
            ends_s = self.clock.now() + COUNTED_WITHIN_S
            counted = _again(known, lambda some: pool.map(self._count, some), _is_counted, ends_s, self.clock)
        return tuple(each.account for each in counted)

    def _look(self, question: _Question) -> _Question:
        """Ask how far one is."""
        told = self.ask(question.path, question.headers)
        fate, state = _fate(question.how, told)
        if fate is Fate.UNKNOWN:
            return question  # what was known before still is
        account = replace(question.account, fate=fate, state=state, asked_s=self._now_s())
        if told is not None and fate in SETTLED:
            took_s = _took_s(question.how, told) if fate is Fate.DONE else None
            account = replace(account, took_s=took_s, amiss=_amiss(question.says, told))
        return replace(question, account=account)

    def _count(self, question: _Question) -> _Question:
        """Ask how often each effect of one has happened that is not known yet."""
        counts = tuple(
            self._times(path, question) if known is None else known
            for path, known in zip(question.effects, question.account.effects, strict=True)
        )
        return replace(question, account=replace(question.account, effects=counts))

    def _times(self, path: str, question: _Question) -> int | None:
        told = self.ask(path, question.headers)
        if told is None:
            return None
        if told.status_code in GONE:
            return 0
        if told.status_code != HTTPStatus.OK:
            return None
        try:
            return int(value_at(question.how.count, told.content) or b"")
        except ValueError:
            return None

    def _now_s(self) -> float:
        return round(self.clock.now() - self.origin_s, 3)


def _again(
    questions: Sequence[_Question],
    ask: Callable[[list[_Question]], Iterable[_Question]],
    is_answered: Callable[[_Question], bool],
    until_s: float,
    clock: Clock,
) -> list[_Question]:
    """Ask once, and then what is not answered again until all is, or the time is over; the order stays."""
    known = list(ask(list(questions)))
    while not all(map(is_answered, known)) and clock.now() < until_s:
        clock.sleep(_AGAIN_AFTER_S)
        places = [place for place, each in enumerate(known) if not is_answered(each)]
        for place, answer in zip(places, ask([known[place] for place in places]), strict=True):
            known[place] = answer
    return known


def _is_settled(question: _Question) -> bool:
    return question.account.fate in SETTLED


def _is_counted(question: _Question) -> bool:
    return None not in question.account.effects


def _fate(how: Settles, told: Told | None) -> tuple[Fate, str]:
    if told is None:
        return Fate.UNKNOWN, ""
    if told.status_code in GONE:
        return Fate.GONE, str(told.status_code)
    state = value_at(how.state, told.content) if told.status_code == HTTPStatus.OK else None
    if state is None:
        return Fate.UNKNOWN, ""
    word = state.decode(errors="replace")[:80]
    return (Fate.DONE if word in how.done else Fate.DEAD if word in how.dead else Fate.PENDING), word


def _took_s(how: Settles, told: Told) -> float | None:
    value = None if how.took is None else value_at(how.took, told.content)
    try:
        took_s = float(value or b"")
    except ValueError:
        return None
    return took_s if math.isfinite(took_s) else None


def _amiss(says: Mapping[str, str], told: Told) -> tuple[str, ...]:
    """Return what an answer does not say as it must, in words."""
    found = {pointer: value_at(pointer, told.content) for pointer in says}
    return tuple(
        f"says {'nothing' if value is None else repr(value.decode(errors='replace')[:80])} at {pointer}, not {wanted!r}"
        for (pointer, value), wanted in zip(found.items(), says.values(), strict=True)
        if value != wanted.encode()
    )


def _spread(questions: list[_Question]) -> list[_Question]:
    """Return as many as may be asked for, spread evenly."""
    step = max(1, -(-len(questions) // MOST))  # rounded up
    return questions[::step]


def _questions(accepted: Sequence[Accepted], load: Load, samples: Samples, fill: _Fill) -> list[_Question]:
    """Return one for each thing, though several answers accepted it."""
    requests = {request.name: request for request in load.asked}
    found: dict[tuple[str, str], list[Accepted]] = {}
    for each in sorted(accepted, key=lambda each: each.sample):
        name = samples.operations[samples.records["operation"][each.sample]]
        found.setdefault((name, each.id), []).append(each)
    return [
        _question(requests[name], rows, int(samples.records["key"][rows[0].sample]), fill)
        for (name, _), rows in found.items()
        if requests[name].settles is not None
    ]


def _question(request: DeclaredRequest, accepted: Sequence[Accepted], key: int, fill: _Fill) -> _Question:
    how, first = request.settles, accepted[0]
    if how is None:
        raise ValueError(f"{request.name} does not say where to ask")

    def filled(template: str) -> str:
        named = template.replace(f"{{{ID}}}", quote(first.id, safe=""))
        return fill(named)(key, first.number)

    account = Account(
        id=first.id,
        samples=tuple(each.sample for each in accepted),
        fate=Fate.UNKNOWN,
        state="",
        asked_s=None,
        effects=(None,) * len(how.effects),
    )
    headers = {name: filled(template) for name, template in how.headers.items()}
    says = {pointer: filled(template) for pointer, template in sorted(how.says.items())}
    return _Question(how, filled(how.path), headers, tuple(map(filled, how.effects)), says, account)
