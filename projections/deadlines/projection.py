"""From events to the deadlines view's rows: each event that a clock looks at becomes a fact, and its case's clocks are set anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection, delete, select

from domain.kernel.events import Recorded
from domain.partnership.events import MembershipChanged, PartnershipEstablished
from domain.rules import Fact, PartnershipTerms, Rulebook, bundled_rulebook, instances_of, reduce
from projections.deadlines.rows import fact_of, fact_row, instance_row
from projections.deadlines.scope import IGNORES, PARTNERSHIP_EVENTS
from projections.deadlines.tables import CASES, FACTS, INSTANCES, MEMBERS, TERMS, define
from projections.kernel.rows import insert_rows
from projections.kernel.view import Tables, View

_CODE_VERSION: Final = "3"
_CASES_A_QUERY: Final = 500


def deadlines_view(rulebook: Rulebook) -> View:
    """Return the view for a rulebook; another catalogue or calendar is another version, built anew."""
    return View(
        name="deadlines",
        version=f"{_CODE_VERSION}, {rulebook.version}",
        define=define,
        handles=frozenset(rulebook.rules.kept) | PARTNERSHIP_EVENTS,
        ignores=IGNORES,
        apply=partial(apply, rulebook),
    )


def apply(rulebook: Rulebook, connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    """Add the facts of a batch of one shard and set the clocks of every case it touches anew, once."""
    if not batch:
        return
    shard = batch[0].shard
    new: dict[str, list[Fact]] = defaultdict(list)
    for recorded in batch:
        fact = reduce(recorded, rulebook.rules.kept)
        if fact is not None:
            new[fact.case_id].append(fact)
        elif recorded.event_type in PARTNERSHIP_EVENTS:
            _add_members(connection, tables, recorded)
    touched = set(new)
    if any(recorded.event_type in PARTNERSHIP_EVENTS for recorded in batch):
        # A partnership's own terms bear on the clocks of all its cases.
        touched |= set(connection.execute(select(tables[CASES].c.case_id).where(tables[CASES].c.shard == shard)).scalars())
    terms = terms_of(connection, tables, [shard]).get(shard) if touched else None
    for cases in _chunks(sorted(touched)):
        before = facts_by_case(connection, tables, shard, cases)
        for name in (INSTANCES, CASES) if before else ():  # a case without former facts has no rows yet: most are so in a rebuild
            table = tables[name]
            connection.execute(delete(table).where(table.c.shard == shard, table.c.case_id.in_(list(before))))
        known = {case: [*before.get(case, ()), *new.get(case, ())] for case in cases}
        _write_clocks(rulebook, connection, tables, known, terms)
    if new:
        insert_rows(connection, tables[FACTS], [fact_row(fact) for facts in new.values() for fact in facts])


def facts_by_case(connection: Connection, tables: Tables, shard: str, cases: Sequence[str]) -> dict[str, list[Fact]]:
    """Return all facts of some cases of a shard, in position order."""
    table = tables[FACTS]
    found: dict[str, list[Fact]] = defaultdict(list)
    for some in _chunks(cases):
        rows = connection.execute(select(table).where(table.c.shard == shard, table.c.case_id.in_(some)).order_by(table.c.position))
        for row in rows:
            fact = fact_of(row)
            found[fact.case_id].append(fact)
    return found


def terms_of(connection: Connection, tables: Tables, shards: Iterable[str]) -> dict[str, PartnershipTerms]:
    """Return what partnerships have set for themselves, by shard; nothing for one that was not established."""
    table = tables[TERMS]
    rows = connection.execute(select(table).where(table.c.shard.in_(sorted(shards))))
    return {row.shard: PartnershipTerms(written_confirmation_hours=row.written_confirmation_hours) for row in rows}


def _write_clocks(
    rulebook: Rulebook, connection: Connection, tables: Tables, facts: Mapping[str, Sequence[Fact]], terms: PartnershipTerms | None
) -> None:
    """Write the instances of some cases of a shard, given with all their facts."""
    settled = [
        {"shard": known[0].shard, "case_id": case, "settled_from": max(fact.counts_from for fact in known)} for case, known in facts.items()
    ]
    insert_rows(connection, tables[CASES], settled)
    instances = [
        instance_row(instance)
        for known in facts.values()
        for instance in instances_of(known, rulebook.calendar, rulebook.rules, partnership=terms)
    ]
    insert_rows(connection, tables[INSTANCES], instances)


def _add_members(connection: Connection, tables: Tables, recorded: Recorded) -> None:
    """Add a list of members of a partnership, and set its terms; an event whose body is gone leaves both as they were."""
    event = recorded.event
    if not isinstance(event, PartnershipEstablished | MembershipChanged):
        return
    if isinstance(event, PartnershipEstablished):
        terms = {"shard": recorded.shard, "written_confirmation_hours": event.written_confirmation_hours}
        connection.execute(delete(tables[TERMS]).where(tables[TERMS].c.shard == recorded.shard))
        insert_rows(connection, tables[TERMS], [terms])
    table = tables[MEMBERS]
    corrected = None
    if recorded.corrects is not None:
        found = select(table.c.place).where(table.c.shard == recorded.shard, table.c.event_id == recorded.corrects.hex())
        corrected = connection.execute(found).scalars().first()
        if corrected is None and isinstance(event, MembershipChanged):  # of a change that cannot be read: there is nothing to put right
            return
    said = {
        "shard": recorded.shard,
        "position": recorded.position,
        "effective_on": event.effective_on if isinstance(event, MembershipChanged) else event.arrangements_start_on,
        "event_id": recorded.event_id.hex(),
        "place": recorded.position if corrected is None else corrected,
    }
    agencies = sorted({*event.partners, event.business_unit})
    insert_rows(connection, table, [{**said, "agency_id": one, "is_business_unit": one == event.business_unit} for one in agencies])


def _chunks(cases: Sequence[str]) -> Iterable[Sequence[str]]:
    """Cut a list of cases into what one query takes."""
    return (cases[start : start + _CASES_A_QUERY] for start in range(0, len(cases), _CASES_A_QUERY))


DEADLINES: Final = deadlines_view(bundled_rulebook())
"""The view with the clocks and the calendar that come with the hub."""
