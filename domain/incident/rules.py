"""The rules of an incident, each with its authority."""

from __future__ import annotations

from typing import Final

from domain.kernel.rules import Rule, rule

_S16C: Final = "Children Act 2004 s16C(1)"
_ACTORS: Final = "Hub rule: who may say what"
_LOG: Final = "Hub rule: nothing is edited or deleted"

NO_PARTNERSHIP: Final = rule(
    "incident.no_partnership", "A case belongs to the partnership of its shard, which is established first.", _ACTORS
)
MEMBER: Final = rule(
    "incident.member",
    "Only an agency of the shard's partnership speaks in a case, or another council once the case has begun here.",
    "Children Act 2004 ss16E-16G",
)
COUNCIL: Final = rule("incident.council", "Only a council says this.", _S16C)
LEAD: Final = rule(
    "incident.lead",
    "Only a safeguarding partner, its business unit or the notifying council says this.",
    "Children Act 2004 ss16E-16F",
)
NOTIFIER: Final = rule("incident.notifier", "Only a local authority notifies the Panel.", _S16C)
AUTHORITY: Final = rule(
    "incident.authority",
    "The council in whose area it happened notifies; outside England, the one where the child normally lives.",
    _S16C,
)
NOTIFIED_ELSEWHERE: Final = rule(
    "incident.notified_elsewhere",
    "By the amended notification another council owed it, and was not told of the incident.",
    _S16C,
    mend="Tell that council, or amend the notification again.",
)
NOTIFYING_COUNCIL: Final = rule("incident.notifying_council", "Only the council that notified may add to, amend or withdraw it.", _S16C)
REFERRER: Final = rule("incident.referrer", "A referral is confirmed in writing by the agency that made it.", "Local procedure, clock K9")
DISSENTER: Final = rule(
    "incident.dissenter",
    "A safeguarding partner dissents, from another's judgement and with another outcome.",
    "Working Together 2018 ch. 4",
)
STATE: Final = rule("incident.state", "The case is not at a stage where this can happen.", "Working Together 2018 ch. 4")
SECOND_NOTIFICATION: Final = rule(
    "incident.second_notification",
    "A case is notified once: amend the notification, or begin another case and link the two.",
    _S16C,
)
AWARENESS_NEEDED: Final = rule(
    "incident.awareness_needed",
    "A notification says when the council came to know, unless a council's awareness was recorded before.",
    "Working Together 2018 ch. 4 (five working days of becoming aware)",
)
CRITERIA_NEEDED: Final = rule(
    "incident.criteria_needed",
    "A notification says how the criteria were judged, unless a council's judgement was recorded before.",
    _S16C,
)
LIMB: Final = rule("incident.limb", "Criteria that are met name the limb they are met by; criteria that are not met name none.", _S16C)
RATIONALE: Final = rule("incident.rationale", "The reason is given in words.", "Working Together 2018 ch. 4")
CRITERIA_NOT_MET: Final = rule(
    "incident.criteria_not_met",
    "The Panel was notified although the council judged the criteria not met.",
    _S16C,
    mend="Judge the criteria met, or withdraw the notification.",
)
NOT_A_COUNCIL: Final = rule("incident.not_a_council", "The authority of incident, of residence or of another area is a council.", _S16C)
INDEX_CHILD: Final = rule(
    "incident.index_child",
    "A notification names at least one child and, of several, exactly one index child.",
    "Panel annual report 2020, tables 2-5",
)
DUPLICATE_CHILD: Final = rule("incident.duplicate_child", "Each child is named once.", "Hub rule: ids are unique")
UNKNOWN_CHILD: Final = rule("incident.unknown_child", "The case does not know this child.", "Hub rule: no reference to nothing")
CATEGORY: Final = rule(
    "incident.category",
    "The index child of a death has a category of death; of harm or another matter a category of harm, and no child one of death.",
    "Panel annual report 2020, tables 2 and 3",
)
OTHER_DEATH_KIND: Final = rule(
    "incident.other_death_kind",
    "Only another maltreatment-related death has a further kind.",
    "Panel annual report 2020, table 2",
)
AGE: Final = rule(
    "incident.age",
    "A child's age or date of birth is given, both agree on the day of the incident, and it is under 18, or a care leaver up to 24.",
    "Children Act 2004 s65(1); Working Together 2023",
)
CARE_LEAVER_ONLY: Final = rule(
    "incident.care_leaver_only",
    "A care-leaver-only notification is of a death, and every child in it is a care leaver aged 16 to 24.",
    "Working Together 2023 ch. 5",
)
DEPRIVATION_FIFTH: Final = rule("incident.deprivation_fifth", "A deprivation fifth is 1 to 5.", "Index of multiple deprivation")
IMPOSSIBLE_TIMES: Final = rule(
    "incident.impossible_times",
    "Nobody knows of an incident before it happened, notifies it before knowing, or confirms a referral before making it.",
    "Hub rule: what cannot be true",
)
OCCURRENCE_REASON: Final = rule(
    "incident.occurrence_reason",
    "When it happened is changed with a reason for that change, and only then is one given.",
    "Hub rule: an amendment never changes occurrence silently",
)
NOTIFIED_AT: Final = rule(
    "incident.notified_at",
    "Only an imported notification's instant is corrected, to one before the council's live day: a live one counts when recorded.",
    "Hub rule: nobody meets a date by backdating",
)
CHANGES_NOTHING: Final = rule("incident.changes_nothing", "This says nothing that was not said before.", _LOG)
SAME_TYPE: Final = rule("incident.same_type", "A reclassification changes the type of the notification.", _S16C)
CONTRADICTION: Final = rule("incident.contradiction", "This was said before, or the contrary was: say which event it corrects.", _LOG)
CORRECTION: Final = rule(
    "incident.correction",
    "A correction points at an earlier event of the same type, stream and agency, about the same thing.",
    _LOG,
)
UNKNOWN_AGENCY: Final = rule(
    "incident.unknown_agency", "Those informed are other agencies of the partnership.", "Working Together 2018 ch. 4"
)
PARTNERS_UNTOLD: Final = rule(
    "incident.partners_untold",
    "Some of the safeguarding partners were told of the incident, and another was not.",
    "Working Together 2018 ch. 4 and 2023 ch. 5",
    mend="Tell every safeguarding partner of the shard, or its business unit.",
)
NOT_A_DEATH: Final = rule(
    "incident.not_a_death", "The case says that this child did not die: reclassify it first.", "Hub rule: what cannot be true"
)
CARE_LEAVER_AGE: Final = rule("incident.care_leaver_age", "A care leaver is 16 to 24 years old.", "Working Together 2023 ch. 5")
CARE_STATUS: Final = rule(
    "incident.care_status",
    "The case says otherwise whether this child was looked after or a care leaver: amend it first.",
    "Children Act 1989 ss22, 23A-24",
)
DEATH_UNTOLD: Final = rule(
    "incident.death_untold",
    "The death of a looked-after child or care leaver was not told to both the Secretary of State and Ofsted.",
    "Children Act 2004 s16C; Working Together 2023 ch. 5",
    mend="Tell the one who was not told.",
)
UNKNOWN_CLOCK: Final = rule("incident.unknown_clock", "A delay names a clock from K1 to K19 (K5A or K5B).", "Hub rule: clocks")
DELAY_UNTOLD: Final = rule(
    "incident.delay_untold",
    "A delay of publication, to the day last expected, was explained without giving the reasons to both the Panel and the Secretary"
    " of State.",
    "Working Together 2018 ch. 4 (publication within six months, or reasons to the Panel and Secretary of State)",
    mend="Explain the delay of publication to both.",
)
DUPLICATE_PROCEEDING: Final = rule("incident.duplicate_proceeding", "Each proceeding is opened once.", "Hub rule: ids are unique")
UNKNOWN_PROCEEDING: Final = rule("incident.unknown_proceeding", "No such proceeding was opened.", "Hub rule: no reference to nothing")
PROCEEDING_ENDED: Final = rule("incident.proceeding_ended", "The proceeding has ended.", "Hub rule: what cannot be true")
CLOSE_REASON: Final = rule(
    "incident.close_reason",
    "The reason for closing fits: a review needs a standing notification, unmet criteria that there is none, another reason its words.",
    "Working Together 2018 ch. 4",
)
DUPLICATE_LINK: Final = rule("incident.duplicate_link", "A case is linked to another case, by its id.", "Hub rule: no reference to nothing")

RULES: Final[tuple[Rule, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
"""Every rule above, in its order."""
