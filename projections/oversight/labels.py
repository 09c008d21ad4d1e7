"""The Panel's words for the codes of a notification, in the order in which its annual report 2020 prints them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from domain.incident.codes import (
    Characteristic,
    CourtOrder,
    DeathCategory,
    Ethnicity,
    Gender,
    HarmCategory,
    LivingArrangement,
    NotificationType,
    OtherDeathKind,
    ServiceInvolvement,
)
from domain.rapid_review.events import Decision

NOT_RECORDED: Final = "Not recorded"

NOTIFICATION_TYPES: Final[Mapping[NotificationType, str]] = {
    NotificationType.DEATH: "SINs for child death",
    NotificationType.SERIOUS_HARM: "SINs for serious harm",
    NotificationType.OTHER: "SINs for other",
}

WHITE: Final = "White British"
ETHNIC_GROUPS: Final[Mapping[str, frozenset[Ethnicity]]] = {
    "Asian or Asian British": frozenset(
        {Ethnicity.INDIAN, Ethnicity.PAKISTANI, Ethnicity.BANGLADESHI, Ethnicity.CHINESE, Ethnicity.ASIAN_OTHER},
    ),
    "Black or Black British": frozenset({Ethnicity.BLACK_AFRICAN, Ethnicity.BLACK_CARIBBEAN, Ethnicity.BLACK_OTHER}),
    "Mixed": frozenset(
        {
            Ethnicity.MIXED_WHITE_AND_BLACK_CARIBBEAN,
            Ethnicity.MIXED_WHITE_AND_BLACK_AFRICAN,
            Ethnicity.MIXED_WHITE_AND_ASIAN,
            Ethnicity.MIXED_OTHER,
        },
    ),
    WHITE: frozenset(
        {
            Ethnicity.WHITE_BRITISH,
            Ethnicity.WHITE_IRISH,
            Ethnicity.GYPSY_OR_IRISH_TRAVELLER,
            Ethnicity.ROMA,
            Ethnicity.WHITE_OTHER,
        },
    ),
    "Any other ethnic group": frozenset({Ethnicity.ARAB, Ethnicity.OTHER}),
}
"""The five groups of the 2011 census behind table 1, which prints no row for other White groups: they are in White British."""

NO_ETHNICITY: Final = frozenset({Ethnicity.REFUSED, Ethnicity.NOT_RECORDED})

DEATH_CATEGORIES: Final[Mapping[DeathCategory, str]] = {
    DeathCategory.OVERT_FILICIDE: "Overt filicide",
    DeathCategory.COVERT_FILICIDE: "Covert filicide",
    DeathCategory.FATAL_PHYSICAL_ABUSE: "Fatal physical abuse",
    DeathCategory.SEVERE_PERSISTENT_CRUELTY: "Severe, persistent child cruelty",
    DeathCategory.EXTREME_NEGLECT: "Extreme neglect/deprivational abuse",
    DeathCategory.EXTRA_FAMILIAL_HOMICIDE: "Extra-familial child homicide",
    DeathCategory.EXTRA_FAMILIAL_FATAL_ASSAULT: "Extra-familial fatal assaults",
    DeathCategory.SUDI: "Sudden Unexpected Death in Infancy (SUDI)",
    DeathCategory.SUICIDE: "Suicide",
    DeathCategory.OTHER_MALTREATMENT_RELATED: "Other deaths related to maltreatment, of which:",
    DeathCategory.NOT_MALTREATMENT_RELATED: "Not maltreatment related",
    DeathCategory.NOT_CLEAR: "Not clear",
}

OTHER_DEATH_KINDS: Final[Mapping[OtherDeathKind, str]] = {
    OtherDeathKind.ACCIDENT: "Accident",
    OtherDeathKind.MEDICAL: "Medical",
    OtherDeathKind.RISK_TAKING: "Risk-taking behaviour",
    OtherDeathKind.POISONING: "Poisoning",
    OtherDeathKind.OTHER: "Other",
}

HARM_CATEGORIES: Final[Mapping[HarmCategory, str]] = {
    HarmCategory.PHYSICAL_ABUSE: "Non-fatal physical abuse",
    HarmCategory.NEGLECT: "Non-fatal neglect",
    HarmCategory.EMOTIONAL_ABUSE: "Emotional abuse",
    HarmCategory.SEXUAL_ABUSE_INTRA_FAMILIAL: "Child sexual abuse \N{EN DASH} intra-familial",
    HarmCategory.SEXUAL_ABUSE_EXTRA_FAMILIAL: "Child sexual abuse \N{EN DASH} extra-familial",
    HarmCategory.SEXUAL_EXPLOITATION: "Child sexual exploitation",
    HarmCategory.CRIMINAL_EXPLOITATION: "Criminal exploitation",
    HarmCategory.YOUNG_PERSON_PERPETRATOR: "Young person perpetrator",
    HarmCategory.RISK_TAKING_OR_VIOLENT: "Other risk taking/violent behaviour",
    HarmCategory.OTHER: "Other non-fatal incidents",
}

CHARACTERISTICS: Final[Mapping[str, Mapping[Characteristic, str]]] = {
    "Parent characteristics": {
        Characteristic.PARENTAL_ALCOHOL_MISUSE: "Parental alcohol misuse",
        Characteristic.PARENTAL_DRUG_MISUSE: "Parental drug misuse",
        Characteristic.PARENTAL_ADVERSE_CHILDHOOD: "Parental adverse childhood experiences",
        Characteristic.PARENT_CARE_LEAVER: "Parent care leaver",
        Characteristic.PARENTAL_CRIMINAL_RECORD: "Parental criminal record",
        Characteristic.PARENTAL_MENTAL_ILL_HEALTH: "Parental mental ill-health",
        Characteristic.PARENTAL_LEARNING_DIFFICULTY: "Parental learning difficulty",
    },
    "Family characteristics": {
        Characteristic.PARENTAL_SEPARATION: "Parental separation",
        Characteristic.DOMESTIC_ABUSE: "Domestic abuse",
        Characteristic.ELECTIVE_HOME_EDUCATION: "Elective home education",
    },
    "Child characteristics": {
        Characteristic.DISABILITY: "Disability",
        Characteristic.CHILD_MENTAL_ILL_HEALTH: "Mental ill-health of child",
    },
}
"""Table 4, by group."""

OTHER_CHARACTERISTICS: Final[Mapping[str, Mapping[Characteristic, str]]] = {
    "Named in the text": {
        Characteristic.MATERNAL_MENTAL_ILL_HEALTH: "Maternal mental ill-health",
        Characteristic.PATERNAL_MENTAL_ILL_HEALTH: "Paternal mental ill-health",
        Characteristic.NEGLECT: "Neglect a feature",
        Characteristic.EXPLOITATION_BACKGROUND: "Background of exploitation",
        Characteristic.PEER_ON_PEER: "Peer-on-peer",
        Characteristic.SECURE_ESTABLISHMENT: "Secure establishment",
    },
}
"""What the report counts in its text and not in table 4."""

KNOWN_TO_SERVICES: Final = "Child previously known to CSC"
COURT_ORDERS_GROUP: Final = "Court orders"
NOT_AT_HOME: Final = "Child not resident at home"

SERVICES: Final[Mapping[ServiceInvolvement, str]] = {
    ServiceInvolvement.INFORMATION_NO_REFERRAL: "Information but no referral",
    ServiceInvolvement.REFERRAL_NO_ASSESSMENT: "Referral but no assessment",
    ServiceInvolvement.INITIAL_ASSESSMENT: "Initial assessment",
    ServiceInvolvement.CAF: "CAF",
    ServiceInvolvement.CHILD_IN_NEED: "Child in Need",
    ServiceInvolvement.CHILD_PROTECTION_PLAN: "CP plan",
    ServiceInvolvement.LOOKED_AFTER: "Looked after",
    ServiceInvolvement.OTHER: "Other",
}

COURT_ORDERS: Final[Mapping[CourtOrder, str]] = {
    CourtOrder.CARE_ORDER: "Care order",
    CourtOrder.SECTION_20_ACCOMMODATION: "Section 20 accommodation",
    CourtOrder.OTHER: "Other",
}

ARRANGEMENTS: Final[Mapping[LivingArrangement, str]] = {
    LivingArrangement.RELATIVES: "Living with relatives",
    LivingArrangement.FOSTER_CARE: "In foster care",
    LivingArrangement.RESIDENTIAL_HOME: "Residential children\N{RIGHT SINGLE QUOTATION MARK}s home",
    LivingArrangement.SEMI_INDEPENDENT: "Semi-independent unit",
    LivingArrangement.OTHER: "Other",
}
"""Living arrangements other than home: table 5's third group."""

GENDERS: Final[Mapping[Gender, str]] = {
    Gender.MALE: "male",
    Gender.FEMALE: "female",
    Gender.TRANSGENDER: "transgender",
}

DECISIONS: Final[Mapping[Decision, str]] = {
    Decision.LOCAL_REVIEW: "proceeding to an LCSPR",
    Decision.NO_LOCAL_REVIEW: "decided not to undertake a local review",
    Decision.UNDECIDED: "not yet reached a decision",
}

FIFTHS: Final[Mapping[int, str]] = {
    1: "20% most deprived",
    2: "second fifth",
    3: "third fifth",
    4: "fourth fifth",
    5: "20% least deprived",
}
