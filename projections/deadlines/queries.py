"""Lists of deadlines as of any moment, most urgent first, and the explanation of one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from heapq import merge
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, func, select, tuple_

from domain.kernel.events import london_day
from domain.rules import ClockInstance, Explanation, Rulebook, Status, explain, instances_of, known_by, status
from domain.rules.status import Band
from projections.deadlines.ordering import NO_DUE_DAY, RANKS, Moment, PageKey, band_rank
from projections.deadlines.projection import facts_by_case, terms_of
from projections.deadlines.rows import instance_of
from projections.deadlines.tables import CASES, INSTANCES
from projections.deadlines.wanted import DeadlineFilter, Members, members_of
from projections.kernel.view import Tables

PAGE_LIMIT: Final = 1_000
_FETCH_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """One line of a list: what is owed, and how it stands."""

    instance: ClockInstance
    status: Status
    is_own: bool
    """The agency asking owes it, alone or as one of the partners."""
    key: PageKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Deadlines in order of urgency, and where the next page begins (None: there is none)."""

    deadlines: tuple[Deadline, ...]
    next_after: PageKey | None


@dataclass(frozen=True, slots=True)
class DeadlineReader:
    """Reads the view at one moment: everything it answers is as known, and as it stood, at ``as_of``."""

    connection: Connection
    tables: Tables
    rulebook: Rulebook
    as_of: datetime

    def list_deadlines(self, wanted: DeadlineFilter, *, after: PageKey | None = None, limit: int = PAGE_LIMIT) -> Page:
        """Return a page: overdue, due today, due soon, later, not known, met, cancelled; within each own first, then by due day.

        ``after`` is the former page's ``next_after``, with the same filter and moment. ``limit``: at most ``PAGE_LIMIT``.
        """
        if not 1 <= limit <= PAGE_LIMIT:
            raise ValueError(f"a page has 1 to {PAGE_LIMIT} deadlines, not {limit}")
        members = self._members()
        anew = sorted(self._set_anew(wanted, members), key=lambda deadline: deadline.key)
        later = (deadline for deadline in anew if after is None or deadline.key > after)
        found = list(islice(merge(self._as_stored(wanted, members, after, limit + 1), later, key=lambda deadline: deadline.key), limit + 1))
        return Page(deadlines=tuple(found[:limit]), next_after=found[limit - 1].key if len(found) > limit else None)

    def count_bands(self, wanted: DeadlineFilter) -> dict[Band, int]:
        """Count deadlines by band; every band is there."""
        members = self._members()
        rows = self._stored(wanted, members).subquery()
        statement = select(rows.c.rank, func.count()).group_by(rows.c.rank)
        counts = Counter({RANKS[rank]: count for rank, count in self.connection.execute(statement)})
        counts.update(deadline.status.band for deadline in self._set_anew(wanted, members))
        return {band: counts[band] for band in RANKS}

    def list_due(self, first: date, last: date, wanted: DeadlineFilter) -> Iterator[Deadline]:
        """Yield, in no order and however many, the deadlines whose due day lies from ``first`` to ``last``, both included."""
        members = self._members()
        due_on = self.tables[INSTANCES].c.due_on
        statement = self._stored(wanted, members).where(due_on.between(first.isoformat(), last.isoformat()))
        for row in self.connection.execute(statement, execution_options={"yield_per": _FETCH_ROWS}):
            yield self._deadline(row)
        for deadline in self._set_anew(wanted, members):
            if deadline.instance.due_on is not None and first <= deadline.instance.due_on <= last:
                yield deadline

    def explain_deadline(self, shard: str, case_id: str, instance_id: str) -> Explanation | None:
        """Explain one clock of a case; None if it did not run as known at the moment."""
        for instance in self._instances(shard, [case_id]):
            if instance.instance_id == instance_id:
                return explain(instance, self.as_of, self.rulebook.calendar, self.rulebook.rules)
        return None

    def _members(self) -> Members:
        """Return who the partners and business units are on the day that is looked at."""
        return members_of(self.connection, self.tables, london_day(self.as_of))

    def _stored(self, wanted: DeadlineFilter, members: Members) -> Select[Any]:
        """Select the stored instances that hold at the moment, with their place in the order."""
        instances, cases = self.tables[INSTANCES], self.tables[CASES]
        rank = band_rank(instances, Moment.at(self.as_of, self.rulebook.calendar))
        same_case = and_(cases.c.shard == instances.c.shard, cases.c.case_id == instances.c.case_id)
        statement = select(
            rank.label("rank"),
            wanted.is_foreign(instances, members).label("foreign"),
            func.coalesce(instances.c.due_on, NO_DUE_DAY).label("due"),
            instances.c.shard,
            instances.c.case_id,
            instances.c.instance_id,
            instances.c.document,
        ).join(cases, same_case)
        statement = statement.where(cases.c.settled_from <= self.as_of, *wanted.clauses(instances, members))
        return statement.where(rank.in_([RANKS.index(band) for band in wanted.bands])) if wanted.bands else statement

    def _as_stored(self, wanted: DeadlineFilter, members: Members, after: PageKey | None, limit: int) -> Iterator[Deadline]:
        """Yield what the stored instances give, in order."""
        rows = self._stored(wanted, members).subquery()
        columns = (rows.c.rank, rows.c.foreign, rows.c.due, rows.c.shard, rows.c.case_id, rows.c.instance_id)
        statement = select(rows).order_by(*columns).limit(limit)
        if after is not None:
            statement = statement.where(tuple_(*columns) > tuple_(*after))
        for row in self.connection.execute(statement):
            yield self._deadline(row)

    def _deadline(self, row: Row[Any]) -> Deadline:
        """Return the deadline in a row."""
        instance = instance_of(row.document)
        key = PageKey(row.rank, row.foreign, row.due, row.shard, row.case_id, row.instance_id)
        return Deadline(instance=instance, status=self._status(instance), is_own=not row.foreign, key=key)

    def _set_anew(self, wanted: DeadlineFilter, members: Members) -> Iterator[Deadline]:
        """Yield the deadlines of cases of which something became known only after the moment: their clocks are set from what was known."""
        cases = self.tables[CASES]
        statement = select(cases.c.shard, cases.c.case_id).where(cases.c.settled_from > self.as_of, *wanted.case_clauses(cases))
        by_shard: dict[str, list[str]] = defaultdict(list)
        for shard, case_id in self.connection.execute(statement):
            by_shard[shard].append(case_id)
        for shard, case_ids in by_shard.items():
            for instance in self._instances(shard, case_ids):
                now = self._status(instance)
                if wanted.takes(instance, now, members):
                    is_own = wanted.is_own(instance, members)
                    yield Deadline(instance=instance, status=now, is_own=is_own, key=PageKey.of(instance, now, is_own=is_own))

    def _instances(self, shard: str, case_ids: Sequence[str]) -> Iterator[ClockInstance]:
        """Set the clocks of some cases from what was known at the moment, under the partnership's terms of today."""
        terms = terms_of(self.connection, self.tables, [shard]).get(shard)
        for facts in facts_by_case(self.connection, self.tables, shard, case_ids).values():
            yield from instances_of(known_by(facts, self.as_of), self.rulebook.calendar, self.rulebook.rules, partnership=terms)

    def _status(self, instance: ClockInstance) -> Status:
        """Return how an instance stands at the moment."""
        return status(instance, self.as_of, self.rulebook.calendar)
