"""The rules of a local review, each with its authority; breaches of the first group are refused, of the second accepted with a finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.kernel.rules import Rule, rule

_CH4: Final = "Working Together 2018 ch. 4"
_S16F: Final = "Children Act 2004 s16F"
_SI: Final = "SI 2018/789"
_HUB: Final = "the hub's own rule: what is on the log is corrected by saying so, never contradicted"

NOT_THE_PARTNERSHIP: Final = rule(
    "local_review.not_the_partnership",
    "Only the shard's business unit speaks for the partners jointly about their local review.",
    _S16F + "; Children Act 2004 s16E",
)
NOT_A_RECORDER_OF_COMMENTS: Final = rule(
    "local_review.not_a_recorder_of_comments",
    "What the Panel, the Secretary of State or Ofsted says of a report is recorded by the Panel or the business unit.",
    _S16F,
)
NEEDS_DECISION: Final = rule(
    "local_review.needs_decision", "A local review begins only when the partners' newest decision is to hold one.", _S16F + "; " + _CH4
)
NOTIFICATION_WITHDRAWN: Final = rule(
    "local_review.notification_withdrawn", "No local review begins of an incident whose notification was withdrawn.", _S16F + "; " + _CH4
)
NOT_INITIATED: Final = rule("local_review.not_initiated", "No step of a local review comes before it is initiated.", _S16F)
FINISHED: Final = rule(
    "local_review.finished", "The work on a report ends when it is published, or complete and its non-publication justified.", _CH4
)
CONTRADICTION: Final = rule(
    "local_review.contradiction", "What can be said only once is not said again without correcting what was said before.", _HUB
)
CORRECTION: Final = rule(
    "local_review.correction", "A correction points at an earlier event of the same type, stream, agency and subject matter.", _HUB
)
IMPOSSIBLE_DAYS: Final = rule(
    "local_review.impossible_days",
    "No local review is decided before its incident happened, and no publication is planned for a day before that decision.",
    "Hub rule: what cannot be true",
)
NEEDS_REVIEWER: Final = rule("local_review.needs_reviewer", "Only a reviewer who was appointed is removed or has a conflict.", _SI)
NEEDS_DRAFT: Final = rule("local_review.needs_draft", "A comment is on a draft or on the report.", _S16F)
NEEDS_REPORT: Final = rule(
    "local_review.needs_report",
    "A report is complete before it is approved as anonymous, copied, or published in whole or as information about improvements.",
    _S16F + "; " + _CH4,
    mend="the completed report",
)
NEEDS_COMMENT: Final = rule("local_review.needs_comment", "Regard is had to a comment that was received.", _S16F)
NEEDS_SCHEDULE: Final = rule("local_review.needs_schedule", "Only a publication that is planned is moved to another day.", _CH4)
NEEDS_DECLINING: Final = rule(
    "local_review.needs_declining", "Non-publication is justified once the partners have declined to publish.", _S16F + "; " + _CH4
)
NEEDS_PUBLICATION: Final = rule(
    "local_review.needs_publication", "Only what is public is taken out of public view, and only a public report is deposited.", _CH4
)

NO_REVIEWER: Final = rule(
    "local_review.no_reviewer",
    "The report was written although no reviewer was appointed.",
    _S16F + "; " + _SI,
    mend="the reviewer's appointment",
)
CONFLICTED_REVIEWER: Final = rule(
    "local_review.conflicted_reviewer",
    "Work went on with a reviewer who has declared a conflict of interest.",
    _SI + "; " + _CH4,
    mend="the removal of every reviewer with a conflict",
)
NOT_ANONYMISED: Final = rule(
    "local_review.not_anonymised",
    "It was published without a named role having approved that nobody can be recognised in the report as it stands.",
    _CH4,
    mend="the approval of the report's anonymisation, or taking it out of public view",
)
COPIES_MISSING: Final = rule(
    "local_review.copies_missing",
    "It was published without copies having gone to the Panel and the Secretary of State (the full report) and to Ofsted.",
    _SI + "; " + _CH4,
    mend="a copy to each recipient that has none",
)
COPIES_LATE: Final = rule(
    "local_review.copies_late",
    "A copy went to the Panel, the Secretary of State or Ofsted less than seven working days before the day of publication.",
    _SI + "; " + _CH4,
    mend="before publication a later day; after it, of imported history, a correction of what bears the wrong day",
)
LIVE_PROCEEDING: Final = rule(
    "local_review.live_proceeding",
    "It was published while a proceeding that restrains publication was live and no clearance was recorded.",
    _CH4 + "; Contempt of Court Act 1981 s2",
    mend="the recorded clearance or end of the proceeding, then a correction of the publication that refers to it;"
    " or taking it out of public view",
)

REFUSALS: Final = (
    NOT_THE_PARTNERSHIP,
    NOT_A_RECORDER_OF_COMMENTS,
    NEEDS_DECISION,
    NOTIFICATION_WITHDRAWN,
    NOT_INITIATED,
    FINISHED,
    CONTRADICTION,
    CORRECTION,
    IMPOSSIBLE_DAYS,
    NEEDS_REVIEWER,
    NEEDS_DRAFT,
    NEEDS_REPORT,
    NEEDS_COMMENT,
    NEEDS_SCHEDULE,
    NEEDS_DECLINING,
    NEEDS_PUBLICATION,
)
FINDINGS: Final = (NO_REVIEWER, CONFLICTED_REVIEWER, NOT_ANONYMISED, COPIES_MISSING, COPIES_LATE, LIVE_PROCEEDING)
RULES: Final[tuple[Rule, ...]] = (*REFUSALS, *FINDINGS)
BY_ID: Final = {str(broken.id): broken for broken in FINDINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prerequisite:
    """What stands before a planned publication: the rule that it would break, and in words what is so now and what would clear it."""

    rule: Rule
    words: str
    mend: str


PREREQUISITES: Final = {
    one.rule: one
    for one in (
        Prerequisite(rule=NEEDS_REPORT, words="The report is not complete.", mend="the completed report"),
        Prerequisite(
            rule=CONFLICTED_REVIEWER,
            words="A reviewer who has declared a conflict of interest is at work.",
            mend="the removal of every reviewer with a conflict",
        ),
        Prerequisite(
            rule=NOT_ANONYMISED,
            words="No named role has approved that nobody can be recognised in the report as it stands.",
            mend="the approval of the report's anonymisation",
        ),
        Prerequisite(
            rule=COPIES_MISSING,
            words="The Panel, the Secretary of State and Ofsted have not each had a copy (of a report, the first two the full report).",
            mend="a copy to each recipient that has none, no later than seven working days before the day of publication",
        ),
        Prerequisite(
            rule=COPIES_LATE,
            words="A copy went to the Panel, the Secretary of State or Ofsted less than seven working days before the planned day.",
            mend="a later day of publication",
        ),
        Prerequisite(
            rule=LIVE_PROCEEDING,
            words="A proceeding that restrains publication is live and no clearance is recorded.",
            mend="the recorded clearance or end of the proceeding",
        ),
    )
}
"""By rule. The rules themselves speak of what was published; this is before it."""
