"""template.yaml and the state machines as plain data, for the rules and for the workflow tests.

Intrinsic functions are kept in their long form: `!Ref X` is {"Ref": "X"}, and `!GetAtt A.Arn` is
{"Fn::GetAtt": ["A", "Arn"]}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"
MACHINES = ROOT / "statemachines"

Json = Any


class _Loader(yaml.SafeLoader):
    """A safe loader that knows CloudFormation's short tags."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    value: Json
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def parse(text: str) -> dict[str, Json]:
    """The template text as a dictionary with long-form intrinsics."""
    document = yaml.load(text, _Loader)
    assert isinstance(document, dict)
    return document


def walk(node: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Every node below `node` with its path, parents first."""
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, (*path, str(index)))


def as_list(value: Json) -> list[Json]:
    """IAM and EventBridge accept one thing or a list of things: always a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def target_of(value: Json) -> str | None:
    """The logical id that a Ref, a GetAtt or a Sub of one resource's attribute points at; None for anything else."""
    if not isinstance(value, dict):
        return None
    if "Ref" in value:
        return str(value["Ref"])
    if "Fn::GetAtt" in value:
        return str(value["Fn::GetAtt"][0])
    text = value.get("Fn::Sub")
    if isinstance(text, str) and text.startswith("${"):
        return text[2 : text.index("}")].split(".")[0]
    return None


def text_of(value: Json) -> str:
    """A value as text with its intrinsics visible, for patterns and messages."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


@dataclass
class Project:
    """What the rules look at: the template, its text, and each machine's definition by file stem."""

    document: dict[str, Json]
    text: str
    machines: dict[str, dict[str, Json]]
    machine_texts: dict[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, dict[str, Json]]:
        resources = self.document["Resources"]
        assert isinstance(resources, dict)
        return resources

    def of_type(self, kind: str) -> dict[str, dict[str, Json]]:
        """Properties of every resource of one type, by logical id."""
        return {name: body.get("Properties") or {} for name, body in self.resources.items() if body["Type"] == kind}

    def machine_resource(self, stem: str) -> tuple[str, dict[str, Json]]:
        """Logical id and properties of the state machine whose definition is statemachines/<stem>.asl.json."""
        for name, properties in self.of_type("AWS::Serverless::StateMachine").items():
            if properties.get("DefinitionUri") == f"statemachines/{stem}.asl.json":
                return name, properties
        raise AssertionError(f"no state machine in template.yaml uses statemachines/{stem}.asl.json")


def load_project() -> Project:
    """The project as it is in the working tree."""
    text = TEMPLATE.read_text(encoding="utf-8")
    texts = {
        path.name.removesuffix(".asl.json"): path.read_text(encoding="utf-8")
        for path in sorted(MACHINES.glob("*.asl.json"))
    }
    return Project(parse(text), text, {stem: json.loads(body) for stem, body in texts.items()}, texts)


def all_states(definition: dict[str, Json]) -> Iterator[tuple[str, dict[str, Json], dict[str, Json]]]:
    """(name, state, the states it lives among) of every state, those inside maps included."""
    for name, state in definition["States"].items():
        yield name, state, definition["States"]
        if "ItemProcessor" in state:
            yield from all_states(state["ItemProcessor"])
