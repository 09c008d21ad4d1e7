"""What the demo shows of a cluster beside what it shows of any hub: what it is, what was done to it, and that nothing came of that."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from services.cli.demo.proof import NodeLog
from services.cli.demo.report import grid, heading, paragraph, takers
from services.cli.demo.trial import Blow
from services.projector.verification import Verdict


def founded(addresses: Sequence[str], brokers: int, agencies: Sequence[str]) -> Iterator[str]:
    """Yield what the cluster consists of and who takes part."""
    yield from heading("A hub of two nodes")
    yield from paragraph(
        f"Both serve gRPC with mutual TLS, at {' and '.join(addresses)}, each in a process and with a certificate of its own. The log lies"
        f" in Apache Kafka, on {brokers} brokers, and each node folds it for itself; views and data keys lie in PostgreSQL."
        f" {takers(agencies)} Their clients know both addresses, and begin with the first."
    )


def verified(
    blows: Sequence[Blow], receipts: int, logs: Sequence[NodeLog], verdicts: Mapping[str, Verdict], problems: Sequence[str]
) -> Iterator[str]:
    """Yield what was done to the cluster, and the proof that nothing was lost by it."""
    yield from heading("What was killed while England was sent")
    rows = [
        (
            f"{blow.what}: {blow.role}",
            f"{blow.killed_after_seconds:.1f} s",
            f"{blow.back_after_seconds:.1f} s",
            f"{blow.without_service_seconds:.1f} s",
        )
        for blow in blows
    ]
    yield from grid(("killed with kill -9", "after", "back after", "longest wait"), rows, right=(1, 2, 3), widest=0)
    yield from paragraph("Longest wait: how long, from then on, any agency waited for the answers to what it had sent.")
    yield from heading("Does the cluster prove itself?")
    for problem in problems:
        yield from paragraph(f"WRONG: {problem}", 0, 4)
    nodes = " and ".join(log.node for log in logs)
    if not problems:
        yield from paragraph(
            f"Each of the {receipts} receipts was looked for in the whole log of {nodes}: its event lies there exactly once, at the"
            f" position and with the leaf hash that the receipt names."
        )
        yield from paragraph(f"{nodes} have come equally far in each of {len(logs[0].heads)} shards, with the same digest in each.")
    for name, verdict in verdicts.items():
        for wrong in verdict.problems:
            yield from paragraph(f"WRONG on {name} at {wrong.shard}/{wrong.position}: {wrong.check}: {wrong.reason}", 0, 4)
        equal = sum(view.matches for view in verdict.views)
        yield from paragraph(
            f"{name}: {verdict.events} events read again, every signature, commitment, position, version and digest"
            f" {'holds' if not verdict.problems else 'was checked'}; {equal} of {len(verdict.views)} views are equal to a rebuild from its"
            f" log. {'Verified.' if verdict.passed else 'NOT verified.'}"
        )


def what_next(keep: Path | None, nodes: Sequence[str], case_id: str, council: str, *, own_server: bool) -> Iterator[str]:
    """Yield commands to go on with."""
    yield from heading("What to try next")
    if keep is None:
        yield "This cluster is gone now. To keep one and look around in it:"
        yield "  hub demo --cluster --keep demo-cluster"
    folder = keep or Path("demo-cluster")
    home = shlex.quote(str(folder / nodes[0]))
    yield "To start it again, each in a terminal of its own and in this order:"
    yield f"  make kafka BROKERS=3 DIR={shlex.quote(str(folder / 'kafka'))}"
    if own_server:
        yield f"  make postgresql DIR={shlex.quote(str(folder / 'postgresql'))}"
    for node in nodes:
        yield f"  hub serve --home {shlex.quote(str(folder / node))}"
    yield "and then:"
    yield f"  hub chronology {case_id} --home {home} --as {council}"
    yield f"  hub panel table 6 --period 2020 --count-day 2021-03-31 --home {home}"
    yield f"  hub verify --home {home}"
    yield ""
