"""``hub verify``: the whole log re-read and every view held against a rebuild."""

from __future__ import annotations

import time

from services.bootstrap import trust_root
from services.cli.calling import read_log
from services.cli.failures import Exit, Failure
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, plain, say
from services.cli.progress import progress
from services.cli.stores import opened_keys, opened_views
from services.projector.verification import Verdict, Verification
from services.runtime.settings import Settings
from services.trust.registry import RegistryState


def verify(home: Home = None, json: Json = False) -> None:
    """Check every signature, commitment, position, version and digest of the log, and every view against a rebuild.

    It changes nothing and may run beside the hub. What is wrong is named with its first position, and the exit code is 5. That sound events
    were exchanged shows in the digests alone, which are noted about every 256 positions: the first position behind a right one is named.
    """
    settings = settings_of(home)
    began = time.monotonic()
    verdict = verdict_of(settings)
    seconds = round(time.monotonic() - began, 3)
    if json:
        emit({"passed": verdict.passed, "seconds": seconds, **plain(verdict)})
    else:
        _print(verdict, seconds)
    if not verdict.passed:
        raise Failure(Exit.UNSOUND, "verification failed", "keep the files as they are, and restore from a copy that verifies")


def verdict_of(settings: Settings) -> Verdict:
    """Verify the hub of a home."""
    with (
        read_log(settings) as store,
        opened_keys(settings, store) as keys,
        opened_views(settings, store) as views,
        progress("verifying") as report,
    ):
        return Verification(
            store=store,
            keys=keys,
            registry=RegistryState(*trust_root(settings)),
            log_origin=settings.log_origin,
            scratch_folder=settings.store_folder,
            progress=lambda made: report(made.applied, made.total),
        ).run(views)


def _print(verdict: Verdict, seconds: float) -> None:
    """Print what was found."""
    for problem in verdict.problems:
        where = f"{problem.shard}/{problem.position}" + (f" ({problem.stream})" if problem.stream else "")
        say(f"WRONG  {where}: {problem.check}: {problem.reason}")
    for view in verdict.views:
        parked = f"; {view.parked} streams parked" if view.parked else ""
        say(f"{'OK   ' if view.matches else 'WRONG'}  view {view.view} {'equals' if view.matches else 'differs from'} a rebuild{parked}")
    if verdict.problems:
        say("       the views were not compared: the log comes first")
    destroyed = f", {verdict.destroyed} bodies destroyed" if verdict.destroyed else ""
    say(f"{verdict.events} events in {verdict.shards} shards checked{destroyed}, {seconds:.1f} s")
    say("verified" if verdict.passed else "NOT verified")
