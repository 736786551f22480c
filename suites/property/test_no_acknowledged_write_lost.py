"""An acknowledged write is never lost: the checker against every order in which things may have happened."""

from __future__ import annotations

import math
from itertools import permutations
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from harness.history.marks import FaultMark
from harness.history.operations import NO_VERSION
from harness.measure.invariants.no_acknowledged_write_lost import no_acknowledged_write_lost
from harness.spec.invariant import NoAcknowledgedWriteLost
from suites.support.registers import history_of, read, write

BEFORE = 100
"""The digest of what a key held before the run."""
MADE_UP = 999


def found(rows, *, within_s=0.0, faults=(), rpo_s=None):
    said = {"within": f"{within_s * 1000:g}ms", "rpo": None if rpo_s is None else f"{rpo_s * 1000:.3f}ms"}
    invariant = NoAcknowledgedWriteLost(kind="no-acknowledged-write-lost", **said)
    return no_acknowledged_write_lost(invariant, history_of(rows, faults=faults))


def is_possible(rows, within_s):
    """Tell whether any order of all moments at which something may have happened explains every answer."""
    writes = [row for row in rows if row[5]]
    reads = [row for row in rows if not row[5] and row[6]]
    unknown = [row for row in writes if not row[6]]
    for happened in range(2 ** len(unknown)):
        lost = [row for index, row in enumerate(unknown) if not happened >> index & 1]
        present = [*(row for row in writes if row not in lost), *reads]
        if any(_explains(order, within_s) for order in permutations(present)):
            return True
    return False


def _explains(order, within_s):
    held, at_s = BEFORE, -math.inf
    for sent_s, answered_s, digest, _, _, is_write, is_acknowledged in order:
        at_s = max(at_s, sent_s if is_write else sent_s - within_s)
        if is_acknowledged and at_s > answered_s:
            return False
        if not is_write and digest != held:
            return False
        held = digest if is_write else held
    return True


@st.composite
def few_operations(draw):
    """At most six of them, at whole seconds apart by tenths, so that every order of ends and beginnings turns up."""
    count = draw(st.integers(1, 6))
    moments_s = draw(st.permutations(range(2 * count)))
    rows = []
    written = draw(st.integers(0, min(3, count)))
    for index in range(count):
        sent_s, answered_s = sorted(float(moment) for moment in moments_s[2 * index : 2 * index + 2])
        if index < written:
            rows.append(write(sent_s, answered_s, index + 1, is_acknowledged=draw(st.booleans())))
        else:
            rows.append(read(sent_s, answered_s, draw(st.sampled_from([BEFORE, *range(1, written + 1)]))))
    return rows


@given(few_operations(), st.sampled_from([0.0, 1.5, 4.5]))
def test_a_history_is_broken_exactly_if_no_order_explains_it(rows, within_s):
    """All orders of up to six operations are tried; the checker needs none of them."""
    assert (found(rows, within_s=within_s).first is None) == is_possible(rows, within_s)


class Register:
    """A key of a correct service: commits in order of their moments, and answers no older than `within_s`.

    Args:
        random: Decides what happens when.
        within_s: How old an answer may be.
        key: Whose value it is.
        has_versions: Whether answers number their values.
    """

    def __init__(self, random: Random, within_s: float, key: int, *, has_versions: bool) -> None:
        self.random, self.within_s, self.key, self.has_versions = random, within_s, key, has_versions
        self.digests = iter(range(1000 * (key + 1), 1000 * (key + 2)))

    def rows(self) -> list[tuple]:
        """Return some writes and reads, half of them at the same time as others."""
        random = self.random
        writes = [self._interval() for _ in range(random.randrange(8))]
        lag_s = {each: random.choice([0.0, 30.0]) for each in writes}  # of a commit that comes after it was given up
        fates = {each: random.choice(["acknowledged", "acknowledged", "late", "never"]) for each in writes}
        moments_s = {each: random.uniform(*each) + (lag_s[each] if fates[each] == "late" else 0.0) for each in writes}
        committed = sorted((each for each in writes if fates[each] != "never"), key=moments_s.get)
        digests = {each: next(self.digests) for each in writes}
        versions = {each: index + 2 for index, each in enumerate(committed)}
        self.log = [(-math.inf, BEFORE, 1), *((moments_s[each], digests[each], versions[each]) for each in committed)]
        rows = [
            write(
                *each,
                digests[each],
                key=self.key,
                version=self._said(versions[each]) if fates[each] == "acknowledged" else NO_VERSION,
                is_acknowledged=fates[each] == "acknowledged",
            )
            for each in writes
        ]
        rows += [self._read(*self._interval()) for _ in range(random.randrange(12))]
        random.shuffle(rows)
        return rows

    def _interval(self) -> tuple[float, float]:
        sent_s = self.random.uniform(0, 60)
        return sent_s, sent_s + self.random.choice([0.01, 1.0, 20.0]) * self.random.random()

    def _read(self, sent_s: float, answered_s: float) -> tuple:
        at_s = self.random.uniform(sent_s - self.within_s, answered_s)
        _, digest, version = [entry for entry in self.log if entry[0] <= at_s][-1]
        return read(sent_s, answered_s, digest, key=self.key, version=self._said(version))

    def _said(self, version: int) -> int:
        return version if self.has_versions else NO_VERSION


@st.composite
def correct_services(draw):
    """Return the operations on a few keys of a correct service, and the staleness that it promises."""
    random, within_s = Random(draw(st.integers(0, 2**32))), draw(st.sampled_from([0.0, 0.5, 5.0]))
    has_versions = draw(st.booleans())
    registers = [Register(random, within_s, key, has_versions=has_versions) for key in range(draw(st.integers(1, 3)))]
    return [row for register in registers for row in register.rows()], within_s, has_versions


@given(correct_services())
def test_a_correct_service_never_fails(service):
    """Concurrent writes, writes that were given up and came late or never, answers as old as promised."""
    rows, within_s, _ = service

    seen = found(rows, within_s=within_s)

    assert (seen.first, seen.broken) == (None, 0)


LATER_S = 200.0
"""After everything that the made-up service does."""


def broken_by(service, mutation):
    """Return what is found of a correct service once one thing goes wrong with it, and where that begins."""
    rows, within_s, has_versions = service
    added = mutation(within_s, (lambda version: version) if has_versions else (lambda _: NO_VERSION))
    rows = rows + added
    return found(rows, within_s=within_s), len(rows) - len(added)


def lost_write(_within_s, said):
    """A later read still finds what two acknowledged writes were to replace one after the other."""
    return [
        write(200.0, 200.1, 1, version=said(50)),
        write(210.0, 210.1, 2, version=said(51)),
        read(220.0, 220.1, 1, version=said(50)),
    ]


def stale_beyond_the_bound(within_s, said):
    """A read begins a millisecond after the last moment at which the old value was allowed."""
    return [
        write(200.0, 200.1, 1, version=said(50)),
        write(210.0, 210.1, 2, version=said(51)),
        read(210.101 + within_s, 230.0, 1, version=said(50)),
    ]


def back_again(_within_s, said):
    """What two concurrent writes left was seen as the second and then as the first of them."""
    return [
        write(200.0, 205.0, 1, version=said(50)),
        write(200.0, 205.0, 2, version=said(51)),
        read(211.0, 211.1, 1, version=said(50)),
        read(221.0, 221.1, 2, version=said(51)),
        read(231.0, 231.1, 1, version=said(50)),
    ]


def made_up(_within_s, said):
    """An answer has a value that was there at no time."""
    return [read(210.0, 210.1, BEFORE, key=7, version=said(1)), read(211.0, 211.1, MADE_UP, key=7, version=said(1))]


def foreseen(_within_s, said):
    """An answer has a value that is written only later."""
    return [read(210.0, 210.1, 1, version=said(50)), write(211.0, 211.1, 1, version=said(50))]


def vanished(_within_s, said):
    """After an acknowledged write there is no such item."""
    return [write(200.0, 200.1, 1, key=7, version=said(2)), read(210.0, 210.1, 0, key=7)]


def unseen_since_it_was_seen(_within_s, said):
    """A write that was given up was seen, so it happened; then it had not."""
    return [
        write(200.0, 200.1, 1, version=said(50)),
        write(201.0, 202.0, 2, is_acknowledged=False),
        read(203.0, 203.1, 2, version=said(51)),
        read(220.0, 220.1, 1, version=said(50)),
    ]


MUTATIONS = [lost_write, stale_beyond_the_bound, back_again, made_up, foreseen, vanished, unseen_since_it_was_seen]


@given(correct_services(), st.sampled_from(MUTATIONS))
def test_every_loss_is_found_where_it_is(service, mutation):
    """Among the operations of a correct service one goes wrong; the counterexample names it and no other."""
    seen, began = broken_by(service, mutation)

    assert seen.first is not None
    assert all(sample >= began for sample in seen.first.samples)


def test_a_version_that_was_given_away_twice_shows_what_lies_between():
    """The loss itself was never read: only the number of the next write tells of it."""
    rows = [write(1, 2, 1, version=4), write(3, 4, 2, version=5), write(5, 6, 3, version=5)]

    seen = found(rows)

    assert seen.first.samples == (2, 1)
    assert seen.first.sentence == (
        "key 0: the write sent at 5.000 s and answered at 6.000 s (sample 2) was acknowledged as version 5, digest "
        "0000000000000003, although version 5, digest 0000000000000002 had been acknowledged to the write sent at "
        "3.000 s and answered at 4.000 s (sample 1), 1.000 s before"
    )


@st.composite
def recoveries(draw):
    """Return the operations of a store that comes back as it was some time before a disaster, and what that took.

    One key, one operation after the other: so what was lost, and how old it was, is known without thinking.
    """
    lost_from_s, disaster_s = sorted(draw(st.lists(st.integers(0, 40), min_size=2, max_size=2, unique=True)))
    has_versions = draw(st.booleans())
    moments = sorted(draw(st.sets(st.integers(0, 60), min_size=1, max_size=12)))
    log, rows, ages_s = (
        [(-math.inf, BEFORE, 1)],
        [read(-2.0, -1.0, BEFORE, version=1 if has_versions else NO_VERSION)],
        [],
    )
    has_happened = False
    for digest, moment_s in enumerate(moments, start=1):
        sent_s, answered_s = moment_s + 0.1, moment_s + 0.2
        if sent_s > disaster_s and not has_happened:
            has_happened, ages_s = True, [disaster_s - at_s for at_s, _, _ in log[1:] if at_s > lost_from_s]
            log = [entry for entry in log if entry[0] <= lost_from_s]
        if draw(st.booleans()):
            log.append((answered_s, digest, log[-1][2] + 1))
            rows.append(write(sent_s, answered_s, digest, version=log[-1][2] if has_versions else NO_VERSION))
        else:
            _, held, version = log[-1]
            rows.append(read(sent_s, answered_s, held, version=version if has_versions else NO_VERSION))
    mark = FaultMark(
        id="fault-1", fault="store recovered", kind="kill", target="store", phase="fault", injected_s=disaster_s,
        healed_s=disaster_s + 0.05, doses=(),
    )  # fmt: skip
    return rows, mark, ages_s


@given(recoveries())
def test_a_recovery_loses_what_its_point_says(recovery):
    """With an objective that is just met nothing is broken; a millisecond less breaks it, if the loss was ever seen."""
    rows, mark, ages_s = recovery
    seen = found(rows, faults=(mark,))

    if not ages_s:
        assert (seen.broken, seen.also) == (0, "")
        return
    assert found(rows, faults=(mark,), rpo_s=max(ages_s) + 0.001).broken == 0
    if seen.broken:
        told_s = float(seen.also.split("), ")[1].split()[0])
        assert min(ages_s) - 0.001 <= told_s <= max(ages_s) + 0.001
        assert found(rows, faults=(mark,), rpo_s=told_s - 0.002).broken > 0
        assert found(rows, faults=(mark,), rpo_s=told_s + 0.001).broken == 0
