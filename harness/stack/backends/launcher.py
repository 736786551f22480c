"""Become another program that cannot outlive its parent: `launcher.py PARENT SIGNAL USER HOLD DISK PROGRAM ARGUMENT…`.

Runs as a script in a fresh interpreter, because what it does between fork and exec (asking the kernel for a signal at
the parent's death, giving up root) is not safe to do in a fork of a process that has threads. It imports nothing of
the harness, to start in about 20 ms. USER is `-` to stay who we are; HOLD is `held` to stop before
becoming the program, until SIGCONT, or `-`. DISK is the process that keeps a disk which the program is to see
(`disk_keeper.py`), or `-`.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h


def main(arguments: list[str]) -> None:
    """Join a disk and give up root if asked to, tie our life to the parent's, and become the program."""
    parent, death_signal, user, hold, disk, *program = arguments
    if disk != "-":
        _join(disk)  # before root is given up, which alone may
    if user != "-":
        _become(user)
    if sys.platform == "linux":
        # After the change of user, which clears the setting.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before we asked
            sys.exit(1)
    if hold == "held":
        os.kill(os.getpid(), signal.SIGSTOP)
    try:
        os.execv(program[0], program)  # noqa: S606 - becoming another program without a shell is the whole point
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")  # one line for the log, and exit 1


def _join(keeper: str) -> None:
    """See the disk that a process keeps; its user namespace comes first, if that is another one than ours."""
    libc, here = ctypes.CDLL(None, use_errno=True), os.getcwd()  # noqa: PTH109 - pathlib takes a third of our start
    try:
        for space, flag in (("user", CLONE_NEWUSER), ("mnt", CLONE_NEWNS)):
            its, ours = (f"/proc/{process}/ns/{space}" for process in (keeper, "self"))
            if os.path.samefile(its, ours):  # noqa: PTH121 - as above
                continue
            with open(its) as namespace:  # noqa: PTH123 - as above
                if libc.setns(namespace.fileno(), flag):
                    sys.exit(f"cannot join the disk of process {keeper}: {os.strerror(ctypes.get_errno())}")
    except OSError as error:
        sys.exit(f"cannot join the disk of process {keeper}: {error.strerror}")
    os.chdir(here)  # joining leads to the root


def _become(user: str) -> None:
    try:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    except KeyError:
        sys.exit(f"cannot become {user}: there is no such user")
    except OSError as error:  # root of a user namespace, or without its capabilities
        sys.exit(f"cannot become {user}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
