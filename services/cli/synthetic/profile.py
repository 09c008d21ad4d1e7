"""How many of each kind a population holds: read from a published report, or drawn in its proportions for any size."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from domain.incident.codes import Characteristic, DeathCategory, Ethnicity, Gender, HarmCategory, NotificationType, OtherDeathKind

_DEATHS: Final = {
    "Overt filicide": DeathCategory.OVERT_FILICIDE,
    "Covert filicide": DeathCategory.COVERT_FILICIDE,
    "Fatal physical abuse": DeathCategory.FATAL_PHYSICAL_ABUSE,
    "Severe, persistent child cruelty": DeathCategory.SEVERE_PERSISTENT_CRUELTY,
    "Extreme neglect/deprivational abuse": DeathCategory.EXTREME_NEGLECT,
    "Extra-familial child homicide": DeathCategory.EXTRA_FAMILIAL_HOMICIDE,
    "Extra-familial fatal assaults": DeathCategory.EXTRA_FAMILIAL_FATAL_ASSAULT,
    "Sudden Unexpected Death in Infancy (SUDI)": DeathCategory.SUDI,
    "Suicide": DeathCategory.SUICIDE,
    "Other deaths related to maltreatment, of which:": DeathCategory.OTHER_MALTREATMENT_RELATED,
    "Not maltreatment related": DeathCategory.NOT_MALTREATMENT_RELATED,
    "Not clear": DeathCategory.NOT_CLEAR,
}
_OTHER_DEATHS: Final = {
    "Accident": OtherDeathKind.ACCIDENT,
    "Medical": OtherDeathKind.MEDICAL,
    "Risk-taking behaviour": OtherDeathKind.RISK_TAKING,
    "Poisoning": OtherDeathKind.POISONING,
    "Other": OtherDeathKind.OTHER,
}
_HARMS: Final = {
    "Non-fatal physical abuse": HarmCategory.PHYSICAL_ABUSE,
    "Non-fatal neglect": HarmCategory.NEGLECT,
    "Emotional abuse": HarmCategory.EMOTIONAL_ABUSE,
    "Child sexual abuse – intra-familial": HarmCategory.SEXUAL_ABUSE_INTRA_FAMILIAL,  # noqa: RUF001  # as printed
    "Child sexual abuse – extra-familial": HarmCategory.SEXUAL_ABUSE_EXTRA_FAMILIAL,  # noqa: RUF001  # as printed
    "Child sexual exploitation": HarmCategory.SEXUAL_EXPLOITATION,
    "Criminal exploitation": HarmCategory.CRIMINAL_EXPLOITATION,
    "Young person perpetrator": HarmCategory.YOUNG_PERSON_PERPETRATOR,
    "Other risk taking/violent behaviour": HarmCategory.RISK_TAKING_OR_VIOLENT,
    "Other non-fatal incidents": HarmCategory.OTHER,
}
_OTHER_NOTIFICATIONS: Final = {
    "young_person_perpetrator": HarmCategory.YOUNG_PERSON_PERPETRATOR,
    "criminal_exploitation": HarmCategory.CRIMINAL_EXPLOITATION,
    "risk_taking_or_violent_behaviour": HarmCategory.RISK_TAKING_OR_VIOLENT,
}
_TRAITS: Final = {
    "Parental alcohol misuse": Characteristic.PARENTAL_ALCOHOL_MISUSE,
    "Parental drug misuse": Characteristic.PARENTAL_DRUG_MISUSE,
    "Parental adverse childhood experiences": Characteristic.PARENTAL_ADVERSE_CHILDHOOD,
    "Parent care leaver": Characteristic.PARENT_CARE_LEAVER,
    "Parental criminal record": Characteristic.PARENTAL_CRIMINAL_RECORD,
    "Parental mental ill-health": Characteristic.PARENTAL_MENTAL_ILL_HEALTH,
    "Parental learning difficulty": Characteristic.PARENTAL_LEARNING_DIFFICULTY,
    "Parental separation": Characteristic.PARENTAL_SEPARATION,
    "Domestic abuse": Characteristic.DOMESTIC_ABUSE,
    "Elective home education": Characteristic.ELECTIVE_HOME_EDUCATION,
    "Disability": Characteristic.DISABILITY,
    "Mental ill-health of child": Characteristic.CHILD_MENTAL_ILL_HEALTH,
}
_GROUPS: Final = {
    "Asian or Asian British": (Ethnicity.PAKISTANI, Ethnicity.INDIAN, Ethnicity.BANGLADESHI, Ethnicity.ASIAN_OTHER),
    "Black or Black British": (Ethnicity.BLACK_AFRICAN, Ethnicity.BLACK_CARIBBEAN, Ethnicity.BLACK_OTHER),
    "Mixed": (Ethnicity.MIXED_WHITE_AND_BLACK_CARIBBEAN, Ethnicity.MIXED_WHITE_AND_ASIAN, Ethnicity.MIXED_OTHER),
    "White British": (Ethnicity.WHITE_BRITISH,),
    "Any other ethnic group": (Ethnicity.OTHER, Ethnicity.ARAB),
    "Not recorded": (Ethnicity.NOT_RECORDED,),
}
_TYPE_COLUMNS: Final = {
    NotificationType.DEATH: "death",
    NotificationType.SERIOUS_HARM: "serious_harm",
    NotificationType.OTHER: "other",
}
K = TypeVar("K")
Kind = tuple[NotificationType, DeathCategory | None, OtherDeathKind | None, HarmCategory | None]
"""What an incident is: its notification type and the category that goes with it."""

BANDS: Final = {"1-15": (1, 15), "16-25": (16, 25), "26-59": (26, 59), "60+": (60, 75)}
"""Working days from notification to receipt: any day of a band may be drawn, of the last one up to 75."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The counts of a population of one year."""

    year: int
    kinds: Mapping[Kind, int]
    traits: Mapping[tuple[NotificationType, Characteristic], int]
    ethnic_groups: Mapping[tuple[Ethnicity, ...], int]
    genders: Mapping[Gender, int]
    received_in_band: Mapping[str, int]
    not_received: int
    due_next_year: int
    decided_local_review: int
    decided_none: int
    agreed_percent: int
    most_deprived_percent: int
    least_deprived_percent: int

    @property
    def incidents(self) -> int:
        """How many incidents."""
        return sum(self.kinds.values())

    @property
    def children(self) -> int:
        """How many children."""
        return sum(self.ethnic_groups.values())


def published_profile(report: Mapping[str, Any]) -> Profile:
    """Return the profile of a published yearly report (the form of ``panel_2020.json``)."""
    tables = report["tables"]
    text = {item["id"]: item["value"] for item in report["in_text"]}
    bands = {row["band_working_days"]: row["received"] for row in tables["table_6"]["rows"]}
    due = tables["table_6"]["reported_total"]
    return Profile(
        year=int(report["meta"]["period"][:4]),
        kinds=_kinds(tables, text["other_breakdown"]),
        traits={(kind, _TRAITS[row["label"]]): row[column] for row in tables["table_4"]["rows"] for kind, column in _TYPE_COLUMNS.items()},
        ethnic_groups={_GROUPS[row["label"]]: row["number"] for row in tables["table_1"]["rows"]},
        genders={gender: text["gender"][gender.value]["number"] for gender in (Gender.MALE, Gender.FEMALE, Gender.TRANSGENDER)},
        received_in_band=bands,
        not_received=due["not_yet_received"],
        due_next_year=text["notifications_total"] - due["total"],
        decided_local_review=text["local_decisions"]["proceed"]["number"],
        decided_none=text["local_decisions"]["no_lcspr"]["number"],
        agreed_percent=text["panel_agreement_percent"],
        most_deprived_percent=text["imd_most_deprived_20pct"],
        least_deprived_percent=text["imd_least_deprived_20pct"],
    )


def _kinds(tables: Mapping[str, Any], others: Mapping[str, int]) -> dict[Kind, int]:
    kinds: dict[Kind, int] = {}
    for row in tables["table_2"]["rows"]:
        category = _DEATHS[row["label"]]
        parts = tables["table_2"]["subrows"].get(row["label"])
        if parts is None:
            kinds[NotificationType.DEATH, category, None, None] = row["number"]
        for part in parts or ():
            kinds[NotificationType.DEATH, category, _OTHER_DEATHS[part["label"]], None] = part["number"]
    other = {_OTHER_NOTIFICATIONS[name]: number for name, number in others.items()}
    for row in tables["table_3"]["rows"]:
        harm = _HARMS[row["label"]]
        kinds[NotificationType.SERIOUS_HARM, None, None, harm] = row["number"] - other.get(harm, 0)
        if harm in other:
            kinds[NotificationType.OTHER, None, None, harm] = other[harm]
    return {kind: number for kind, number in kinds.items() if number}


def drawn_profile(model: Profile, incidents: int, rng: random.Random) -> Profile:
    """Return a profile of ``incidents`` incidents, drawn at random in the proportions of ``model``."""
    kinds = _draw(model.kinds, incidents, rng)
    of_type: Counter[NotificationType] = Counter()
    for kind, number in kinds.items():
        of_type[kind[0]] += number
    model_of_type: Counter[NotificationType] = Counter()
    for kind, number in model.kinds.items():
        model_of_type[kind[0]] += number
    traits = {
        key: sum(rng.random() < number / model_of_type[key[0]] for _ in range(of_type[key[0]])) for key, number in model.traits.items()
    }
    children = incidents + sum(rng.random() < (model.children - model.incidents) / model.incidents for _ in range(incidents))
    fates = _draw(
        {**model.received_in_band, "not": model.not_received, "next": model.due_next_year},
        incidents,
        rng,
    )
    decisions = _draw({"yes": model.decided_local_review, "no": model.decided_none}, incidents - fates["not"] - fates["next"] // 3, rng)
    return Profile(
        year=model.year,
        kinds=kinds,
        traits=traits,
        ethnic_groups=_draw(model.ethnic_groups, children, rng),
        genders=_draw(model.genders, children, rng),
        received_in_band={band: fates[band] for band in model.received_in_band},
        not_received=fates["not"],
        due_next_year=fates["next"],
        decided_local_review=decisions["yes"],
        decided_none=decisions["no"],
        agreed_percent=model.agreed_percent,
        most_deprived_percent=model.most_deprived_percent,
        least_deprived_percent=model.least_deprived_percent,
    )


def _draw(weights: Mapping[K, int], number: int, rng: random.Random) -> dict[K, int]:
    drawn = Counter(rng.choices(list(weights), weights=list(weights.values()), k=number))
    return {key: drawn[key] for key in weights}
