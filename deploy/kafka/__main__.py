"""Runs a Kafka cluster in the foreground, for a person (``make kafka``) or for a test run, until it is told to end."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deploy.kafka.cluster import SIZES, Broker, Cluster, KafkaFailed
from deploy.kafka.jars import KafkaMissing

ANNOUNCED: Final = "HUB_KAFKA_BOOTSTRAP="
"""What the one line begins with that says where the cluster serves: a setting that the hub takes as it is."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS: Final = 0.5


def main() -> int:
    """Run a cluster until a signal, or the end of standard input, or of its last broker; return the exit code."""
    options = _options()
    for each in _ENDING:
        signal.signal(each, _end)
    try:
        with ExitStack() as kept:
            folder: Path = options.dir or Path(kept.enter_context(TemporaryDirectory(prefix="hub-kafka-")))
            cluster = Cluster(folder, options.brokers)
            kept.callback(cluster.stop if options.dir else cluster.kill)
            _say(f"starting {options.brokers} broker{'s' * (options.brokers > 1)} in {folder}")
            cluster.start()
            _say("Kafka serves until Ctrl-C. For the hub:")
            print(f"{ANNOUNCED}{cluster.bootstrap}", flush=True)
            _watch(cluster, _stdin_has_closed if options.until_stdin_closes else None)
    except (KafkaMissing, KafkaFailed, ValueError) as error:
        _say(str(error))
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka", description=__doc__)
    parser.add_argument("--brokers", type=int, choices=SIZES, default=1, help="how many (default: 1)")
    parser.add_argument("--dir", type=Path, help="keep the data in this folder, or take up what lies there (default: kept nowhere)")
    parser.add_argument("--until-stdin-closes", action="store_true", help="also end when standard input does, as when its writer dies")
    return parser.parse_args()


def _watch(cluster: Cluster, is_over: Callable[[], bool] | None) -> None:
    """Wait, and say when a broker has ended; raise KafkaFailed when none is left."""
    living = set[Broker](cluster.brokers)
    while living:
        if is_over is None:
            time.sleep(_LOOK_SECONDS)
        elif is_over():
            return
        for broker in [broker for broker in living if not broker.is_alive()]:
            living.remove(broker)
            _say(f"broker {broker.node_id} ended with {broker.exit_code}")
    raise KafkaFailed("no broker is left")


def _stdin_has_closed() -> bool:
    """Wait a moment, and tell whether nobody can write to standard input any more."""
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], _LOOK_SECONDS)
    return bool(readable) and not os.read(sys.stdin.fileno(), 4_096)


def _end(_number: int, _frame: object) -> None:
    """Leave, by way of what must be done before; a second signal does not cut that short."""
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(0)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
