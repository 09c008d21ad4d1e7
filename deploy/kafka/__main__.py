"""Runs a Kafka cluster in the foreground, for a person (``make kafka``), a test run or the demo, until it is told to end."""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deploy.foreground import Orders, announce, end_on_signals, say
from deploy.kafka.cluster import SIZES, Broker, Cluster, KafkaFailed
from deploy.kafka.jars import KafkaMissing

ANNOUNCED: Final = "HUB_KAFKA_BOOTSTRAP="
"""What the one line begins with that says where the cluster serves: a setting that the hub takes as it is."""
_ORDER: Final = re.compile(r"(kill|start) ([1-9])")


def main() -> int:
    """Run a cluster until a signal, or the end of standard input, or of its last broker; return the exit code."""
    options = _options()
    end_on_signals()
    try:
        with ExitStack() as kept:
            folder: Path = options.dir or Path(kept.enter_context(TemporaryDirectory(prefix="hub-kafka-")))
            cluster = Cluster(folder, options.brokers)
            kept.callback(cluster.stop if options.dir else cluster.kill)
            say(f"starting {options.brokers} broker{'s' * (options.brokers > 1)} in {folder}")
            cluster.start()
            say("Kafka serves until Ctrl-C. For the hub:")
            announce(f"{ANNOUNCED}{cluster.bootstrap}")
            _watch(cluster, Orders(heard=options.until_stdin_closes))
    except (KafkaMissing, KafkaFailed, ValueError) as error:
        say(str(error))
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka", description=__doc__)
    parser.add_argument("--brokers", type=int, choices=SIZES, default=1, help="how many (default: 1)")
    parser.add_argument("--dir", type=Path, help="keep the data in this folder, or take up what lies there (default: kept nowhere)")
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help='also end when standard input does, as when its writer dies; until then obey its lines "kill N" and "start N"',
    )
    return parser.parse_args()


def _watch(cluster: Cluster, given: Orders) -> None:
    """Obey, and say when a broker has ended; raise KafkaFailed when none is left."""
    living = set[Broker](cluster.brokers)
    while living:
        orders = given.within()
        if orders is None:
            return
        for order in orders:
            announce(obeyed(cluster, order))
        living |= {broker for broker in cluster.brokers if broker.is_alive()}
        for broker in [broker for broker in living if not broker.is_alive()]:
            living.remove(broker)
            say(f"broker {broker.node_id} ended with {broker.exit_code}")
    raise KafkaFailed("no broker is left")


def obeyed(cluster: Cluster, order: str) -> str:
    """Kill a broker (``kill N``), or start it unless it lives and wait until it serves (``start N``); return what there is to say of it."""
    match = _ORDER.fullmatch(order)
    broker = next((each for each in cluster.brokers if match and each.node_id == int(match[2])), None)
    if match is None or broker is None:
        return f"not understood: {order}"
    if match[1] == "kill":
        broker.kill()
        return f"broker {broker.node_id} is dead"
    try:
        broker.start()
        broker.wait_until_serving()
    except KafkaFailed as error:  # the others go on
        return str(error).splitlines()[0]
    return f"broker {broker.node_id} serves"


if __name__ == "__main__":
    sys.exit(main())
