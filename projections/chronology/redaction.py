"""What a viewer may see of a story: judged when read, by today's handling, also for a past moment.

A line is shown whole, shown as existing only (place, moment and source remain), or not shown at all:

* not at all: an entry restricted to agencies that the viewer is not among; a RESTRICTED line, or note on a line, to one only linked;
  police intelligence to all but police, and adoption (the new identity is never linked to the old), save to their author and to
  agencies that a restriction names; what is not for the family, in what goes to the family; everything local, to the Panel, save
  what was sent to it.
* nor is any line of a sharing stream that the view could not read to its end, to any but the line's author: what restricts it may be
  in what is missing. (Restrictions of the whole case take effect all the same: see ``projection.pass_over``.)
* existence only: what is legally privileged, to all but its author; third-party and sub judice matters, outside the statutory
  partners and business unit; a safe address, to everyone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final

from domain.kernel.agencies import PANEL_ID, AgencyKind
from domain.kernel.events import Marking
from domain.kernel.ids import category_of
from domain.sharing.events import Caveat
from projections.chronology.access import Standing
from projections.chronology.projection import Kind
from projections.chronology.story import Line, Note

SHARING: Final = "sharing"
NATIONAL_CATEGORIES: Final = frozenset({"incident", "rapid_review", "local_review"})
"""Streams whose milestones the Panel sees of every case; what agencies tell each other (``sharing``) is local."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who reads, in what capacity; ``for_family``: what is read goes to the family, who never read themselves."""

    agency_id: str
    kind: AgencyKind
    standing: Standing
    for_family: bool = False


def redact(lines: Iterable[Line], viewer: Viewer, parked: Collection[str] = ()) -> tuple[Line, ...]:
    """Return what the viewer may see, in the same order; ``parked``: the streams that the view could not read to their end."""
    shown = (_shown(line, viewer) for line in lines if not _is_in_doubt(line, viewer, parked))
    return tuple(line for line in shown if line is not None)


def _is_in_doubt(line: Line, viewer: Viewer, parked: Collection[str]) -> bool:
    """Tell whether a later event that the view lacks may have closed the line to the viewer."""
    own = line.agency_id == viewer.agency_id and not viewer.for_family
    return line.stream in parked and category_of(line.stream) == SHARING and not own


def _shown(line: Line, viewer: Viewer) -> Line | None:
    """Return a line as the viewer may see it, None if not at all."""
    own = line.agency_id == viewer.agency_id
    if _is_hidden(line, viewer, own=own and not viewer.for_family):
        return None
    reason = _withheld(line, viewer, own=own and not viewer.for_family)
    if reason is not None:
        return _existence(line, reason)
    if viewer.standing is not Standing.LINKED:
        return line
    notes = tuple(note for note in line.notes if _is_note_for(note, line, viewer))
    if own:
        return replace(line, notes=notes)
    return replace(line, findings=(), notes=tuple(replace(note, findings=()) for note in notes))


def _is_note_for(note: Note, line: Line, viewer: Viewer) -> bool:
    """Tell whether a dispute or question is for an agency that is only linked, as a line of its marking would be."""
    return note.marking is not Marking.RESTRICTED or viewer.agency_id in {note.agency_id, *line.handling.trusted}


def _is_hidden(line: Line, viewer: Viewer, *, own: bool) -> bool:
    """Tell whether the viewer must not even see that the line exists."""
    handling = line.handling
    if handling.named is not None and viewer.agency_id not in handling.named:
        return True
    if viewer.for_family and Caveat.NOT_FOR_FAMILY in handling.caveats:
        return True
    if viewer.standing is Standing.PANEL and not own and not _is_the_panels(line):
        return True
    if own or (viewer.agency_id in handling.trusted and not viewer.for_family):
        return False
    return (
        (handling.marking is Marking.RESTRICTED and viewer.standing is Standing.LINKED)
        or (Caveat.POLICE_INTELLIGENCE in handling.caveats and viewer.kind is not AgencyKind.POLICE)
        or Caveat.ADOPTION in handling.caveats
    )


def _is_the_panels(line: Line) -> bool:
    """Tell whether a line is of the national fields, or was sent to the Panel."""
    is_national = line.kind is not Kind.ENTRY and category_of(line.stream) in NATIONAL_CATEGORIES
    return is_national or line.handling.sent_to == PANEL_ID


def _withheld(line: Line, viewer: Viewer, *, own: bool) -> str | None:
    """Return why only the line's existence may be shown, None if all of it may."""
    caveats = line.handling.caveats
    inside = own or (viewer.standing is Standing.PARTNER and not viewer.for_family)
    if Caveat.SAFE_ADDRESS in caveats:
        return "safe address"
    if Caveat.LEGALLY_PRIVILEGED in caveats and not own:
        return "legally privileged"
    if (line.handling.third_party or Caveat.THIRD_PARTY in caveats) and not inside:
        return "third party"
    if Caveat.SUB_JUDICE in caveats and not inside:
        return "sub judice"
    return None


def _existence(line: Line, reason: str) -> Line:
    """Return a line of which place, moment and source are all that is left."""
    return replace(line, headline="", account=None, children=(), notes=(), findings=(), correction_reason=None, withheld=reason)
