"""The toxics, one file each; adding one is a file and a row in this table."""

from harness.faultproxy.toxics.bandwidth import Bandwidth
from harness.faultproxy.toxics.connect_blackhole import ConnectBlackhole
from harness.faultproxy.toxics.connection_limit import ConnectionLimit
from harness.faultproxy.toxics.drop_reply import DropReply
from harness.faultproxy.toxics.http_error import HttpError
from harness.faultproxy.toxics.latency import Latency
from harness.faultproxy.toxics.latency_distribution import LatencyDistribution
from harness.faultproxy.toxics.limit_data import LimitData
from harness.faultproxy.toxics.max_age import MaxAge
from harness.faultproxy.toxics.noop import Noop
from harness.faultproxy.toxics.postgres_error import PostgresError
from harness.faultproxy.toxics.redis_error import RedisError
from harness.faultproxy.toxics.reset_peer import ResetPeer
from harness.faultproxy.toxics.shared_bandwidth import SharedBandwidth
from harness.faultproxy.toxics.slicer import Slicer
from harness.faultproxy.toxics.slow_close import SlowClose
from harness.faultproxy.toxics.stage import Settings
from harness.faultproxy.toxics.stale_connections import StaleConnections
from harness.faultproxy.toxics.timeout import Timeout

ORIGINAL: dict[str, type[Settings]] = {
    "bandwidth": Bandwidth,
    "latency": Latency,
    "limit_data": LimitData,
    "noop": Noop,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "slow_close": SlowClose,
    "timeout": Timeout,
}

# Ours alone; strict mode does not know them.
EXTENSIONS: dict[str, type[Settings]] = {
    "connect_blackhole": ConnectBlackhole,
    "connection_limit": ConnectionLimit,
    "drop_reply": DropReply,
    "http_error": HttpError,
    "latency_distribution": LatencyDistribution,
    "max_age": MaxAge,
    "postgres_error": PostgresError,
    "redis_error": RedisError,
    "shared_bandwidth": SharedBandwidth,
    "stale_connections": StaleConnections,
}

TOXICS = ORIGINAL | EXTENSIONS

# These read requests, so upstream is their default direction; any other is refused.
UPSTREAM_ONLY = frozenset({"http_error", "postgres_error", "redis_error"})

# In the original a connection that begins while its proxy has one of these ends with RST, however and whenever it ends
# (Toxiproxy 2.12, observed); strict mode does the same.
LINGERING = frozenset({"reset_peer"})

__all__ = ["LINGERING", "ORIGINAL", "TOXICS", "UPSTREAM_ONLY"]
