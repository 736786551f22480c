"""What a build is given: files in a tar that depends on nothing but their names, rights and contents.

So the hash of that tar names the image: other contents are another image, and the same ones need no second build.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING

from docker.utils.build import exclude_paths

from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

IGNORED = ".dockerignore"

CONTEXT_BYTES_MAX = 256 << 20
"""What is hashed before every run. More than this is a forgotten .dockerignore: environments, reports, a `.git`."""

_READ, _EXECUTE = 0o644, 0o755


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """One file of a build.

    Attributes:
        name: Its path there, with slashes.
        source: Where it is on this machine, or what it says.
        is_program: Whether it may be executed there.
    """

    name: str
    source: Path | str
    is_program: bool = False


_KEY = "readiness.toml: system.subject.dockerfile"


def of_project(project: Path, dockerfile: str, *, where: str = _KEY) -> tuple[Piece, ...]:
    """Return what `docker build -f DOCKERFILE PROJECT` would be given: all that .dockerignore leaves.

    Args:
        project: The folder that the build is given.
        dockerfile: Below that.
        where: What names it.

    Raises:
        SpecError: If the Dockerfile is not there, or it is more than one means to hash before every run.
    """
    if not (project / dockerfile).is_file():
        fix = "name a file below readiness.toml's folder" if where == _KEY else f"write it in {project}"
        raise SpecError(f"there is no {dockerfile}", where=where, fix=fix)
    names = exclude_paths(str(project), _ignored(project), dockerfile=dockerfile)
    pieces = _pieces((name, project / name) for name in names)
    size_bytes = sum((project / piece.name).lstat().st_size for piece in pieces)
    if size_bytes > CONTEXT_BYTES_MAX:
        what = f"the service's build would be given {size_bytes >> 20} MiB, more than {CONTEXT_BYTES_MAX >> 20}"
        raise SpecError(what, where=str(project), fix=f"say in {IGNORED} there what the image does not need")
    return pieces


def _ignored(project: Path) -> list[str]:
    """Return the patterns of .dockerignore, none if there is none."""
    path = project / IGNORED
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def of_installed(site: Path, patterns: Iterable[str]) -> tuple[Piece, ...]:
    """Return what patterns find below a folder of packages; a folder is all that it holds."""
    found = [path for pattern in patterns for path in site.glob(pattern)]
    files = [file for path in found for file in (path.rglob("*") if path.is_dir() else (path,))]
    # Some installers lose the right to execute when they unpack a wheel, so that all of it gets it back.
    return tuple(
        replace(piece, is_program=True)
        for piece in _pieces((file.relative_to(site).as_posix(), file) for file in files)
    )


def folder(path: Path, name: str) -> tuple[Piece, ...]:
    """Return the files that lie in a folder, which is called `name` in the build."""
    return _pieces((f"{name}/{file.name}", file) for file in path.iterdir())


def _pieces(found: Iterable[tuple[str, Path]]) -> tuple[Piece, ...]:
    """Return files and links in the order of their names; folders come to be with what is in them."""
    return tuple(
        sorted(
            Piece(name, path, is_program=not path.is_symlink() and bool(path.stat().st_mode & 0o100))
            for name, path in found
            if path.is_symlink() or path.is_file()
        )
    )


def archive(pieces: Sequence[Piece], into: IO[bytes]) -> None:
    """Write a tar that is the same, byte for byte, wherever and whenever the pieces are."""
    with tarfile.open(fileobj=into, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for piece in pieces:
            entry = tarfile.TarInfo(piece.name)
            entry.mode = _EXECUTE if piece.is_program else _READ
            if isinstance(piece.source, str):
                content = piece.source.encode()
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            elif piece.source.is_symlink():
                entry.type, entry.linkname = tarfile.SYMTYPE, str(piece.source.readlink())
                tar.addfile(entry)
            else:
                entry.size = piece.source.stat().st_size
                with piece.source.open("rb") as file:
                    tar.addfile(entry, file)


def digest(pieces: Sequence[Piece], *words: str) -> str:
    """Return 16 hexadecimal digits that stand for the pieces and for `words`."""
    hashing = hashlib.sha256("\0".join(words).encode())
    archive(pieces, _Hashing(hashing))  # type: ignore[arg-type]  # tarfile calls nothing but `write`
    return hashing.hexdigest()[:16]


class _Hashing:
    """A file that keeps only the hash of what is written to it."""

    def __init__(self, hashing: hashlib._Hash) -> None:
        self.write = hashing.update
