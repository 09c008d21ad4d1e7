"""Facts of the hub itself, signed by the hub's own enrolled key and admitted on the same path as everybody's.

Who reads is answered when it is certain that this will be on the log. Where the log lies elsewhere and takes nothing now, that is when
the signed events lie on this node's disk: reading goes on, and they are put on the log as soon as it takes them, also by a later run.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import structlog

from domain.kernel.agencies import HUB_ID
from domain.kernel.events import Event
from domain.kernel.ids import NATIONAL
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.v1.append_pb2 import Refusal
from safeguarding.hub.v1.common_pb2 import PURPOSE_OVERSIGHT
from safeguarding.hub.v1.envelope_pb2 import EventHeader, Signature, SignedEvent
from services.eventstore.codec import to_message
from services.intake.intake import Intake
from services.intake.spool import Spool, Spooled
from services.runtime.errors import IntegrityError, Unavailable

SPOOL_AFTER_SECONDS: Final = 2.0
"""So long whoever reads waits for the log first; the others, once one has waited in vain, do not."""
RETRY_SECONDS: Final = 1.0
REFUSED_RETRY_MAX_SECONDS: Final = 60.0
_SPOOLED_A_REQUEST: Final = 100
_KEY_UNFIT: Final = "wire.signature"
"""The next key was taken up when only its name lay there."""
_KEY_ENDED: Final = frozenset({"wire.key_retired", "wire.key_revoked", _KEY_UNFIT})
_LOG: Final = structlog.get_logger("hub")


@dataclass(frozen=True, slots=True)
class OwnFact:
    """What the hub states, the case it is about, and the id under which the national shard takes it if the case was erased."""

    shard: str
    case_id: str
    event: Event
    list_id: str


class OwnEvents:
    """Appends what the hub itself states about cases. All of it runs on one event loop."""

    def __init__(
        self, intake: Intake, load_key: Callable[[], SigningKey], *, log_origin: str, run: str, spool: Spool | None = None
    ) -> None:
        """``run`` names this run of this node: sequences count from 1 in each; ``spool``: for what a log elsewhere does not take.

        ``load_key`` returns the hub's newest key, and raises ``IntegrityError`` for one that is none.
        """
        self._intake = intake
        self._load_key = load_key
        self._key = load_key()
        self._sender = Sender(
            agency_id=HUB_ID, source=run, shard=NATIONAL, log_origin=log_origin, actor_role="hub", purpose=PURPOSE_OVERSIGHT
        )
        self._sequences: Counter[str] = Counter()
        self._spool = spool
        self._emptying: asyncio.Task[None] | None = None
        self._has_more = asyncio.Event()

    def start(self) -> None:
        """Carry on with what an earlier run could not put on the log."""
        if self._spool is not None and len(self._spool):
            self._begin_to_empty(self._spool)

    async def close(self) -> None:
        """Leave what the log does not take to a later run. Idempotent."""
        if self._emptying is not None:
            self._emptying.cancel()
            await asyncio.wait([self._emptying])

    async def append(self, facts: Sequence[OwnFact]) -> None:
        """Return once the facts are on the log, in shared commits, or are certain to come there.

        Raises ``Unavailable`` if one of them can neither be put there now nor be kept.
        """
        if not facts:
            return
        events = [self._signed(fact) for fact in facts]
        spool = self._spool
        if spool is None:
            await self._put(facts, events)
            return
        if not len(spool):
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(SPOOL_AFTER_SECONDS):
                    await self._put(facts, events)
                    return
            _LOG.warning("access.spooled")
        kept = [
            Spooled(event.SerializeToString(), self._signed(_instead(fact)).SerializeToString())
            for fact, event in zip(facts, events, strict=True)
        ]
        await asyncio.to_thread(spool.put, kept)
        self._begin_to_empty(spool)

    async def _put(self, facts: Sequence[OwnFact], events: Sequence[SignedEvent]) -> None:
        """Put facts on the log; those of cases whose data key was destroyed under the reader's lists. Raises what a refusal means."""
        refusals = await self._refusals(events)
        erased = [fact for fact, refusal in zip(facts, refusals, strict=True) if _is_of_erased(refusal)]
        others = [refusal for refusal in refusals if not _is_of_erased(refusal)]
        for refusal in [*others, *await self._refusals([self._signed(_instead(fact)) for fact in erased])]:
            if refusal is not None:
                raise _meaning(refusal)

    async def _take_up_next_key(self) -> None:
        """Sign with the key that has come in the place of one that was retired or revoked, if there is such."""
        key = await asyncio.to_thread(self._load_key)
        before, self._key = self._key, key
        if key.key_id != before.key_id:
            _LOG.info("access.next_key_taken_up", key_id=key.key_id)

    def _begin_to_empty(self, spool: Spool) -> None:
        """See to it that what waits comes to the log."""
        self._has_more.set()
        if self._emptying is None or self._emptying.done():
            self._emptying = asyncio.create_task(self._empty(spool))

    async def _empty(self, spool: Spool) -> None:
        """Put what waits on the log, the oldest first, until nothing does. What is there already is answered with its receipt.

        While it takes all but what it refuses for good, that is tried ever more rarely, and at once behind what comes to wait.
        """
        pause = RETRY_SECONDS
        while waited := len(spool):
            last, refused = 0, set[str]()
            while waiting := await asyncio.to_thread(spool.behind, last, _SPOOLED_A_REQUEST):
                done = await self._try(waiting, refused)
                if done is None:
                    break
                await asyncio.to_thread(spool.drop, done)
                last = waiting[-1][0]
            for rule in sorted(refused):
                _LOG.error("access.spooled_refused", rule=rule)
            if len(spool):
                pause = min(2 * pause, REFUSED_RETRY_MAX_SECONDS) if refused and len(spool) == waited else RETRY_SECONDS
                await self._rest(pause)
        _LOG.info("access.spool_emptied")

    async def _rest(self, seconds: float) -> None:
        """Wait, but for no longer than ``RETRY_SECONDS`` once more has come to wait."""
        await asyncio.sleep(RETRY_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - RETRY_SECONDS):
                await self._has_more.wait()
        self._has_more.clear()

    async def _try(self, waiting: Sequence[tuple[int, Spooled]], refused: set[str]) -> list[int] | None:
        """Return the numbers of those that are on the log now, and add the rules by which others were refused for good to ``refused``.

        None if none of them is, for a reason that holds for those behind them too: the log takes nothing now, or nothing of this key.
        """
        try:
            refusals = await self._refusals([SignedEvent.FromString(one.event) for _, one in waiting])
            erased = [at for at, refusal in enumerate(refusals) if _is_of_erased(refusal)]
            instead = await self._refusals([SignedEvent.FromString(waiting[at][1].instead) for at in erased])
        except Exception as error:  # noqa: BLE001  # whatever it is, who read must come to be known
            _LOG.error("access.spool_not_emptied", error=type(error).__name__)
            return None
        for at, refusal in zip(erased, instead, strict=True):
            refusals[at] = refusal
        rules = {refusal.rule for refusal in refusals if refusal is not None and not refusal.HasField("retry_after_ms")}
        refused |= rules
        if None not in refusals and rules <= _KEY_ENDED:
            return None
        return [number for (number, _), refusal in zip(waiting, refusals, strict=True) if refusal is None]

    async def _refusals(self, events: Sequence[SignedEvent]) -> list[Refusal | None]:
        """Append events, those whose key has ended under the next one; return why each is not on the log, None for one that is."""
        refusals = await self._appended(events)
        ended = [at for at, refusal in enumerate(refusals) if refusal is not None and refusal.rule in _KEY_ENDED]
        if ended:
            await self._take_up_next_key()
        unfit = {at for at in ended if (refusal := refusals[at]) is not None and refusal.rule == _KEY_UNFIT}
        anew = [at for at in ended if at in unfit or events[at].signature.key_id != self._key.key_id]
        for at, refusal in zip(anew, await self._appended([_signed_anew(events[at], self._key) for at in anew]), strict=True):
            refusals[at] = refusal
        return refusals

    async def _appended(self, events: Sequence[SignedEvent]) -> list[Refusal | None]:
        """Append events as they are."""
        outcomes = await self._intake.append(HUB_ID, events) if events else []
        return [outcome.refusal if outcome.HasField("refusal") else None for outcome in outcomes]

    def _signed(self, fact: OwnFact) -> SignedEvent:
        """Return a fact as an event signed by the hub."""
        self._sequences[fact.shard] += 1
        draft = Draft(event=to_message(fact.event), case_id=fact.case_id, shard=fact.shard)
        return SignedEvent.FromString(sign(draft, self._sender, self._key, self._sequences[fact.shard]).message)


def _signed_anew(event: SignedEvent, key: SigningKey) -> SignedEvent:
    """Return an event as another key signs it: the same bytes each time, so that it comes to the log but once.

    Its id is another, a UUIDv7 of the same millisecond that follows from its own: what waits is sent under that again, and is no replay.
    """
    header = EventHeader.FromString(event.header)
    drawn = hashlib.sha256(key.key_id.encode() + header.event_id).digest()
    header.event_id = header.event_id[:6] + bytes([0x70 | drawn[0] & 0x0F, drawn[1], 0x80 | drawn[2] & 0x3F]) + drawn[3:10]
    header.key_id = key.key_id
    signed = header.SerializeToString(deterministic=True)
    return SignedEvent(header=signed, signature=Signature(key_id=key.key_id, value=key.sign(signed)), body=event.body, salt=event.salt)


def _instead(fact: OwnFact) -> OwnFact:
    """Return a fact as it is recorded if nothing can be added to its case any more."""
    return replace(fact, shard=NATIONAL, case_id=fact.list_id)


def _is_of_erased(refusal: Refusal | None) -> bool:
    """Tell whether nothing more can be added to the case."""
    return refusal is not None and refusal.rule == "case.erased"


def _meaning(refusal: Refusal) -> Unavailable | IntegrityError:
    """Return what a refusal of the hub's own event means."""
    if refusal.HasField("retry_after_ms"):
        return Unavailable("the access event cannot be recorded now", retry_after_seconds=refusal.retry_after_ms / 1000)
    return IntegrityError(f"the hub's own event was refused: {refusal.rule}")
