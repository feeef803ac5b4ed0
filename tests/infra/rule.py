"""A rule: an id, a sentence, and a check that returns one message for every place that breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.infra.template import Project

Check = Callable[[Project], Iterable[str]]


@dataclass(frozen=True)
class Rule:
    """One guard-rail; `sentence` is what a failing test prints first."""

    id: str
    sentence: str
    check: Check

    def problems(self, project: Project) -> list[str]:
        return list(self.check(project))


RULES: dict[str, Rule] = {}


def rule(rule_id: str, sentence: str) -> Callable[[Check], Check]:
    """Enrol the decorated check under an id."""

    def enrol(check: Check) -> Check:
        assert rule_id not in RULES, f"rule {rule_id} exists twice"
        RULES[rule_id] = Rule(rule_id, sentence, check)
        return check

    return enrol
