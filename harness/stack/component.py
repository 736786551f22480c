"""The seam of components: all that the harness knows of something that services depend on, as one value.

Each file in `components/` exports one; `components/__init__.py` lists them, and nothing else names one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from harness.errors import SpecError
    from harness.spec.system import Part
    from harness.stack.health_probe import HealthProbe
    from harness.stack.image import Image
    from harness.stack.program import Findable
    from harness.stack.recipe import ContainerRecipe, Recipe
    from harness.stack.service import Address, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """How something that a project uses shows in its files, by which `readiness init` knows it.

    Attributes:
        packages: Client libraries, as their registries call them: Python's, npm's, Go's module paths.
        images: What its images are called, without registry and tag.
        variables: Names of variables by which services learn of it, each a pattern, and what it gets, in which
            `{host}` and the like are the placeholders of the component.
        scheme: What a URL of it begins with; a variable whose value has another one is somebody else's.
    """

    packages: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    scheme: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A kind of server that services depend on, such as Redis.

    A system may have several of a kind, each with a name of its own: what is started is told its name.

    Attributes:
        kind: As readiness.toml calls it.
        program: What the embedded backend runs.
        local: Describes it as a local process, given its name, the program's path and where to run. It may make
            folders and files in the workspace's work folder, below its own name.
        image: What the containers backend runs; None if it cannot.
        port: Where it listens in a container.
        probe: How one knows it, wherever it runs.
        contained: Describes it as a container, given its name and the image's reference.
        gives: Placeholders beside `{name.host}` and `{name.port}`, as text in which `{host}` and `{port}` stand for
            where a replica finds it: `url` becomes `{redis.url}`.
        traces: How one knows that a project uses it.
        keys: What it can be told in readiness.toml beside `kind`: attributes of a `Part`.
        fitted: Returns the same as such a part of readiness.toml wants it; None where it can be told nothing.
        mistakes: Yields what is wrong with a part, given the project's folder and what tells where a key of it stands.
    """

    kind: str
    program: Findable
    local: Callable[[str, Path, Workspace], Recipe]
    image: Image | None
    port: int
    probe: HealthProbe
    contained: Callable[[str, str], ContainerRecipe]
    gives: Mapping[str, str] = field(default_factory=dict)
    traces: Traces = Traces()
    keys: tuple[str, ...] = ()
    fitted: Callable[[Part], Component] | None = None
    mistakes: Callable[[Part, Path, Callable[[str], str]], Iterable[SpecError]] = lambda *_: ()

    def of(self, part: Part) -> Component:
        """Return the one that a part of readiness.toml asks for."""
        return self.fitted(part) if self.fitted else self

    def placeholders(self, name: str, address: Address) -> dict[str, str]:
        """Return what the placeholders of one that is called `name` stand for, for a client that finds it there."""
        given = {"host": address.host, "port": str(address.port)}
        given |= {key: text.format(**given) for key, text in self.gives.items()}
        return {f"{name}.{key}": value for key, value in given.items()}
