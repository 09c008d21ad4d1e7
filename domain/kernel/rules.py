"""A rule of the domain: an id, its words, what would mend a breach, and the authority for it."""

from __future__ import annotations

from dataclasses import dataclass

from domain.kernel.ids import RuleId


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. A breach is either refused or accepted with a finding; the decider that owns the rule says which."""

    id: RuleId
    words: str
    source: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An accepted event broke ``rule``: what should not have happened but did, and what would mend it."""

    rule: Rule


class Refused(Exception):
    """The domain says no: the event cannot be true, or is not the sender's to say."""

    def __init__(self, rule: Rule, reason: str = "") -> None:
        """Keep the rule that was broken and why (no personal data: ids, counts and names of fields only)."""
        self.rule = rule
        self.reason = reason or rule.words
        super().__init__(f"{rule.id}: {self.reason}")


def rule(identity: str, words: str, source: str, mend: str = "") -> Rule:
    """Write a rule in one line."""
    return Rule(id=RuleId(identity), words=words, source=source, mend=mend)
