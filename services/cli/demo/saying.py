"""What is said in a told case: who signs it, and what the hub is expected to make of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Final

from domain.calendar import add_working_days, bundled
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import LONDON, Details, Event, Purpose
from domain.kernel.ids import AgencyId, CaseId, Shard
from services.cli.synthetic.england import Area

_PURPOSES: Final = {
    "case": Purpose.SAFEGUARDING,
    "incident": Purpose.NOTIFICATION,
    "information": Purpose.RAPID_REVIEW,
    "rapid_review": Purpose.RAPID_REVIEW,
    "local_review": Purpose.LOCAL_REVIEW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The agencies of the told case, and their roles."""

    area: Area
    case_id: CaseId

    @property
    def shard(self) -> Shard:
        """The partnership."""
        return self.area.shard

    @property
    def school(self) -> AgencyId:
        """The child's school."""
        return AgencyId(f"agency-{self.area.council.removeprefix('la-')}-school")

    @property
    def youth_justice(self) -> AgencyId:
        """The youth justice service, which never knew the child."""
        return AgencyId(f"agency-{self.area.council.removeprefix('la-')}-youth-justice")

    @property
    def relevant(self) -> tuple[AgencyId, ...]:
        """The relevant agencies of the partnership."""
        return (self.school, self.youth_justice)

    @property
    def asked(self) -> tuple[AgencyId, ...]:
        """Everybody whose records are asked for."""
        return (*self.area.partners, *self.relevant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """One event that an agency signs. ``words`` say it to whoever watches the demo."""

    agency: AgencyId
    event: Event
    words: str = ""
    imported: bool = True
    refused_by: str = ""
    """The rule by which the hub is to refuse it; empty if it is to accept it."""
    finds: tuple[str, ...] = ()
    """The rules it is accepted to break."""
    mends: tuple[str, ...] = ()
    """The rules whose breach it mends."""
    replayed: bool = False
    """Sent again later, byte for byte: the hub answers with the original receipt."""

    @property
    def purpose(self) -> Purpose:
        """What the event is used for."""
        return _PURPOSES[self.event.EVENT_TYPE.partition(".")[0]]

    @property
    def role(self) -> str:
        """The role of whoever stands behind it."""
        return _ROLES[self.agency.partition("-")[0]]


_ROLES: Final = {
    "la": "head-of-safeguarding",
    "icb": "designated-professional",
    "police": "review-officer",
    "partnership": "business-manager",
    "agency": "designated-safeguarding-lead",
    PANEL_ID: "secretariat",
}


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """Return the instant of a London time of day."""
    return datetime.combine(day, time(hour, minute), tzinfo=LONDON).astimezone(UTC)


def working_day(day: date, after: int) -> date:
    """Return the working day that lies ``after`` working days behind a day, before it if negative."""
    return add_working_days(day, after, bundled())


def done(moment: datetime) -> Details:
    """Say that a step was done at a moment."""
    return Details(done_at=moment)
