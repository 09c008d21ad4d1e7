"""Admit, then evolve: what agencies ask of and tell each other in a case.

The case must have begun in its incident stream. A request is answered by its recipient, once; what was partly shared or refused may be
shared in full later. After withdrawal or closing nothing new is asked, but what was asked is answered and what was told is handled.
Nothing here is a finding: whether an answer was late is for the deadlines to say.
"""

from __future__ import annotations

from typing import Final, assert_never, cast, get_args

from domain.incident.state import incident_in, incident_stream
from domain.kernel.copies import replace
from domain.kernel.corrections import check_correction, is_correction, noted
from domain.kernel.decider import Context, Decider
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import Shard, Stream, identity_of
from domain.kernel.rules import Finding, Rule
from domain.partnership.state import partnership_in, partnership_stream
from domain.sharing import entries, handling, requests
from domain.sharing.guards import Case, check_speaker
from domain.sharing.kinds import Asking, Handling, SharingEvent, Telling, subject_of
from domain.sharing.rules import CORRECTION
from domain.sharing.state import Sharing


def reads(_event: Event, stream: Stream, shard: Shard) -> tuple[Stream, ...]:
    """Every event is judged with the incident of its case and the partnership of its shard."""
    return (incident_stream(identity_of(stream)), partnership_stream(shard))


def admit(state: Sharing, said: Event, context: Context) -> tuple[Finding, ...]:
    """Return no findings for what may be said; raise ``Refused`` for what cannot be true or is not the sender's to say."""
    event = cast(SharingEvent, said)
    incident = incident_in(context.others, identity_of(context.stream))
    case = Case(sharing=state, incident=incident, partnership=partnership_in(context.others, context.shard, context.now))
    check_speaker(case, context)
    if is_correction(event):
        check_correction(state.said, event, subject_of(event), context, CORRECTION)
    if isinstance(event, Asking):
        requests.admit(case, event, context)
    elif isinstance(event, Telling):
        entries.admit(case, event, context)
    elif isinstance(event, Handling):
        handling.admit(case, event, context)
    else:
        assert_never(event)
    return ()


def evolve(state: Sharing, recorded: Recorded) -> Sharing:
    """Return the state after the event; of one whose body is gone, only that its agency said it."""
    event = cast("SharingEvent | None", recorded.event)
    known = replace(state, said=noted(state.said, recorded, "" if event is None else subject_of(event)))
    if event is None:
        return known
    if isinstance(event, Asking):
        return requests.evolve(known, event, recorded)
    if isinstance(event, Telling):
        return entries.evolve(known, event, recorded)
    if isinstance(event, Handling):
        return handling.evolve(known, event, recorded)
    assert_never(event)


def open_rules(_state: Sharing) -> frozenset[Rule]:
    """Return nothing: what is shared is refused or stands."""
    return frozenset()


DECIDER: Final[Decider[Sharing]] = Decider(
    category="sharing",
    events=get_args(SharingEvent),
    initial=Sharing(),
    reads=reads,
    admit=admit,
    evolve=evolve,
    open_rules=open_rules,
    timeless=True,
)
