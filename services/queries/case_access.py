"""The access rule, applied to one case or to many: judged now, whatever moment is read."""

from __future__ import annotations

from datetime import date

from domain.access.events import DenialReason
from projections.chronology.access import AccessFacts, Standing, standing_of
from projections.chronology.queries import access_facts
from projections.kernel.database import Reading
from services.queries.asking import Asker


def may_read(facts: AccessFacts, asker: Asker, today: date) -> Standing | DenialReason:
    """Return in what capacity the asker may read a case, or why not."""
    return standing_of(facts, asker.agency_id, today)


class Readable:
    """Remembers, within one answer, which cases the asker may read."""

    def __init__(self, reading: Reading, asker: Asker, today: date) -> None:
        """Judge by one look at the chronology view."""
        self._reading = reading
        self._asker = asker
        self._today = today
        self._known: dict[tuple[str, str], Standing | DenialReason] = {}

    def standing(self, shard: str, case_id: str) -> Standing | None:
        """Return in what capacity a case may be read, None if it may not."""
        key = (shard, case_id)
        if key not in self._known:
            facts = access_facts(self._reading.connection, self._reading.tables, shard, case_id)
            self._known[key] = may_read(facts, self._asker, self._today)
        found = self._known[key]
        return found if isinstance(found, Standing) else None
