"""Whose turn it is: what measures is alone, and does not wait for ever."""

from __future__ import annotations

import threading

import pytest

from suites.support.turns import is_alone, turn

DEADLINE_S = 10.0
SOON_S = 0.05


def entering(folder, *, alone):
    """Let another one take its turn; return its thread, what tells that it is in, and what lets it go."""
    inside, leave = threading.Event(), threading.Event()

    def take():
        with turn(folder, alone=alone):
            inside.set()
            leave.wait(DEADLINE_S)

    thread = threading.Thread(target=take)
    thread.start()
    return thread, inside, leave


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [(False, False, True), (True, False, False), (False, True, False), (True, True, False)],
)
def test_only_tests_that_do_not_measure_run_side_by_side(tmp_path, first, second, together):
    """Whichever comes first."""
    with turn(tmp_path, alone=first):
        thread, inside, leave = entering(tmp_path, alone=second)
        assert inside.wait(DEADLINE_S if together else SOON_S) == together

    assert inside.wait(DEADLINE_S)
    leave.set()
    thread.join()


def test_what_waits_to_be_alone_is_not_passed_by(tmp_path):
    """What comes after it waits, though it could run beside what runs now."""
    with turn(tmp_path, alone=False):
        measuring, is_measuring, measured = entering(tmp_path, alone=True)
        assert not is_measuring.wait(SOON_S)
        later, is_in, leave = entering(tmp_path, alone=False)
        assert not is_in.wait(SOON_S)

    assert is_measuring.wait(DEADLINE_S)
    assert not is_in.wait(SOON_S)
    measured.set()
    assert is_in.wait(DEADLINE_S)
    leave.set()
    for thread in (measuring, later):
        thread.join()


@pytest.mark.alone
def test_a_test_says_so_with_a_marker(request):
    """Its folder or file may as well."""
    assert is_alone(request.node)
