"""Keep a small disk that the rest of the machine does not see: `disk_keeper.py FOLDER BYTES UID GID keep|try`.

A file system in memory, mounted on FOLDER in a mount namespace of this process' own. Servers that join the namespace
see it; when the last of them and this process have ended, the kernel drops it with all that it holds. The machine has
no such mount at any time, so that not even SIGKILL leaves one behind. Who may not mount makes a user namespace first,
and may there. `try` ends at once, and says by its exit code whether it can be done.

Runs as a script in a fresh interpreter, as the launcher does: a process with threads may not change its user namespace.
Source: mount_namespaces(7), user_namespaces(7), tmpfs(5).
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000  # linux/sched.h
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 1 << 1, 1 << 2, 1 << 14, 1 << 18  # linux/mount.h

_LIBC = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Mount it, and stay; or only try."""
    folder, size_bytes, uid, gid, how = arguments
    try:
        _enter_a_namespace()
        _mount("none", "/", "none", MS_REC | MS_PRIVATE, "")  # what is mounted from here on stays here
        _mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size_bytes},mode=0700,uid={uid},gid={gid}")
    except OSError as error:
        sys.exit(f"no disk can be mounted for one process alone: {error.strerror}")
    while how == "keep":
        signal.pause()


def _enter_a_namespace() -> None:
    """Have mounts of our own; with the rights that we have, or else in a user namespace, as the very user."""
    uid, gid = os.getuid(), os.getgid()
    try:
        _unshare(CLONE_NEWNS)
    except OSError as error:
        if error.errno != errno.EPERM or uid == 0:  # what becomes another user than root would not be known there
            raise
        _unshare(CLONE_NEWUSER | CLONE_NEWNS)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text, encoding="utf-8")


def _unshare(flags: int) -> None:
    if _LIBC.unshare(flags):
        raise _last_error()


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    words = [word.encode() for word in (source, target, kind)]
    if _LIBC.mount(*words, ctypes.c_ulong(flags), options.encode()):
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(sys.argv[1:])
