"""readiness.toml: the system that is judged, what it promises by default, and the profiles."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from harness.spec.model import Model
from harness.spec.objective import Objective, usual_phase
from harness.spec.path import PathBelow
from harness.spec.requests import Requests, ResponseHeaders
from harness.spec.scenario import Extension, Slug

_FACTORY = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Subject(Model):
    """The judged service: an ASGI application that a replica process serves.

    Attributes:
        app: `package.module:factory`, importable from the folder that holds readiness.toml.
        defect_app: Served instead of `app` when a seeded defect was asked for; it wraps the app from outside.
        ready: Path that answers 200 when a replica can serve.
        metrics: Path of its metrics in Prometheus' format; asked only where a scenario's `sometimes` speaks of one.
        environment: Variables of each replica; `{redis.port}` and the like are filled in at start.
        secrets: Names of variables of ours that each replica gets as they are, and whose values are never written.
        defects: Seeded defects that it can be started with (`{defect}`), by id, with a line on each.
        image: A ready image of it, for containers: a reference that the engine has or can pull.
        dockerfile: Or how that image is built: a file below the folder that holds readiness.toml, which is also what
            the build is given, as far as .dockerignore leaves it (docs/containers.md).
    """

    app: str = Field(pattern=_FACTORY)
    defect_app: str | None = Field(default=None, pattern=_FACTORY)
    ready: str = Field(default="/health/ready", pattern=r"^/")
    metrics: str = Field(default="/metrics", pattern=r"^/")
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ...] = ()
    defects: dict[Slug, str] = Field(default_factory=dict)
    image: str | None = Field(default=None, min_length=1)
    dockerfile: PathBelow | None = None

    @model_validator(mode="after")
    def _has_one_image(self) -> Self:
        if self.image and self.dockerfile:
            raise ValueError("image and dockerfile are two answers to one question; keep the one that is meant")
        return self


class Part(Model):
    """Something that the judged service depends on, such as Redis.

    Attributes:
        kind: What it is; its name in readiness.toml if that says nothing, so that only a second one of a kind needs it.
    """

    kind: Slug | None = None


USUAL_COMPONENTS = ("redis", "postgres")
"""What is started where readiness.toml names no components."""


class System(Model):
    """What runs: replicas of the subject behind nginx, with what they depend on, and a fault proxy on every edge.

    Attributes:
        name: Of the judged service.
        replicas: How many processes of it.
        subject: The judged service.
        components: What it depends on, by name; the name is what faults and placeholders call it.
        requests: What it is asked; a scenario may ask otherwise. Without any, `GET /`.
        headers: What its answers tell of themselves.
    """

    name: Slug
    replicas: int = Field(default=2, ge=1, le=16)
    subject: Subject
    components: dict[Slug, Part] = Field(default_factory=lambda: {name: Part() for name in USUAL_COMPONENTS})
    requests: Requests = ()
    headers: ResponseHeaders = ResponseHeaders()

    @property
    def kinds(self) -> dict[str, str]:
        """Return the kind of each component, by its name."""
        return {name: part.kind or name for name, part in self.components.items()}


class Profile(Model):
    """How much time a run may take.

    Attributes:
        stretch: Factor on the length of every phase.
        extends_to: How many times as long as that a phase may become, while its promises are neither kept nor broken.
        confidence: Of each one-sided bound, where it is not the one of all profiles.
    """

    stretch: float = Field(gt=0, le=1000)
    extends_to: Extension = 1.0
    confidence: float | None = Field(default=None, gt=0.5, lt=1)


class Settings(Model):
    """The whole of readiness.toml.

    Attributes:
        confidence: Of each one-sided bound, unless a profile says otherwise; 0.95 by default, 0.99 for release gates.
        system: What is judged.
        objectives: What holds in every scenario's baseline.
        profiles: By name.
    """

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    system: System
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]
    profiles: Annotated[dict[Slug, Profile], Field(min_length=1)]

    @field_validator("objectives")
    @classmethod
    def _of_every_scenario(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        for objective in objectives:
            usual = usual_phase(objective)
            if objective.during != usual:
                raise ValueError(
                    f"`{objective}` is about the phase {objective.during!r}; a default holds in {usual!r}, and where a "
                    "scenario has no such phase nobody would miss it; promise it in the scenario"
                )
        return objectives

    def confidence_of(self, profile: str) -> float:
        """Return the confidence of each one-sided bound in one of the profiles."""
        own = self.profiles[profile].confidence
        return self.confidence if own is None else own
