"""librdkafka's mock cluster as a process: prints where it listens, then obeys lines on a control port.

It speaks the wire protocol for producing, consuming and committing. Topics are made, and brokers taken
down, only through librdkafka's C interface: `create NAME PARTITIONS`, `down ID`, `up ID`, `exit`.
"""

from __future__ import annotations

import ctypes
import json
import socketserver
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import confluent_kafka


class MockCluster:
    """The cluster, through the wheel's own library."""

    def __init__(self, brokers: int) -> None:
        folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
        self._library = library = ctypes.CDLL(str(next(folder.glob("librdkafka-*.so*"))))
        for name in ("conf_new", "new", "mock_cluster_new"):
            getattr(library, f"rd_kafka_{name}").restype = ctypes.c_void_p
        library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        error = ctypes.create_string_buffer(512)
        configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
        handle = ctypes.c_void_p(library.rd_kafka_new(0, configuration, error, ctypes.c_size_t(512)))
        self._cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(handle, brokers))
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, ctypes.c_int32(50))
        self.bootstrap: str = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create(self, name: str, partitions: str) -> int:
        made: int = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), int(partitions), 1)
        return 0 if made == 36 else made  # 36: it is there already

    def down(self, broker: str) -> int:
        result: int = self._library.rd_kafka_mock_broker_set_down(self._cluster, ctypes.c_int32(int(broker)))
        return result

    def up(self, broker: str) -> int:
        result: int = self._library.rd_kafka_mock_broker_set_up(self._cluster, ctypes.c_int32(int(broker)))
        return result


def main() -> None:
    cluster = MockCluster(int(sys.argv[1]))
    commands: dict[str, Callable[..., int]] = {
        "create": cluster.create,
        "down": cluster.down,
        "up": cluster.up,
    }

    class Control(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            word, *arguments = self.rfile.readline().decode().split()
            if word == "exit":
                Thread(target=server.shutdown).start()
            result = 0 if word == "exit" else commands[word](*arguments)
            self.wfile.write(b"ok\n" if result == 0 else f"error {result}\n".encode())

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Control) as server:
        print(json.dumps({"bootstrap": cluster.bootstrap, "control": server.server_address[1]}), flush=True)
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
