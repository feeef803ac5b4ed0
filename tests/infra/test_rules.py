"""The template and the state machines keep every rule, and cfn-lint finds nothing."""

from __future__ import annotations

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs
from tests.infra import rules_functions, rules_machines, rules_resources
from tests.infra.rule import RULES, Rule
from tests.infra.template import Project, load_project

# Importing them enrols their rules.
ENROLLED = (rules_functions, rules_machines, rules_resources)


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_rule_holds(rule: Rule, project: Project) -> None:
    problems = rule.problems(project)
    assert not problems, f"{rule.id} {rule.sentence}\n" + "\n".join(problems)


def test_cfn_lint_finds_nothing(project: Project) -> None:
    matches = lint(project.text, config=ManualArgs(regions=["us-east-1"]))
    assert not matches, "\n".join(f"{m.rule.id} {m.message} ({'/'.join(map(str, m.path or []))})" for m in matches)
