"""What each agency knew of the child in the told case. The child, the family and every event are invented."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from domain.kernel.events import Marking, Precision, When
from domain.kernel.ids import ChildId, RequestId
from domain.sharing.events import Caveat, Entry, Significance, Tone


@dataclass(slots=True)
class Accounts:
    """A child's life up to ``last_day``, as the records of five agencies tell it. ``ids`` mints the ids of entries."""

    child: ChildId
    age_years: int
    last_day: date
    ids: Random
    _numbers: dict[str, int] = field(default_factory=dict)

    def of_health(self) -> Iterator[Entry]:
        """Yield what the integrated care board gathered from the GP, health visiting and the hospital."""
        yield self._entry(
            "GP",
            self._year(0),
            "Born at term. The health visitor saw parent and baby at home within two weeks and had no worries.",
            childs_voice="Fed well, and settled when held.",
            tone=Tone.POSITIVE,
        )
        yield self._entry(
            "HV",
            self._year(3),
            "At the review at two and a half the child spoke less than expected. Speech therapy was offered; two visits were missed"
            " because letters went to a former address.",
            why_significant="Services worked from a stale address; nobody asked why nobody came.",
            impact_on_child="Help with talking began a year late.",
            tone=Tone.NEGATIVE,
        )
        yield self.hospital_visit(days_before=211)
        yield self._entry(
            "CAMHS",
            self._month(3),
            "A referral to mental health services was not accepted. The letter that said so suggested a youth service and lay unread"
            " at the surgery for five weeks.",
            why_significant="A closed door that no other agency knew was closed.",
            impact_on_child="Sleeping badly and afraid to go out, without anyone to turn to.",
            tone=Tone.NEGATIVE,
        )

    def hospital_visit(self, *, days_before: int) -> Entry:
        """Return the visit to the emergency department; its day was first given wrongly and is corrected later."""
        return self._entry(
            "ED",
            self._day(days_before),
            "Came to the emergency department with a deep cut to the hand. Left before the safeguarding nurse could be found.",
            why_significant="The third injury in a year, each treated at another site.",
            impact_on_child="In pain, and watching the door of the waiting room the whole time.",
            childs_voice='"I fell on glass. Can I go now?"',
            outcome="Sent to the GP as information; no referral was made.",
            tone=Tone.NEGATIVE,
        )

    def of_school(self) -> Iterator[Entry]:
        """Yield what the school recorded."""
        yield self._entry(
            "SCH",
            self._period(4, months=5),
            "Early help with parent, school and family worker. Attendance rose from 81 to 95 per cent.",
            why_significant="It shows what worked: one worker, known by name, who came to the door.",
            impact_on_child="Arrived with breakfast eaten and began to read for pleasure.",
            childs_voice='"I like it when Mum comes to see my work."',
            tone=Tone.POSITIVE,
        )
        yield self._entry(
            "SCH",
            self._month(14),
            "Twenty-two half days of absence in one term, after none the term before.",
            why_significant="The first visible change.",
            childs_voice='To the form tutor: "They wait for me at the bus stop."',
            outcome="A letter home; the reason was recorded as illness.",
            tone=Tone.NEGATIVE,
        )
        yield self._entry(
            "SCH",
            self._day(331),
            "A kitchen knife was found in the child's bag. Excluded for five days.",
            why_significant="Answered as a breach of rules, not as fear.",
            impact_on_child="Five days at home alone, seen by no professional.",
            childs_voice='"I only carry it for the walk. I give it back in the evening."',
            outcome="The police were told by telephone; the council was not.",
            tone=Tone.NEGATIVE,
        )
        yield self._entry(
            "SCH",
            self._month(4),
            "A mentor met the child every week. A move to another school was asked for and agreed in principle.",
            why_significant="A reachable moment: the child asked for a way out.",
            childs_voice='"I want to start again where no one knows me."',
            outcome="The place was not funded before the end of term.",
            tone=Tone.POSITIVE,
        )
        yield self._entry(
            "SCH",
            self._day(2),
            "In school all day. Gave back a library book that was not due yet.",
            why_significant="It was the last contact that any agency had.",
            childs_voice='"In case I forget."',
        )

    def of_police(self) -> Iterator[Entry]:
        """Yield what the police held, among it a piece of intelligence that is for the police alone."""
        yield self._entry(
            "POL",
            self._day(302),
            "Found at two in the morning in a house forty miles from home that was known for drugs, and taken home by officers.",
            why_significant="A child a long way from home at night is a child being used, until it is shown otherwise.",
            impact_on_child="Driven home in silence; nobody asked who had brought the child there.",
            outcome="The report reached the council nine days later.",
            tone=Tone.NEGATIVE,
        )
        yield self._entry(
            "POL",
            self._month(8),
            "Intelligence, not proven: an older group is said to make younger children carry packages for it.",
            why_significant="It was held by a team that does not meet the neighbourhood officers.",
            caveats=(Caveat.POLICE_INTELLIGENCE,),
            tone=Tone.NEGATIVE,
        )
        yield self._entry(
            "POL",
            self._day(44),
            "Reported missing for three nights. Came back unhurt.",
            why_significant="The fourth time in two months; each was closed by itself.",
            impact_on_child="Slept for a day and would not take the telephone out of the drawer.",
            outcome="The interview on return was offered by letter and did not take place.",
            tone=Tone.NEGATIVE,
        )

    def of_council(self) -> Iterator[Entry]:
        """Yield what children's social care recorded: an assessment's opinion, and a fact about somebody else."""
        yield self._entry(
            "CSC",
            self._year(5),
            "A neighbour was worried about a child playing outside late in the evening. Recorded as information; no referral.",
            significance=Significance.ROUTINE,
        )
        yield self.opinion()
        yield self._entry(
            "CSC",
            self._month(5),
            "An adult of the household said that debts to people outside had been settled by others and that they could not say how.",
            why_significant="It explains who held power over the family.",
            third_party=True,
            tone=Tone.NEGATIVE,
        )
        yield self._entry(
            "CSC",
            self._day(23),
            "A strategy discussion was planned. It was put off twice because one agency could not attend.",
            why_significant="Every agency held a part; no meeting saw the whole.",
            impact_on_child="Nothing changed for the child in these three weeks.",
            outcome="A new day was set, two days after the incident.",
            tone=Tone.NEGATIVE,
        )

    def opinion(self) -> Entry:
        """Return the professional opinion that the school disputes."""
        return self._entry(
            "CSC",
            self._month(6),
            "The assessment held that the child was making lifestyle choices and that the family was reluctant to engage.",
            why_significant="The plan was built on it: six visits, of which the child was seen at one.",
            outcome="Child in need plan, closed after four months.",
            opinion=True,
            tone=Tone.NEGATIVE,
        )

    def _entry(
        self,
        record: str,
        occurred: When,
        fact: str,
        *,
        why_significant: str | None = None,
        impact_on_child: str | None = None,
        childs_voice: str | None = None,
        outcome: str | None = None,
        significance: Significance = Significance.SIGNIFICANT,
        tone: Tone = Tone.NEUTRAL,
        opinion: bool = False,
        third_party: bool = False,
        caveats: tuple[Caveat, ...] = (),
    ) -> Entry:
        number = self._numbers[record] = self._numbers.get(record, 0) + 1
        return Entry(
            entry_id=minted(self.ids),
            occurred=occurred,
            record_reference=f"{record}-{number:03d} (synthetic)",
            fact=fact,
            significance=significance,
            why_significant=why_significant,
            impact_on_child=impact_on_child,
            childs_voice=childs_voice,
            outcome=outcome,
            opinion=opinion,
            third_party=third_party,
            tone=tone,
            children=(self.child,),
            marking=Marking.OFFICIAL_SENSITIVE,
            caveats=caveats,
        )

    def _day(self, before: int) -> When:
        return When(precision=Precision.DAY, on=self.last_day - timedelta(days=before))

    def _month(self, before: int) -> When:
        return When(precision=Precision.MONTH, on=first_of_month(self.last_day, before))

    def _year(self, age: int) -> When:
        # Who is 15 in January was, more likely than not, born 16 calendar years before.
        return When(precision=Precision.YEAR, on=date(self.last_day.year - self.age_years - 1 + age, 1, 1))

    def _period(self, years_before: int, *, months: int) -> When:
        first = first_of_month(self.last_day, 12 * years_before)
        return When(precision=Precision.PERIOD, on=first, until_on=first_of_month(first, -months) - timedelta(days=1))


def first_of_month(day: date, before: int) -> date:
    """Return the first day of the month that lies ``before`` months before that of ``day``."""
    months = day.year * 12 + day.month - 1 - before
    return date(months // 12, months % 12 + 1, 1)


def minted(ids: Random) -> RequestId:
    """Return a new id of an entry, a request or another thing."""
    return RequestId(str(uuid.UUID(int=ids.getrandbits(128), version=4)))
