"""Code lists of a notification (Child Safeguarding Practice Review Panel, annual report 2020, tables 1-5; finer where it maps)."""

from __future__ import annotations

from enum import StrEnum


class NotificationType(StrEnum):
    """What is notified."""

    DEATH = "death"
    SERIOUS_HARM = "serious_harm"
    OTHER = "other"


class Limb(StrEnum):
    """Which limb of s16C(1) Children Act 2004 is met."""

    IN_AREA = "in_area"
    RESIDENT_OUTSIDE_ENGLAND = "resident_outside_england"


class CriteriaOutcome(StrEnum):
    """Whether the notification criteria are met."""

    MET = "met"
    NOT_MET = "not_met"
    UNSURE = "unsure"


class PlaceKind(StrEnum):
    """Where it happened."""

    OWN_HOME = "own_home"
    OTHER_HOME = "other_home"
    FOSTER_HOME = "foster_home"
    RESIDENTIAL_HOME = "residential_home"
    HOSPITAL = "hospital"
    SCHOOL = "school"
    SECURE_ESTABLISHMENT = "secure_establishment"
    PUBLIC_PLACE = "public_place"
    ONLINE = "online"
    ABROAD = "abroad"
    OTHER = "other"
    NOT_KNOWN = "not_known"


class Sex(StrEnum):
    """Sex as recorded."""

    FEMALE = "female"
    MALE = "male"
    NOT_KNOWN = "not_known"


class Gender(StrEnum):
    """Gender as the Panel reports it."""

    FEMALE = "female"
    MALE = "male"
    TRANSGENDER = "transgender"
    NOT_KNOWN = "not_known"


class Ethnicity(StrEnum):
    """The 2011 census groups, with codes for not recorded; the Panel's table 1 maps them to five."""

    WHITE_BRITISH = "white_british"
    WHITE_IRISH = "white_irish"
    GYPSY_OR_IRISH_TRAVELLER = "gypsy_or_irish_traveller"
    ROMA = "roma"
    WHITE_OTHER = "white_other"
    MIXED_WHITE_AND_BLACK_CARIBBEAN = "mixed_white_and_black_caribbean"
    MIXED_WHITE_AND_BLACK_AFRICAN = "mixed_white_and_black_african"
    MIXED_WHITE_AND_ASIAN = "mixed_white_and_asian"
    MIXED_OTHER = "mixed_other"
    INDIAN = "indian"
    PAKISTANI = "pakistani"
    BANGLADESHI = "bangladeshi"
    CHINESE = "chinese"
    ASIAN_OTHER = "asian_other"
    BLACK_AFRICAN = "black_african"
    BLACK_CARIBBEAN = "black_caribbean"
    BLACK_OTHER = "black_other"
    ARAB = "arab"
    OTHER = "other"
    REFUSED = "refused"
    NOT_RECORDED = "not_recorded"


class Disability(StrEnum):
    """Whether the child is disabled."""

    YES = "yes"
    NO = "no"
    NOT_KNOWN = "not_known"


class LegalStatus(StrEnum):
    """The child's status in law at the time."""

    NONE = "none"
    CARE_ORDER = "care_order"
    INTERIM_CARE_ORDER = "interim_care_order"
    SECTION_20_ACCOMMODATION = "section_20_accommodation"
    SUPERVISION_ORDER = "supervision_order"
    REMAND = "remand"
    CARE_LEAVER = "care_leaver"
    OTHER_ORDER = "other_order"
    NOT_KNOWN = "not_known"


class ServiceInvolvement(StrEnum):
    """How the child was known to children's social care (table 5, first group)."""

    INFORMATION_NO_REFERRAL = "information_no_referral"
    REFERRAL_NO_ASSESSMENT = "referral_no_assessment"
    INITIAL_ASSESSMENT = "initial_assessment"
    CAF = "caf"
    CHILD_IN_NEED = "child_in_need"
    CHILD_PROTECTION_PLAN = "child_protection_plan"
    LOOKED_AFTER = "looked_after"
    OTHER = "other"


class CourtOrder(StrEnum):
    """Orders in force (table 5, second group)."""

    CARE_ORDER = "care_order"
    SECTION_20_ACCOMMODATION = "section_20_accommodation"
    OTHER = "other"


class LivingArrangement(StrEnum):
    """Where the child lived; all but HOME are table 5's third group."""

    HOME = "home"
    RELATIVES = "relatives"
    FOSTER_CARE = "foster_care"
    RESIDENTIAL_HOME = "residential_home"
    SEMI_INDEPENDENT = "semi_independent"
    OTHER = "other"
    NOT_KNOWN = "not_known"


class DeathCategory(StrEnum):
    """Category of death (table 2)."""

    OVERT_FILICIDE = "overt_filicide"
    COVERT_FILICIDE = "covert_filicide"
    FATAL_PHYSICAL_ABUSE = "fatal_physical_abuse"
    SEVERE_PERSISTENT_CRUELTY = "severe_persistent_cruelty"
    EXTREME_NEGLECT = "extreme_neglect"
    EXTRA_FAMILIAL_HOMICIDE = "extra_familial_homicide"
    EXTRA_FAMILIAL_FATAL_ASSAULT = "extra_familial_fatal_assault"
    SUDI = "sudi"
    SUICIDE = "suicide"
    OTHER_MALTREATMENT_RELATED = "other_maltreatment_related"
    NOT_MALTREATMENT_RELATED = "not_maltreatment_related"
    NOT_CLEAR = "not_clear"


class OtherDeathKind(StrEnum):
    """What kind of OTHER_MALTREATMENT_RELATED death (table 2, sub-rows)."""

    ACCIDENT = "accident"
    MEDICAL = "medical"
    RISK_TAKING = "risk_taking"
    POISONING = "poisoning"
    OTHER = "other"


class HarmCategory(StrEnum):
    """Category of serious harm (table 3, notifications of other matters included)."""

    PHYSICAL_ABUSE = "physical_abuse"
    NEGLECT = "neglect"
    EMOTIONAL_ABUSE = "emotional_abuse"
    SEXUAL_ABUSE_INTRA_FAMILIAL = "sexual_abuse_intra_familial"
    SEXUAL_ABUSE_EXTRA_FAMILIAL = "sexual_abuse_extra_familial"
    SEXUAL_EXPLOITATION = "sexual_exploitation"
    CRIMINAL_EXPLOITATION = "criminal_exploitation"
    YOUNG_PERSON_PERPETRATOR = "young_person_perpetrator"
    RISK_TAKING_OR_VIOLENT = "risk_taking_or_violent"
    OTHER = "other"


class Characteristic(StrEnum):
    """Case characteristics: the twelve of table 4, then the others the Panel asks for."""

    PARENTAL_ALCOHOL_MISUSE = "parental_alcohol_misuse"
    PARENTAL_DRUG_MISUSE = "parental_drug_misuse"
    PARENTAL_ADVERSE_CHILDHOOD = "parental_adverse_childhood"
    PARENT_CARE_LEAVER = "parent_care_leaver"
    PARENTAL_CRIMINAL_RECORD = "parental_criminal_record"
    PARENTAL_MENTAL_ILL_HEALTH = "parental_mental_ill_health"
    PARENTAL_LEARNING_DIFFICULTY = "parental_learning_difficulty"
    PARENTAL_SEPARATION = "parental_separation"
    DOMESTIC_ABUSE = "domestic_abuse"
    ELECTIVE_HOME_EDUCATION = "elective_home_education"
    DISABILITY = "disability"
    CHILD_MENTAL_ILL_HEALTH = "child_mental_ill_health"
    MATERNAL_MENTAL_ILL_HEALTH = "maternal_mental_ill_health"
    PATERNAL_MENTAL_ILL_HEALTH = "paternal_mental_ill_health"
    NEGLECT = "neglect"
    EXPLOITATION_BACKGROUND = "exploitation_background"
    PEER_ON_PEER = "peer_on_peer"
    SECURE_ESTABLISHMENT = "secure_establishment"


class AbuseKind(StrEnum):
    """Suspected abuse."""

    PHYSICAL = "physical"
    EMOTIONAL = "emotional"
    SEXUAL = "sexual"
    NEGLECT = "neglect"
    EXPLOITATION = "exploitation"
    NONE_SUSPECTED = "none_suspected"
    NOT_KNOWN = "not_known"


class SuspectRelationship(StrEnum):
    """How the person suspected is related to the child."""

    MOTHER = "mother"
    FATHER = "father"
    BOTH_PARENTS = "both_parents"
    STEP_PARENT_OR_PARTNER = "step_parent_or_partner"
    SIBLING = "sibling"
    OTHER_RELATIVE = "other_relative"
    CARER = "carer"
    PEER = "peer"
    PROFESSIONAL = "professional"
    STRANGER = "stranger"
    SELF = "self"
    NOT_KNOWN = "not_known"


class ProceedingKind(StrEnum):
    """What runs beside the review."""

    CRIMINAL = "criminal"
    INQUEST = "inquest"
    FAMILY_COURT = "family_court"
    CHILD_DEATH_REVIEW = "child_death_review"
    DOMESTIC_HOMICIDE_REVIEW = "domestic_homicide_review"
    SAFEGUARDING_ADULT_REVIEW = "safeguarding_adult_review"
    DISCIPLINARY = "disciplinary"
    PROFESSIONAL_REGULATOR = "professional_regulator"


class Recipient(StrEnum):
    """Who was told, or received a copy."""

    PANEL = "panel"
    SECRETARY_OF_STATE = "secretary_of_state"
    OFSTED = "ofsted"


class DelayReason(StrEnum):
    """Why a statutory step is late."""

    CRIMINAL_INVESTIGATION = "criminal_investigation"
    CORONER = "coroner"
    FAMILY_COURT = "family_court"
    AWAITING_INFORMATION = "awaiting_information"
    PANDEMIC = "pandemic"
    CAPACITY = "capacity"
    OTHER = "other"


class CloseReason(StrEnum):
    """Why a case ended."""

    REVIEW_PUBLISHED = "review_published"
    NO_LOCAL_REVIEW = "no_local_review"
    CRITERIA_NOT_MET = "criteria_not_met"
    LOOKED_AFTER_OR_CARE_LEAVER_ONLY = "looked_after_or_care_leaver_only"
    OTHER = "other"
