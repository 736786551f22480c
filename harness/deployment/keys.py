"""The keys of a service of a compose file: what is honoured, what changes nothing here, and what is refused, with why.

Source: Compose Specification, "Services top-level elements".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN = ("user", "working_dir", "platform", "stop_signal")
"""Texts that the engine takes as they are."""

SWITCHES = ("init", "read_only", "tty", "stdin_open")

LISTS = ("cap_add", "cap_drop", "group_add")

READ = (
    *("build", "command", "configs", "container_name", "depends_on", "deploy", "entrypoint", "env_file", "environment"),
    *(
        "expose",
        "extra_hosts",
        "healthcheck",
        "hostname",
        "image",
        "links",
        "mem_limit",
        "cpus",
        "networks",
        "pids_limit",
    ),
    *("ports", "profiles", "restart", "scale", "secrets", "security_opt", "shm_size", "tmpfs", "ulimits", "volumes"),
)
"""What has a form of its own."""

HONOURED = frozenset((*PLAIN, *SWITCHES, *LISTS, *READ))

PASSED_OVER = frozenset(
    ("annotations", "attach", "develop", "extends", "labels", "logging", "pull_policy", "stop_grace_period")
)
"""What changes nothing of how a service behaves here: its log is kept whole, and what is asked to end has five seconds,
whoever asks."""

_ALONE = "each service stands in a network of its own, where all that it reaches is the fault proxy"
_ENGINE = "a container of a run is given no rights over this machine"
_RATION = "processors and memory are limited by `cpus` and `mem_limit` alone"

REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("network_mode", "mac_address", "dns", "dns_opt", "dns_search", "domainname", "sysctls"), _ALONE),
    **dict.fromkeys(
        ("privileged", "devices", "device_cgroup_rules", "gpus", "pid", "ipc", "uts", "userns_mode", "cgroup"), _ENGINE
    ),
    **dict.fromkeys(("cgroup_parent", "credential_spec", "isolation", "runtime", "use_api_socket"), _ENGINE),
    **dict.fromkeys(
        ("blkio_config", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime"),
        _RATION,
    ),
    **dict.fromkeys(
        ("cpu_shares", "cpuset", "mem_reservation", "mem_swappiness", "memswap_limit", "oom_kill_disable"), _RATION
    ),
    **dict.fromkeys(("oom_score_adj", "storage_opt"), _RATION),
    "external_links": "containers of other projects are not started here",
    "volumes_from": "each service has mounts of its own",
    "label_file": "labels change nothing here",
    "models": "models are not started here",
    "provider": "what another program provides is not started here",
    "post_start": "nothing is run in a container beside its own program",
    "pre_stop": "nothing is run in a container beside its own program",
}
"""Why each cannot be honoured."""

OF_DEPLOY = frozenset(("replicas", "resources", "restart_policy"))
"""What is honoured of `deploy`; the rest is about clusters, and Compose itself passes it over."""

OF_BUILD = frozenset(("context", "dockerfile", "args", "target"))
OF_BUILD_PASSED_OVER = frozenset(("cache_from", "cache_to", "labels", "tags", "no_cache", "pull", "platforms"))
OF_HEALTHCHECK = frozenset(("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable"))
OF_DEPENDS_ON = frozenset(("condition", "required", "restart"))
OF_MOUNT = frozenset(("type", "source", "target", "read_only", "tmpfs", "consistency", "volume", "bind"))
