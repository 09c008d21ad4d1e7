"""``hub kafka``: the topic that is the log of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from services.cli.commands import examples
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, say, tell
from services.eventstore.brokers import Kafka
from services.eventstore.topic import check_topic, make_topic
from services.runtime.errors import IntegrityError, Unavailable

app = typer.Typer(no_args_is_help=True)


@app.callback()
def kafka() -> None:
    """Make and check the topic that is the log of a cluster; HUB_KAFKA_BOOTSTRAP says where the brokers are."""


@app.command(epilog=examples("hub kafka init", "hub kafka init --partitions 200 --replication 3"))
def init(
    home: Home = None,
    partitions: Annotated[
        int, typer.Option("--partitions", min=1, max=10_000, help="One for the national shard and one for each partnership.")
    ] = 200,
    replication: Annotated[int, typer.Option("--replication", min=1, max=9, help="On how many brokers each record lies.")] = 3,
    json: Json = False,
) -> None:
    """Make the topic, or add partitions to it: new partnerships begin in free ones, and no node is started anew for that."""
    _settle(home, lambda kafka: make_topic(kafka, partitions=partitions, replication=replication), replicas=replication, json=json)


@app.command(epilog=examples("hub kafka check", "hub kafka check --json"))
def check(home: Home = None, json: Json = False) -> None:
    """See that the topic keeps its records as they are: neither compacted nor expiring, dated by the brokers."""
    _settle(home, json=json)


def _settle(home: Path | None, make: Callable[[Kafka], None] = lambda _kafka: None, *, replicas: int = 1, json: bool) -> None:
    """Have the topic made if need be, check it, and say how it stands, and when it has fewer replicas than asked for."""
    settings = settings_of(home)
    if not settings.kafka_bootstrap:
        raise wrong_usage("HUB_KAFKA_BOOTSTRAP is not set", "name a broker or more, for instance HUB_KAFKA_BOOTSTRAP=127.0.0.1:9092")
    try:
        kafka = Kafka.of(settings)
        make(kafka)
        there = check_topic(kafka)
    except Unavailable as error:
        raise Failure(Exit.UNAVAILABLE, str(error), "are the brokers running, and is HUB_KAFKA_BOOTSTRAP right?") from None
    except IntegrityError as error:
        raise Failure(Exit.UNSOUND, str(error), "an operator of Kafka must set it so before a hub may rest on it") from None
    if json:
        emit({"topic": settings.kafka_topic, "partitions": there.partitions, "replicas": there.replicas})
    else:
        say(f"topic {settings.kafka_topic} has {there.partitions} partitions, each on {there.brokers}, and keeps its records for ever")
    if there.replicas < replicas:
        tell(f"it was there before, on {there.brokers} instead of {replicas}: Kafka's own kafka-reassign-partitions gives it more")
