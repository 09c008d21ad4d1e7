"""The rules of a rapid review, each with its authority; breaches of the first group are refused, of the second accepted with a finding."""

from __future__ import annotations

from typing import Final

from domain.kernel.rules import Rule, rule

_CH4: Final = "Working Together 2018 ch. 4"
_S16E: Final = "Children Act 2004 s16E; Working Together 2018 ch. 3"
_HUB: Final = "the hub's own rule: what is on the log is corrected by saying so, never contradicted"

NOT_THE_PARTNERSHIP: Final = rule(
    "rapid_review.not_the_partnership", "Only the shard's business unit speaks for the partners jointly about their rapid review.", _S16E
)
LSCB_TIME: Final = rule(
    "rapid_review.lscb_time",
    "A predecessor board speaks of a rapid review only as imported history from before its partnership's arrangements began,"
    " and at the latest of 29 September 2020.",
    "Working Together: transitional guidance 2018",
)
SIGN_OFF_IS_THE_PARTNERS_OWN: Final = rule(
    "rapid_review.sign_off_is_the_partners_own",
    "A sign-off is given by a statutory partner listed for the shard, by its own key; nobody signs for another.",
    _S16E,
)
RETURN_IS_AN_AGENCYS_OWN: Final = rule(
    "rapid_review.return_is_an_agencys_own",
    "An agency's return is recorded by the business unit, or by that agency itself if it belongs to the partnership or was asked.",
    _CH4,
)
PANEL_ONLY: Final = rule(
    "rapid_review.panel_only", "Only the Panel says what the Panel thinks of a rapid review.", "Children Act 2004 s16A; " + _CH4
)
NEEDS_NOTIFICATION: Final = rule(
    "rapid_review.needs_notification",
    "A rapid review opens only for an incident of which the Panel was notified.",
    "Children Act 2004 s16C; " + _CH4,
)
NOTIFICATION_WITHDRAWN: Final = rule(
    "rapid_review.notification_withdrawn",
    "A withdrawn notification closes the rapid review: nothing more is said in it.",
    "Child Safeguarding Practice Review Panel practice guidance 2019; " + _CH4,
)
CARE_LEAVER_ONLY: Final = rule(
    "rapid_review.care_leaver_only", "No rapid review follows a notification of a care leaver's death alone.", "Working Together 2023"
)
NOT_OPEN: Final = rule("rapid_review.not_open", "No step of a rapid review comes before it is opened.", _CH4)
CONTRADICTION: Final = rule(
    "rapid_review.contradiction", "What can be said only once is not said again without correcting what was said before.", _HUB
)
CORRECTION: Final = rule(
    "rapid_review.correction", "A correction points at an earlier event of the same type, stream, agency and subject matter.", _HUB
)
IMPOSSIBLE_DAYS: Final = rule(
    "rapid_review.impossible_days",
    "Nobody meets about an incident, or is told what was decided of it, before it happened.",
    "Hub rule: what cannot be true",
)
NEEDS_MEETING: Final = rule("rapid_review.needs_meeting", "Minutes are of a meeting that was recorded.", _CH4)
NEEDS_LEARNING: Final = rule("rapid_review.needs_learning", "Only learning that was identified is disseminated.", _CH4)
NEEDS_METHOD: Final = rule("rapid_review.needs_method", "A recommendation of another type of review names its method.", _CH4)
NEEDS_REASON: Final = rule("rapid_review.needs_reason", 'A decision for "no local review" gives its reason.', _CH4)
NEEDS_DECISION: Final = rule(
    "rapid_review.needs_decision", "Only a decision that was made is reconsidered, or told to the chair and scrutineer.", _CH4
)
NEEDS_SENDING: Final = rule("rapid_review.needs_sending", "The Panel acknowledges and answers only a review that was sent to it.", _CH4)

SENT_WITHOUT_SIGN_OFF: Final = rule(
    "rapid_review.sent_without_sign_off",
    "The review went to the Panel before every statutory partner listed for the shard had signed it off.",
    _S16E,
    mend="the sign-off of each listed partner that has not given it",
)
SENT_UNDECIDED: Final = rule(
    "rapid_review.sent_undecided",
    "The Panel has the review while the partners have not decided whether to hold a local review.",
    _CH4 + " (the partners send their decision with the review)",
    mend="the partners' decision for or against a local review",
)
SENT_INCOMPLETE: Final = rule(
    "rapid_review.sent_incomplete",
    "The review went to the Panel before it was said to be complete.",
    _CH4,
    mend="the record of its completion",
)
ETHNICITY_NOT_CONSIDERED: Final = rule(
    "rapid_review.ethnicity_not_considered",
    "The review was completed or decided upon without the child's ethnicity, culture and identity having been considered.",
    "Panel annual report 2020",
    mend="the record of how ethnicity, culture and identity were considered",
)
OTHER_METHOD: Final = rule(
    "rapid_review.other_method",
    "Another type of review is recommended: some partnerships allow it, the Panel does not where new learning is sought.",
    "Panel annual report 2020 para 69; the procedures of partnerships differ",
    mend="a decision for a local review, another recommendation, or the Panel's agreement",
)

REFUSALS: Final = (
    NOT_THE_PARTNERSHIP,
    LSCB_TIME,
    SIGN_OFF_IS_THE_PARTNERS_OWN,
    RETURN_IS_AN_AGENCYS_OWN,
    PANEL_ONLY,
    NEEDS_NOTIFICATION,
    NOTIFICATION_WITHDRAWN,
    CARE_LEAVER_ONLY,
    NOT_OPEN,
    CONTRADICTION,
    CORRECTION,
    IMPOSSIBLE_DAYS,
    NEEDS_MEETING,
    NEEDS_LEARNING,
    NEEDS_METHOD,
    NEEDS_REASON,
    NEEDS_DECISION,
    NEEDS_SENDING,
)
FINDINGS: Final = (SENT_WITHOUT_SIGN_OFF, SENT_UNDECIDED, SENT_INCOMPLETE, ETHNICITY_NOT_CONSIDERED, OTHER_METHOD)
RULES: Final[tuple[Rule, ...]] = (*REFUSALS, *FINDINGS)
BY_ID: Final = {str(broken.id): broken for broken in FINDINGS}
