"""Facts of the hub itself, signed by the hub's own enrolled key and admitted on the same path as everybody's."""

from __future__ import annotations

from collections import Counter

from domain.kernel.agencies import HUB_ID
from domain.kernel.events import Event
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.v1.append_pb2 import Receipt
from safeguarding.hub.v1.common_pb2 import PURPOSE_OVERSIGHT
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.eventstore.codec import to_message
from services.intake.intake import Intake
from services.runtime.errors import IntegrityError, Unavailable


class OwnEvents:
    """Appends what the hub itself states about a case."""

    def __init__(self, intake: Intake, key: SigningKey, *, log_origin: str, run: str) -> None:
        """``run`` names this run of this node: sequences count from 1 in each."""
        self._intake = intake
        self._key = key
        self._sender = Sender(
            agency_id=HUB_ID, source=run, shard="national", log_origin=log_origin, actor_role="hub", purpose=PURPOSE_OVERSIGHT
        )
        self._sequences: Counter[str] = Counter()

    async def append(self, shard: str, case_id: str, event: Event) -> Receipt:
        """Return the receipt once the event is on the log; raise ``Unavailable`` if it cannot be put there now."""
        self._sequences[shard] += 1
        draft = Draft(event=to_message(event), case_id=case_id, shard=shard)
        signed = SignedEvent.FromString(sign(draft, self._sender, self._key, self._sequences[shard]).message)
        (outcome,) = await self._intake.append(HUB_ID, [signed])
        if outcome.HasField("receipt"):
            return outcome.receipt
        refusal = outcome.refusal
        if refusal.HasField("retry_after_ms"):
            raise Unavailable("the access event cannot be recorded now", retry_after_seconds=refusal.retry_after_ms / 1000)
        raise IntegrityError(f"the hub's own event was refused: {refusal.rule}")
