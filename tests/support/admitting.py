"""A hub without anything but its deciders: events are judged one by one, each with the streams it looks at, and kept in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from domain.areas import decider_for
from domain.kernel.agencies import OPERATOR_ID
from domain.kernel.decider import Context, mended
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import AgencyId, EventId, Shard, Stream, category_of, stream
from domain.kernel.rules import Refused
from domain.kernel.times import check_times
from domain.partnership.events import PartnershipEstablished
from services.cli.synthetic.england import Area

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
LIVE_FROM = date(2026, 1, 5)
_CATEGORY = {"case": "incident", "information": "sharing"}


@dataclass(slots=True)
class Admitting:
    """The log so far, and the state of every stream."""

    log: list[Recorded] = field(default_factory=list)
    live_from: date = LIVE_FROM
    """Every agency's live day: history is from before it."""
    _states: dict[tuple[Shard, Stream], Any] = field(default_factory=dict)
    _versions: Counter[Stream] = field(default_factory=Counter)

    def establish(self, areas: Iterable[Area], relevant: dict[Shard, tuple[AgencyId, ...]] | None = None) -> None:
        """Let the operator establish every partnership."""
        for area in areas:
            event = PartnershipEstablished(
                name=area.name,
                arrangements_start_on=date(2019, 9, 29),
                business_unit=area.business_unit,
                partners=area.partners,
                relevant_agencies=(relevant or {}).get(area.shard, ()),
            )
            self.say(OPERATOR_ID, area.shard, stream("partnership", area.shard), event)

    def tell(self, agency: AgencyId, shard: Shard, case_id: str, event: Event, *, imported: bool = True) -> Recorded:
        """Admit an event of a case; raise ``Refused``."""
        area = event.EVENT_TYPE.partition(".")[0]
        return self.say(agency, shard, stream(_CATEGORY.get(area, area), case_id), event, imported=imported)

    def say(self, agency: AgencyId, shard: Shard, name: Stream, event: Event, *, imported: bool = False) -> Recorded:
        """Admit an event; raise ``Refused``."""
        decider = decider_for(category_of(name))
        before = self._state(shard, name)
        event_id = EventId(len(self.log).to_bytes(16, "big"))
        self._versions[name] += 1
        context = Context(
            agency_id=agency,
            event_id=event_id,
            shard=shard,
            stream=name,
            now=NOW,
            imported=imported,
            live_from=self.live_from,
            others={other: self._state(shard, other) for other in decider.reads(event, name, shard)},
        )
        check_times(event, context)
        found = decider.admit(before, event, context)
        recorded = Recorded(
            shard=shard,
            stream=name,
            position=len(self.log) + 1,
            version=self._versions[name],
            event_id=event_id,
            event_type=event.EVENT_TYPE,
            agency_id=agency,
            imported=imported,
            signed_at=NOW,
            recorded_at=NOW,
            findings=tuple(finding.rule.id for finding in found),
            event=event,
        )
        after = decider.evolve(before, recorded)
        logged = replace(recorded, mended=tuple(rule.id for rule in mended(decider, before, after)))
        self._states[shard, name] = decider.evolve(before, logged)
        self.log.append(logged)
        return logged

    def refusal(self, agency: AgencyId, shard: Shard, case_id: str, event: Event, *, imported: bool = True) -> str | None:
        """Return the rule that an event of a case is refused by, None if it is admitted."""
        try:
            self.tell(agency, shard, case_id, event, imported=imported)
        except Refused as refused:
            return str(refused.rule.id)
        return None

    def _state(self, shard: Shard, name: Stream) -> Any:
        known = self._states.get((shard, name))
        return decider_for(category_of(name)).initial if known is None else known
