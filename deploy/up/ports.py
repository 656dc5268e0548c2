"""Free ports of this machine for servers that are stopped and started again on the same port."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from contextlib import closing

# Below the range from which outgoing connections take theirs: a server that is down for a moment keeps its
# port.
_RANGE = range(20_000, 32_000)
_chosen: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could listen on that port of the loopback address now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(offsets: Iterable[int] = (0,)) -> int:
    """A random port that is free together with its neighbours at the given offsets; never one twice."""
    wanted = tuple(offsets)
    for _ in range(1000):
        port = random.choice(_RANGE)
        block = {port + offset for offset in wanted}
        if not block & _chosen and all(is_free(each) for each in block):
            _chosen.update(block)
            return port
    raise OSError("no free port found")
