from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.incident.codes import Recipient
from domain.kernel.agencies import PANEL_ID
from domain.local_review.events import CopyRecipient
from projections.chronology.national import goes_to_panel
from tests.support.builders import SCHOOL
from tests.support.samples import ALL_EVENT_TYPES, sample_event

ALWAYS = {
    "incident.notified.v1",
    "incident.child_added.v1",
    "incident.notification_amended.v1",
    "incident.reclassified.v1",
    "incident.notification_withdrawn.v1",
    "rapid_review.sent_to_panel.v1",
    "local_review.published.v1",
    "local_review.improvements_only_published.v1",
    "local_review.non_publication_justified.v1",
    "local_review.deposited_with_repository.v1",
}
WITH_THE_REVIEW = {
    "rapid_review.completed.v1",
    "rapid_review.decision_made.v1",
    "rapid_review.decision_reconsidered.v1",
    "rapid_review.immediate_learning_identified.v1",
}
IF_ADDRESSED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "incident.delay_explained.v1": ({"told": (Recipient.PANEL,)}, {"told": (Recipient.SECRETARY_OF_STATE,)}),
    "incident.looked_after_death_notified.v1": ({"told": (Recipient.OFSTED, Recipient.PANEL)}, {"told": ()}),
    "incident.care_leaver_death_notified.v1": ({"told": (Recipient.PANEL,)}, {"told": (Recipient.OFSTED,)}),
    "local_review.copy_provided.v1": ({"recipient": CopyRecipient.PANEL}, {"recipient": CopyRecipient.OFSTED}),
    "information.requested.v1": ({"recipient": PANEL_ID}, {"recipient": SCHOOL}),
}


def said_to_the_panel(*, review_sent: bool) -> set[str]:
    return {name for name in ALL_EVENT_TYPES if name not in IF_ADDRESSED and goes_to_panel(sample_event(name), review_sent=review_sent)}


def test_the_panel_reads_the_notification_and_what_is_public_or_justified_to_it() -> None:
    assert said_to_the_panel(review_sent=False) == ALWAYS


def test_the_panel_reads_a_rapid_review_from_the_moment_it_is_sent() -> None:
    assert said_to_the_panel(review_sent=True) == ALWAYS | WITH_THE_REVIEW


@pytest.mark.parametrize("event_type", sorted(IF_ADDRESSED))
def test_what_names_its_recipients_is_the_panels_if_it_is_among_them(event_type: str) -> None:
    to_the_panel, to_others = IF_ADDRESSED[event_type]
    event: Any = sample_event(event_type)
    found = [goes_to_panel(replace(event, **told), review_sent=True) for told in (to_the_panel, to_others)]
    assert found == [True, False]
