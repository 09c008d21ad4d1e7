"""The rules of sharing information, each with its authority."""

from __future__ import annotations

from typing import Final

from domain.kernel.rules import Rule, rule

_POWERS: Final = "Children Act 2004 ss16D, 16H"
_ACTORS: Final = "Hub rule: who may say what"
_REFERENCE: Final = "Hub rule: no reference to nothing"
_LOG: Final = "Hub rule: nothing is edited or deleted"
_CALDICOTT: Final = "Caldicott principles (National Data Guardian, 2020)"

NO_PARTNERSHIP: Final = rule(
    "sharing.no_partnership", "A case belongs to the partnership of its shard, which is established first.", _ACTORS
)
UNKNOWN_CASE: Final = rule("sharing.unknown_case", "Information is shared about a case that has begun.", _REFERENCE)
SENDER: Final = rule(
    "sharing.sender",
    "Only an agency of the shard's partnership, or one that the case names or asks, shares in it; the Panel once it was notified.",
    "Children Act 2004 ss16E-16H",
)
CASE_ENDED: Final = rule(
    "sharing.case_ended", "Nothing new is asked in a case withdrawn or closed.", "Children Act 2004 s16H(1): for its purpose only"
)
GATE: Final = rule(
    "sharing.gate",
    "The Panel asks under s16D, a safeguarding partner or its business unit under s16H, anybody else without a power.",
    _POWERS,
)
UNKNOWN_RECIPIENT: Final = rule(
    "sharing.unknown_recipient",
    "Another agency is asked: one of the partnership, or one that the case names.",
    _POWERS,
)
DUE: Final = rule("sharing.due", "An answer is due on or after the day it is asked for.", "Hub rule: clock K17")
DUPLICATE_REQUEST: Final = rule("sharing.duplicate_request", "Each request has its own id.", "Hub rule: ids are unique")
UNKNOWN_REQUEST: Final = rule("sharing.unknown_request", "No such request was made.", _REFERENCE)
RECIPIENT: Final = rule("sharing.recipient", "Only the agency that was asked answers.", _POWERS)
ANSWERED: Final = rule(
    "sharing.answered",
    "A request is answered once; what was partly shared or refused may still be shared.",
    _POWERS,
)
ANSWERED_BEFORE: Final = rule("sharing.answered_before", "No request is answered on a day before it was made.", "Hub rule: clock K17")
NOT_REFUSED: Final = rule(
    "sharing.not_refused", "Enforcement is considered of a request that was refused.", "Children Act 2004 ss16D(4), 16H(4)"
)
ENFORCER: Final = rule(
    "sharing.enforcer",
    "Whoever has the power of the request considers its enforcement: the Panel (s16D), the safeguarding partners (s16H).",
    "Children Act 2004 ss16D(4), 16H(4)",
)
PANEL_ASKS: Final = rule("sharing.panel_asks", "The Panel asks; it holds no records of its own to share.", _ACTORS)
NO_ENTRIES: Final = rule("sharing.no_entries", "Information shared has at least one entry; to hold nothing is a nil return.", _POWERS)
DUPLICATE_ENTRY: Final = rule("sharing.duplicate_entry", "Each entry has its own id.", "Hub rule: ids are unique")
UNKNOWN_CHILD: Final = rule("sharing.unknown_child", "The case does not know this child.", _REFERENCE)
UNKNOWN_ENTRY: Final = rule("sharing.unknown_entry", "No such entry was shared.", _REFERENCE)
AUTHOR: Final = rule("sharing.author", "Only the author of an entry corrects it or lets it go on.", "UK GDPR article 5(1)(d)")
OWN_ENTRY: Final = rule("sharing.own_entry", "An agency questions the entries of others; its own it corrects.", _ACTORS)
REPLACEMENT: Final = rule("sharing.replacement", "An entry is replaced by one with its id.", _LOG)
FAMILY_TOLD: Final = rule(
    "sharing.family_told",
    "If the family was not told, the reason is given; if it was, there is none.",
    f"{_CALDICOTT} 8: inform expectations",
)
CAVEATS: Final = rule(
    "sharing.caveats",
    "What is about a third party or has a caveat is at least OFFICIAL-SENSITIVE.",
    "Government security classifications; " + _CALDICOTT,
)
MARKING_RAISED: Final = rule(
    "sharing.marking_raised",
    "A marking is only raised, and the agencies that may read only narrowed.",
    "Government security classifications; " + _CALDICOTT,
)
RESTRICTER: Final = rule(
    "sharing.restricter",
    "An entry is restricted by its author, a safeguarding partner or the business unit; a whole case by the last two.",
    _ACTORS,
)
NAMED: Final = rule("sharing.named", "A restriction names the agencies that still read, each once, and among them its own.", _ACTORS)
DUPLICATE_FLAG: Final = rule("sharing.duplicate_flag", "Each warning has its own id.", "Hub rule: ids are unique")
UNKNOWN_FLAG: Final = rule("sharing.unknown_flag", "No such warning was raised.", _REFERENCE)
FLAG_CLEARED: Final = rule("sharing.flag_cleared", "The warning was cleared already.", _LOG)
FLAG_CLEARER: Final = rule(
    "sharing.flag_clearer", "Whoever raised a warning clears it, or a safeguarding partner or the business unit.", _ACTORS
)
FLAG_CHILDREN: Final = rule("sharing.flag_children", "A warning names the children at risk.", _ACTORS)
FLAG_UNTIL: Final = rule("sharing.flag_until", "A warning stands at least on the day it is raised.", "Hub rule: what cannot be true")
CONTRADICTION: Final = rule("sharing.contradiction", "This was said before, or the contrary was: say which event it corrects.", _LOG)
CORRECTION: Final = rule(
    "sharing.correction",
    "A correction points at an earlier event of the same type, stream and agency, about the same thing.",
    _LOG,
)

RULES: Final[tuple[Rule, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
"""Every rule above, in its order."""
