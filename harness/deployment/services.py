"""One service of a compose file, with everything written out; what cannot be honoured is refused, all of it at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.deployment import keys
from harness.deployment.forms import listed, mapping, ports, seconds, size_bytes, switch, whole, words
from harness.errors import SpecError, nearest
from harness.spec.composed import ComposeBuild, ComposeService, Condition, HealthCheck, Mount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.spec.document import KeyPath

Place = Callable[["KeyPath"], str]
"""Tells file, line and key of a path in the compose files."""

_NAME = re.compile(r"[a-zA-Z0-9._-]+")
_INSTEAD = 'leave it out, in a compose file of its own for this: compose = ["compose.yaml", "compose.readiness.yaml"]'
_SOCKET = re.compile(r"docker\.sock$|podman\.sock$")
_NO_MORE_RIGHTS = "no-new-privileges:true"
_RESTARTS = {"always": "always", "unless-stopped": "unless-stopped", "on-failure": "on-failure", "any": "always"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a service is read in.

    Attributes:
        project: The folder that holds readiness.toml.
        folder: The folder of the compose file, from which its paths go.
        networks: What the file says of each network; `default` among them.
        volumes: The same of volumes.
        secrets: The same of secrets.
        configs: The same of configs.
        variables: What fills in names without a value.
        variables_of: Reads a file of variables, given its path, and where it is named.
        place: Tells where something stands.
    """

    project: Path
    folder: Path
    networks: Mapping[str, Any]
    volumes: Mapping[str, Any]
    secrets: Mapping[str, Any]
    configs: Mapping[str, Any]
    variables: Mapping[str, str]
    variables_of: Callable[[Path, str], Mapping[str, str]]
    place: Place


def read_service(
    name: str, says: Mapping[str, Any], around: Surroundings
) -> tuple[ComposeService | None, list[SpecError]]:
    """Return one service, and every mistake in it; None where there are any."""
    reading = _Reading(name, {key: each for key, each in says.items() if each is not None}, around)
    service = reading.service()
    return (None if reading.mistakes else service), reading.mistakes


@dataclass(slots=True)
class _Reading:
    name: str
    says: dict[str, Any]
    around: Surroundings
    mistakes: list[SpecError] = field(default_factory=list)

    def service(self) -> ComposeService:
        """Read all of it; each part that cannot be read is one more mistake."""
        self._known_keys()
        deploy = self._inside("deploy", keys.OF_DEPLOY, None)
        files, mounts = self._files()
        networks, aliases = self._networks()
        return ComposeService(
            name=self.name,
            line=self.around.place(("services", self.name)),
            image=str(self.says["image"]) if "image" in self.says else None,
            build=self._build(),
            command=self._read("command", words),
            entrypoint=self._read("entrypoint", words),
            environment=self._environment(),
            waits=self._waits(),
            health=self._health(),
            ports=self._ports(),
            networks=networks,
            is_internal=bool(networks) and all(self._is_internal(each) for each in networks),
            aliases=aliases,
            links=self._links(),
            mounts=(*self._mounts(), *mounts),
            files=files,
            count=self._count(deploy),
            options=self._options(deploy),
            of_network=self._of_network(),
        )

    def _refuse(self, what: str, *path: str | int, fix: str = _INSTEAD) -> None:
        where = self.around.place(("services", self.name, *path))
        self.mistakes.append(SpecError(f"{self.name}: {what}", where=where, fix=fix))

    def _read(self, key: str, form: Callable[[Any], Any], default: Any = None) -> Any:
        """Return a value in the one form that it has here; a mistake where it has none."""
        if key not in self.says:
            return default
        try:
            return form(self.says[key])
        except ValueError as error:
            self._refuse(str(error), key, fix="correct it")
            return default

    def _known_keys(self) -> None:
        if not _NAME.fullmatch(self.name):
            self._refuse("no service can be called so", fix="use letters, digits, dots, dashes and underscores")
        if "image" not in self.says and "build" not in self.says:
            self._refuse("it has neither an image nor a build", fix="give it `image: name:tag`, or `build: .`")
        for key in self.says:
            if key in keys.REFUSED:
                if not (key == "network_mode" and self.says[key] == "bridge") and self.says[key] not in (False, [], {}):
                    self._refuse(f"`{key}` cannot be honoured: {keys.REFUSED[key]}", key)
            elif key not in keys.HONOURED | keys.PASSED_OVER and not key.startswith("x-"):
                self._refuse(f"unknown key {key!r}", key, fix=nearest(key, sorted(keys.HONOURED)))

    def _inside(
        self, key: str, known: frozenset[str], passed_over: frozenset[str] | None = frozenset()
    ) -> dict[str, Any]:
        """Return a mapping below a key, some keys of which can be honoured; None for `passed_over` is all others."""
        value = self.says.get(key, {})
        if not isinstance(value, dict):
            self._refuse(f"`{key}` is no mapping", key, fix="write a mapping")
            return {}
        for inner, said in value.items():
            is_heard = inner in known or passed_over is None or inner in passed_over or inner.startswith("x-")
            if not is_heard and said is not None:
                fix = f"leave it out; honoured: {', '.join(sorted(known))}"
                self._refuse(f"`{key}.{inner}` cannot be honoured", key, inner, fix=fix)
        return {inner: said for inner, said in value.items() if said is not None}

    def _build(self) -> ComposeBuild | None:
        if "build" not in self.says:
            return None
        if isinstance(self.says["build"], str):
            self.says["build"] = {"context": self.says["build"]}
        says = self._inside("build", keys.OF_BUILD, keys.OF_BUILD_PASSED_OVER)
        context = self._below_project(str(says.get("context", ".")), "build")
        args = {arg: self._from_outside(arg, value) for arg, value in mapping(says.get("args")).items()}
        return ComposeBuild(
            context=context,
            dockerfile=str(says.get("dockerfile", "Dockerfile")),
            args={arg: value for arg, value in args.items() if value is not None},
            target=str(says["target"]) if "target" in says else None,
        )

    def _below_project(self, text: str, key: str) -> str:
        """Return a folder as a path from the project's, where it is one that the engine may be given."""
        path = (self.around.folder / text).resolve()
        if "://" in text or not path.is_relative_to(self.around.project):
            self._refuse(f"{text} leads out of the folder of readiness.toml", key, fix="build from a folder below it")
            return "."
        if not path.is_dir():
            self._refuse(f"there is no folder {text}", key, fix="name the folder that holds its Dockerfile")
        return path.relative_to(self.around.project).as_posix()

    def _from_outside(self, name: str, value: str | None) -> str | None:
        """Return the value of a variable; one that is only named has that of the surroundings, if any."""
        return self.around.variables.get(name) if value is None else value

    def _environment(self) -> dict[str, str]:
        """Return its variables: those of files first, and over them what stands in the compose file."""
        found = dict[str, str]()
        files = self.says.get("env_file", [])
        for index, each in enumerate(files if isinstance(files, list) else [files]):
            found |= self._of_file(each, ("env_file", index) if isinstance(files, list) else ("env_file",))
        for name, value in mapping(self.says.get("environment")).items():
            said = self._from_outside(name, value)
            if said is not None:
                found[name] = said
            elif value is None:
                found.pop(name, None)
        return found

    def _of_file(self, says: Any, path: tuple[str | int, ...]) -> Mapping[str, str]:
        name = str(says.get("path") if isinstance(says, dict) else says)
        is_needed = switch(says.get("required", True)) if isinstance(says, dict) else True
        if isinstance(says, dict) and says.get("format") is not None:
            self._refuse("`format` of a file of variables cannot be honoured", *path, fix="leave it out")
        file = self.around.folder / name
        if not file.is_file():
            if is_needed:
                self._refuse(f"there is no {name}", *path, fix="write it, or say `required: false`")
            return {}
        try:
            return self.around.variables_of(file, self.around.place(("services", self.name, *path)))
        except SpecError as error:
            self.mistakes.append(error)
            return {}

    def _waits(self) -> dict[str, Condition]:
        says = self.says.get("depends_on") or {}
        if isinstance(says, list):
            return dict.fromkeys(map(str, says), Condition.STARTED)
        found = dict[str, Condition]()
        for other, how in says.items():
            told = how if isinstance(how, dict) else {}
            for key in told.keys() - keys.OF_DEPENDS_ON:
                self._refuse(f"`{key}` cannot be honoured", "depends_on", other, key, fix="leave it out")
            word = str(told.get("condition", Condition.STARTED))
            if word not in set(Condition):
                self._refuse(f"unknown condition {word!r}", "depends_on", other, fix=nearest(word, list(Condition)))
            else:
                found[other] = Condition(word)
        return found

    def _health(self) -> HealthCheck | None:
        if "healthcheck" not in self.says:
            return None
        says = self._inside("healthcheck", keys.OF_HEALTHCHECK)
        test = says.get("test")
        try:
            if switch(says.get("disable", False)) or test in ("NONE", ["NONE"]):
                return HealthCheck(test=("NONE",))
            return HealthCheck(
                test=tuple(map(str, test)) if isinstance(test, list) else ("CMD-SHELL", str(test)) if test else (),
                interval_s=seconds(says.get("interval", "30s")),
                timeout_s=seconds(says.get("timeout", "30s")),
                retries=whole(says.get("retries", 3)),
                start_period_s=seconds(says.get("start_period", "0s")),
            )
        except ValueError as error:
            self._refuse(str(error), "healthcheck", fix="correct it")
            return None

    def _ports(self) -> tuple[int, ...]:
        found = list[int]()
        for key in ("expose", "ports"):
            says = self.says.get(key)
            for index, each in enumerate(says if isinstance(says, list) else []):
                try:
                    found += ports(each)
                except ValueError as error:
                    self._refuse(str(error), key, index, fix="correct it")
        return tuple(dict.fromkeys(found))

    def _networks(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """Return the networks that it is on, and the other names that it has there."""
        says = self.says.get("networks") or {"default": None}
        told = dict.fromkeys(map(str, says)) if isinstance(says, list) else says
        aliases = [str(self.says["container_name"])] if "container_name" in self.says else []
        for network, how in told.items():
            if network not in self.around.networks:
                fix = f"known: {', '.join(self.around.networks)}"
                self._refuse(f"there is no network {network!r}", "networks", network, fix=fix)
            for key in (how or {}).keys() - {"aliases", "priority", "gw_priority"}:
                self._refuse(f"`{key}` cannot be honoured: {keys.REFUSED['network_mode']}", "networks", network, key)
            aliases += listed((how or {}).get("aliases"))
        return frozenset(told), tuple(dict.fromkeys(aliases))

    def _is_internal(self, network: str) -> bool:
        says = self.around.networks.get(network) or {}
        return str(says.get("internal", False)).lower() in {"true", "yes", "on", "y", "t", "1"}

    def _links(self) -> dict[str, str]:
        pairs = (each.partition(":") for each in listed(self.says.get("links")))
        return {alias or service: service for service, _, alias in pairs}

    def _count(self, deploy: Mapping[str, Any]) -> int:
        told = deploy.get("replicas", self.says.get("scale", 1))
        try:
            return whole(told)
        except ValueError as error:
            self._refuse(str(error), "deploy" if "replicas" in deploy else "scale", fix="correct it")
            return 1

    def _mounts(self) -> Iterator[Mount]:
        for index, each in enumerate(self.says.get("volumes") or ()):
            if each is not None:  # another file has put something in its place
                mount = self._mount(each, index)
                if mount is not None:
                    yield mount
        for each in listed(self.says.get("tmpfs")):
            yield Mount(kind="tmpfs", source="", target=each.partition(":")[0])

    def _mount(self, says: Any, index: int) -> Mount | None:
        if isinstance(says, dict):
            for key in says.keys() - keys.OF_MOUNT:
                self._refuse(f"`{key}` of a mount cannot be honoured", "volumes", index, key, fix="leave it out")
            kind, source, target = (str(says.get(key, "")) for key in ("type", "source", "target"))
            is_read_only = str(says.get("read_only", False)).lower() == "true"
        else:
            source, target, is_read_only = _short_mount(str(says))
            kind = "bind" if source.startswith((".", "/", "~")) else "volume"
        if kind not in {"bind", "volume", "tmpfs"} or not target.startswith("/"):
            fix = "write NAME:/path/inside, ./path:/path/inside:ro, or the same in the long form"
            self._refuse(f"this mount cannot be honoured: {says}", "volumes", index, fix=fix)
            return None
        if kind == "bind":
            return self._bind(source, target, index, is_read_only=is_read_only)
        if kind == "volume" and source and source not in self.around.volumes:
            fix = f"name it under `volumes` at the top; known: {', '.join(self.around.volumes) or 'none'}"
            self._refuse(f"there is no volume {source!r}", "volumes", index, fix=fix)
            return None
        return Mount(
            kind="tmpfs" if kind == "tmpfs" else "volume", source=source, target=target, is_read_only=is_read_only
        )

    def _bind(self, source: str, target: str, index: int, *, is_read_only: bool) -> Mount | None:
        path = (self.around.folder / Path(source).expanduser()).resolve()
        if _SOCKET.search(source):
            self._refuse("the engine's socket is given to nobody", "volumes", index)
        elif not path.exists():
            self._refuse(f"there is no {source}", "volumes", index, fix="make it, or use a volume with a name")
        elif not is_read_only:
            what = f"{source} is mounted for writing, so that what happens to the service here would stay in your files"
            fix = f"write {source}:{target}:ro, or use a volume with a name, in a file of its own for this if need be"
            self._refuse(what, "volumes", index, fix=fix)
        else:
            return Mount(kind="bind", source=str(path), target=target, is_read_only=True)
        return None

    def _files(self) -> tuple[dict[str, str], list[Mount]]:
        """Return what secrets and configs say, as text by path, and those that are files, as mounts."""
        files, mounts = dict[str, str](), list[Mount]()
        for key, folder, known in (
            ("secrets", "/run/secrets/", self.around.secrets),
            ("configs", "/", self.around.configs),
        ):
            for index, each in enumerate(self.says.get(key) or ()):
                told = each if isinstance(each, dict) else {"source": each}
                source = str(told.get("source"))
                target = str(told.get("target") or source)
                path = target if target.startswith("/") else f"{folder}{target}"
                said = self._said_of(source, known, key, index)
                if isinstance(said, Path):
                    mounts.append(Mount(kind="bind", source=str(said), target=path, is_read_only=True))
                elif said is not None:
                    files[path] = said
        return files, mounts

    def _said_of(self, source: str, known: Mapping[str, Any], key: str, index: int) -> Path | str | None:
        """Return the file that a secret or config is, or its text."""
        match known.get(source):
            case {"file": str(name)}:
                found = (self.around.folder / name).resolve()
                if found.is_file():
                    return found
                self._refuse(f"there is no {name}", key, index, fix=f"write it: {source} is made of it")
            case {"environment": str(variable)}:
                if variable in self.around.variables:
                    return self.around.variables[variable]
                fix = f"set it where the run is started, or in .env: {variable}=…"
                self._refuse(f"{source} is the variable {variable}, which is not set", key, index, fix=fix)
            case {"content": content}:
                return str(content)
            case _:
                fix = f"describe it under `{key}` at the top, by `file`, `environment` or `content`"
                self._refuse(f"nothing is known of {source}", key, index, fix=fix)
        return None

    def _options(self, deploy: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the engine's client is told besides, in its own words."""
        found: dict[str, Any] = {key: str(self.says[key]) for key in keys.PLAIN if key in self.says}
        found |= {key: self._read(key, switch, default=False) for key in keys.SWITCHES if key in self.says}
        found |= {key: listed(self.says[key]) for key in keys.LISTS if key in self.says}
        found |= {} if "shm_size" not in self.says else {"shm_size": self._read("shm_size", size_bytes)}
        found |= {} if "pids_limit" not in self.says else {"pids_limit": self._read("pids_limit", whole)}
        found["security_opt"] = self._security()
        found |= self._limits(deploy) | self._ulimits() | self._restarts(deploy)
        return found

    def _security(self) -> list[str]:
        options = [each.replace("=", ":") for each in listed(self.says.get("security_opt"))]
        for each in options:
            if each.endswith(("unconfined", ":false")) or each.startswith("label:disable"):
                self._refuse(f"`{each}` cannot be honoured: {keys.REFUSED['privileged']}", "security_opt")
        return [_NO_MORE_RIGHTS, *(each for each in options if not each.startswith("no-new-privileges"))]

    def _limits(self, deploy: Mapping[str, Any]) -> dict[str, Any]:
        resources = deploy.get("resources")
        limits = (resources.get("limits") if isinstance(resources, dict) else None) or {}
        try:
            memory, cpus = limits.get("memory", self.says.get("mem_limit")), limits.get("cpus", self.says.get("cpus"))
            found = {} if memory is None else {"mem_limit": size_bytes(memory)}
            found |= {} if cpus is None else {"nano_cpus": round(float(cpus) * 1e9)}
            return found | ({} if limits.get("pids") is None else {"pids_limit": whole(limits["pids"])})
        except ValueError as error:
            self._refuse(str(error), "deploy" if limits else "mem_limit", fix="correct it")
            return {}

    def _ulimits(self) -> dict[str, Any]:
        says = self.says.get("ulimits") or {}
        try:
            found = [
                {"name": name, "soft": whole(each.get("soft")), "hard": whole(each.get("hard"))}
                if isinstance(each, dict)
                else {"name": name, "soft": whole(each), "hard": whole(each)}
                for name, each in says.items()
            ]
        except (ValueError, AttributeError) as error:
            self._refuse(str(error), "ulimits", fix="write `nofile: 1024`, or soft and hard")
            return {}
        return {"ulimits": found} if found else {}

    def _restarts(self, deploy: Mapping[str, Any]) -> dict[str, Any]:
        says = deploy.get("restart_policy")
        policy = says if isinstance(says, dict) else {}
        told = str(policy.get("condition") or self.says.get("restart") or "no")
        word, _, count = told.partition(":")
        if word in {"no", "none", "false"}:
            return {}
        if word not in _RESTARTS or not (count or "0").isdecimal():
            self._refuse(f"unknown restart policy {told!r}", "restart", fix=nearest(word, ["no", *_RESTARTS]))
            return {}
        attempts = int(policy.get("max_attempts") or count or 0)
        name = _RESTARTS[word]
        return {"restart_policy": {"Name": name, **({"MaximumRetryCount": attempts} if name == "on-failure" else {})}}

    def _of_network(self) -> dict[str, Any]:
        found: dict[str, Any] = {"hostname": str(self.says["hostname"])} if "hostname" in self.says else {}
        says = self.says.get("extra_hosts")
        hosts = mapping(says, "=" if any("=" in each for each in listed(says)) else ":") if says else {}
        return found | ({"extra_hosts": {name: value or "" for name, value in hosts.items()}} if hosts else {})


def _short_mount(text: str) -> tuple[str, str, bool]:
    """Return source, target and whether it can only be read, of `source:target:options`; a target may stand alone."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], False
    return parts[0], parts[1], "ro" in (parts[2].split(",") if len(parts) > 2 else ())
