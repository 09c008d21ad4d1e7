"""Facts of the hub itself, signed by the hub's own enrolled key and admitted on the same path as everybody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from domain.kernel.agencies import HUB_ID
from domain.kernel.events import Event
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.v1.append_pb2 import Refusal
from safeguarding.hub.v1.common_pb2 import PURPOSE_OVERSIGHT
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.eventstore.codec import to_message
from services.intake.intake import Intake
from services.runtime.errors import IntegrityError, Unavailable


@dataclass(frozen=True, slots=True)
class OwnFact:
    """What the hub states, and the case it is about."""

    shard: str
    case_id: str
    event: Event


class OwnEvents:
    """Appends what the hub itself states about cases."""

    def __init__(self, intake: Intake, key: SigningKey, *, log_origin: str, run: str) -> None:
        """``run`` names this run of this node: sequences count from 1 in each."""
        self._intake = intake
        self._key = key
        self._sender = Sender(
            agency_id=HUB_ID, source=run, shard="national", log_origin=log_origin, actor_role="hub", purpose=PURPOSE_OVERSIGHT
        )
        self._sequences: Counter[str] = Counter()

    async def append(self, facts: Sequence[OwnFact]) -> list[OwnFact]:
        """Return once the facts are on the log, in shared commits; those of cases whose data key was destroyed are returned, unrecorded.

        Raises ``Unavailable`` if one of them cannot be put there now.
        """
        outcomes = await self._intake.append(HUB_ID, [self._signed(fact) for fact in facts])
        erased = []
        for fact, outcome in zip(facts, outcomes, strict=True):
            if outcome.HasField("refusal"):
                _raise_unless_erased(outcome.refusal)
                erased.append(fact)
        return erased

    def _signed(self, fact: OwnFact) -> SignedEvent:
        """Return a fact as an event signed by the hub."""
        self._sequences[fact.shard] += 1
        draft = Draft(event=to_message(fact.event), case_id=fact.case_id, shard=fact.shard)
        return SignedEvent.FromString(sign(draft, self._sender, self._key, self._sequences[fact.shard]).message)


def _raise_unless_erased(refusal: Refusal) -> None:
    """Raise what a refusal means, unless it is that nothing more can be added to the case."""
    if refusal.rule == "case.erased":
        return
    if refusal.HasField("retry_after_ms"):
        raise Unavailable("the access event cannot be recorded now", retry_after_seconds=refusal.retry_after_ms / 1000)
    raise IntegrityError(f"the hub's own event was refused: {refusal.rule}")
