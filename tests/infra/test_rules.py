"""The template and the state machines keep every rule, and cfn-lint finds nothing."""

from __future__ import annotations

import json

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from tests.infra import rules_functions, rules_machines, rules_resources
from tests.infra.rule import RULES, Rule
from tests.infra.template import MACHINES, ROOT, Json, Project, load_project

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


@pytest.mark.parametrize("stem", list(load_project().machines))
def test_definition_fits_the_language(stem: str, project: Project) -> None:
    """cfn-lint has a schema of the Amazon States Language, but does not open the files that DefinitionUri names."""
    _, properties = project.machine_resource(stem)
    substitutions = dict.fromkeys(set(properties["DefinitionSubstitutions"]) - {"Partition"}, "x")
    # The schema knows the ARNs of partition aws only.
    definition = json.loads(project.machine_texts[stem].replace("${Partition}", "aws"))
    matches = lint(json.dumps(inline(definition, substitutions)), config=ManualArgs(regions=["us-east-1"]))
    assert not matches, "\n".join(f"{m.rule.id} {m.message}" for m in matches)


def test_definition_that_does_not_fit_is_found(project: Project) -> None:
    broken = json.loads(project.machine_texts["release"].replace("${Partition}", "aws"))
    broken["States"]["Gate"]["Choices"] = "none"
    matches = lint(
        json.dumps(inline(broken, {"WorkflowStepsFunctionArn": "x"})), config=ManualArgs(regions=["us-east-1"])
    )
    assert [match.rule.id for match in matches] == ["E3601"]


def inline(definition: Json, substitutions: Json) -> Json:
    """A template that holds a definition where cfn-lint reads it."""
    role = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/x"}
    machine = {"Definition": definition, "DefinitionSubstitutions": substitutions, "RoleArn": role}
    return {"Resources": {"Machine": {"Type": "AWS::StepFunctions::StateMachine", "Properties": machine}}}


def test_every_parameter_is_documented(project: Project) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert not [name for name in project.document["Parameters"] if f"`{name}`" not in page]


def test_readme_lists_the_allowed_subset() -> None:
    page = (MACHINES / "README.md").read_text(encoding="utf-8")
    resources = [resource.removeprefix("arn:${Partition}:states:::") for resource in rules_machines.RESOURCES]
    assert not [name for name in [*resources, *rules_machines.STATE_TYPES] if f"`{name}`" not in page]


def test_every_machine_has_cases_and_a_line_in_the_readme(project: Project) -> None:
    page = (MACHINES / "README.md").read_text(encoding="utf-8")
    assert not [stem for stem in project.machines if f"| `{stem}` |" not in page]
    assert not [stem for stem in project.machines if not (MACHINES / f"{stem}.cases.json").is_file()]
