"""Rules about state machines: the subset of statemachines/README.md, and how the template deploys them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dataloop.services.steps import STEPS
from tests.infra.rule import rule
from tests.infra.template import Json, Project, all_states, as_list, target_of, text_of, walk

STATE_TYPES = {"Task", "Choice", "Map", "Pass", "Succeed", "Fail"}
RESOURCES = {
    "arn:${Partition}:states:::lambda:invoke",
    "arn:${Partition}:states:::lambda:invoke.waitForTaskToken",
    "arn:${Partition}:states:::sagemaker:createTrainingJob.sync",
    "arn:${Partition}:states:::sagemaker:createProcessingJob.sync",
    "arn:${Partition}:states:::states:startExecution.sync:2",
    "arn:${Partition}:states:::s3:listObjectsV2",
}
# Each of these deploys and then fails, or is ignored, on one machine (design section 8), or breaks JSONPath.
FORBIDDEN_FIELDS = {
    "ItemBatcher",
    "ResultWriter",
    "HeartbeatSeconds",
    "HeartbeatSecondsPath",
    "TimeoutSecondsPath",
    "QueryLanguage",
    "Arguments",
    "Assign",
    "Output",
    "Items",
    "Iterator",
    "Credentials",
    "MaxConcurrencyPath",
    "ToleratedFailurePercentagePath",
}
RECORDERS = {"task.fail", "loop.abort"}
# The first key of a stack (docs/deploy.md); a project whose index an operator doubts (docs/projects.md).
CALLED_BY_HAND = {"keys.create", "projects.repair"}
CHILD_LIMIT_S = 300  # Step Functions quotas: an Express execution runs five minutes at most


def step_of(state: dict[str, Json]) -> str | None:
    """The step that a state asks workflow_steps for; None for other states."""
    payload = (state.get("Parameters") or {}).get("Payload")
    return str(payload["step"]) if isinstance(payload, dict) and "step" in payload else None


def is_recorder(state: dict[str, Json]) -> bool:
    """A state that records a failure: the end of every Catch, so it has none itself."""
    return step_of(state) in RECORDERS


def tasks(project: Project) -> Iterator[tuple[str, str, dict[str, Json], dict[str, Json]]]:
    """(machine, name, state, siblings) of every Task state."""
    for stem, definition in project.machines.items():
        for name, state, siblings in all_states(definition):
            if state["Type"] == "Task":
                yield stem, name, state, siblings


@rule("M01", "Every machine and every state says in a Comment what it is for.")
def comments(project: Project) -> Iterator[str]:
    for stem, definition in project.machines.items():
        if not definition.get("Comment"):
            yield f"{stem}: no Comment"
        for name, state, _ in all_states(definition):
            rules = [state, *state.get("Choices", [])]
            if not all(len(str(item.get("Comment", "")).split()) >= 2 for item in rules):
                yield f"{stem}.{name}: no Comment"


@rule("M02", "Machines keep to the allowed subset of states, resources and fields.")
def subset(project: Project) -> Iterator[str]:
    for stem, definition in project.machines.items():
        for name, state, _ in all_states(definition):
            if state["Type"] not in STATE_TYPES:
                yield f"{stem}.{name}: state type {state['Type']}"
            resources = [state.get("Resource"), (state.get("ItemReader") or {}).get("Resource")]
            yield from (f"{stem}.{name}: resource {r}" for r in resources if r is not None and r not in RESOURCES)
        # Inside Parameters the names belong to the called service.
        for path, node in walk(definition):
            if isinstance(node, dict) and not {"Parameters", "ItemSelector", "ResultSelector", "Result"} & set(path):
                yield from (f"{stem}: {'.'.join(path)}.{field}" for field in FORBIDDEN_FIELDS & set(node))


@rule("M03", "Every Map says how many children run at once and tolerates no failure.")
def maps(project: Project) -> Iterator[str]:
    for stem, definition in project.machines.items():
        for name, state, _ in all_states(definition):
            if state["Type"] == "Map" and not 1 <= state.get("MaxConcurrency", 0) <= 40:
                yield f"{stem}.{name}: MaxConcurrency is {state.get('MaxConcurrency')}"
            if state["Type"] == "Map" and state.get("ToleratedFailurePercentage") != 0:
                yield f"{stem}.{name}: tolerates failed children"


@rule("M04", "Every Task has a TimeoutSeconds and retries with growing, jittered, bounded delays.")
def timeouts_and_retries(project: Project) -> Iterator[str]:
    for stem, name, state, _ in tasks(project):
        if not isinstance(state.get("TimeoutSeconds"), int):
            yield f"{stem}.{name}: no TimeoutSeconds"
        if not state.get("Retry"):
            yield f"{stem}.{name}: no Retry"
        for retry in state.get("Retry", []):
            wanted = {
                "ErrorEquals",
                "IntervalSeconds",
                "BackoffRate",
                "MaxDelaySeconds",
                "MaxAttempts",
                "JitterStrategy",
            }
            if set(retry) != wanted or retry["JitterStrategy"] != "FULL" or retry["BackoffRate"] <= 1:
                yield f"{stem}.{name}: a Retry without backoff, jitter or bounds"
        retried = {error for retry in state.get("Retry", []) for error in retry["ErrorEquals"]}
        if "States.TaskFailed" in retried or ("States.ALL" in retried and not is_recorder(state)):
            yield f"{stem}.{name}: retries failures that a retry cannot mend"


@rule("M05", "Every service's own transient errors are retried.")
def transient_errors(project: Project) -> Iterator[str]:
    needed = {
        "lambda:": {
            "Throttled",
            "Unavailable",
            "Lambda.TooManyRequestsException",
            "Lambda.ServiceException",
            "Lambda.SdkClientException",
        },
        "sagemaker:": {"SageMaker.AmazonSageMakerException"},
        "states:startExecution": {"StepFunctions.ThrottlingException", "StepFunctions.SdkClientException"},
    }
    for stem, name, state, _ in tasks(project):
        retried = {error for retry in state.get("Retry", []) for error in retry["ErrorEquals"]}
        service = state["Resource"].split(":::")[-1]
        for prefix, errors in needed.items():
            if service.startswith(prefix) and "States.ALL" not in retried and errors - retried:
                yield f"{stem}.{name}: does not retry {sorted(errors - retried)}"


@rule("M06", "Every Task and Map catches everything last, keeps its input, and the failure ends in a recorder.")
def catches(project: Project) -> Iterator[str]:
    for stem, definition in project.machines.items():
        for name, state, siblings in all_states(definition):
            if state["Type"] not in ("Task", "Map") or is_recorder(state):
                continue
            handlers = state.get("Catch") or []
            if not handlers or handlers[-1]["ErrorEquals"] != ["States.ALL"]:
                yield f"{stem}.{name}: the last Catch is not States.ALL"
                continue
            if any(handler.get("ResultPath") != "$.error" for handler in handlers):
                yield f"{stem}.{name}: a Catch that overwrites its input"
            after = siblings[handlers[-1]["Next"]]
            # One repair step may come first (release: RollBack).
            if not is_recorder(after) and not is_recorder(siblings.get(after.get("Next", ""), {})):
                yield f"{stem}.{name}: its failure is not recorded"


@rule("M07", "A recorder passes the error on and is followed by a Fail with the same error and cause.")
def recorders(project: Project) -> Iterator[str]:
    for stem, name, state, siblings in tasks(project):
        if not is_recorder(state):
            continue
        if state["Parameters"]["Payload"]["input"].get("error.$") != "$.error":
            yield f"{stem}.{name}: does not pass the error on"
        end = siblings.get(state.get("Next", ""), {})
        if (end.get("Type"), end.get("ErrorPath"), end.get("CausePath")) != ("Fail", "$.error.Error", "$.error.Cause"):
            yield f"{stem}.{name}: the execution does not end with the same error"


@rule(
    "M08", "Every step gets the step's name and an input with tenant and task_id, and returns under a path of its own."
)
def payloads(project: Project) -> Iterator[str]:
    for stem, name, state, _ in tasks(project):
        if "lambda:invoke" not in state["Resource"]:
            continue
        payload = state["Parameters"].get("Payload") or {}
        given = payload.get("input") or {}
        if set(payload) != {"step", "input"} or not re.fullmatch(r"[a-z]+\.[a-z_]+", str(payload.get("step"))):
            yield f"{stem}.{name}: the payload is not {{step, input}}"
        if (given.get("tenant.$"), given.get("task_id.$")) != ("$.tenant", "$.task_id"):
            yield f"{stem}.{name}: the input does not name tenant and task"
        if state.get("ResultPath", "$") == "$" and state.get("OutputPath", "$") is not None:
            yield f"{stem}.{name}: the result overwrites the execution's input"
        if state.get("ResultPath") and state.get("ResultSelector") != {"out.$": "$.Payload"}:
            yield f"{stem}.{name}: the result is not taken as out"


@rule("M09", "Every state is reachable and every Next exists.")
def reachable(project: Project) -> Iterator[str]:
    for stem, definition in project.machines.items():
        scopes = [definition, *(s["ItemProcessor"] for _, s, _ in all_states(definition) if "ItemProcessor" in s)]
        for scope in scopes:
            seen: set[str] = set()
            queue = [scope["StartAt"]]
            while queue:
                name = queue.pop()
                if name in seen:
                    continue
                seen.add(name)
                if name not in scope["States"]:
                    yield f"{stem}: {name} does not exist"
                    continue
                queue += successors(scope["States"][name])
            yield from (f"{stem}.{name}: not reachable" for name in set(scope["States"]) - seen)


def successors(state: dict[str, Json]) -> list[str]:
    """Names of the states that may follow a state in its own scope."""
    named = [state.get("Next"), state.get("Default")]
    named += [item["Next"] for item in [*state.get("Choices", []), *state.get("Catch", [])]]
    return [name for name in named if name]


@rule("M10", "Substitutions: every placeholder is defined, every definition is used, and every file is deployed.")
def substitutions(project: Project) -> Iterator[str]:
    deployed = {p.get("DefinitionUri") for p in project.of_type("AWS::Serverless::StateMachine").values()}
    files = {f"statemachines/{stem}.asl.json" for stem in project.machines}
    yield from (f"{uri}: deployed but missing" for uri in sorted(map(str, deployed - files)))
    for stem in project.machines:
        if f"statemachines/{stem}.asl.json" not in deployed:
            yield f"{stem}: not deployed by template.yaml"
            continue
        name, properties = project.machine_resource(stem)
        used = set(re.findall(r"\$\{(\w+)\}", project.machine_texts[stem]))
        defined = set(properties.get("DefinitionSubstitutions") or {})
        yield from (f"{name}: ${{{key}}} is not defined" for key in sorted(used - defined))
        yield from (f"{name}: {key} is defined but not used" for key in sorted(defined - used))


@rule("M11", "Every machine has the name of its file and logs everything except data to a group of its own.")
def deployed_machines(project: Project) -> Iterator[str]:
    groups: set[str] = set()
    for name, properties in project.of_type("AWS::Serverless::StateMachine").items():
        stem = str(properties.get("DefinitionUri")).removeprefix("statemachines/").removesuffix(".asl.json")
        if properties.get("Name") != {"Fn::Sub": f"dataloop-${{Stage}}-{stem.replace('_', '-')}"}:
            yield f"{name}: Name does not follow its file"
        logging = properties.get("Logging") or {}
        if logging.get("Level") != "ALL" or logging.get("IncludeExecutionData") is not False:
            yield f"{name}: Logging is not ALL without execution data"
        group = target_of(
            ((logging.get("Destinations") or [{}])[0].get("CloudWatchLogsLogGroup") or {}).get("LogGroupArn")
        )
        if group not in project.of_type("AWS::Logs::LogGroup") or group in groups:
            yield f"{name}: no log group of its own"
        groups.add(str(group))


@rule(
    "M12",
    "A child of a map fits into an Express execution's five minutes, retries included, and returns nothing.",
)
def children(project: Project) -> Iterator[str]:
    for stem, definition in project.machines.items():
        for name, state, _ in all_states(definition):
            if state["Type"] != "Map":
                continue
            processor = state["ItemProcessor"]
            if processor["ProcessorConfig"] != {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"}:
                yield f"{stem}.{name}: children are not distributed Express executions"
            first = processor["States"][processor["StartAt"]]
            if 2 * first["TimeoutSeconds"] + longest_wait_s(first["Retry"]) > CHILD_LIMIT_S:
                yield f"{stem}.{name}: a child may outlive its five minutes"
            if first.get("End") and first.get("OutputPath", "$") is not None:
                yield f"{stem}.{name}: children return data, and the map collects it"


def longest_wait_s(retries: list[dict[str, Json]]) -> float:
    """Most seconds that the first retrier can wait, jitter aside."""
    first = retries[0]
    waits = (first["IntervalSeconds"] * first["BackoffRate"] ** n for n in range(first["MaxAttempts"]))
    return float(sum(min(wait, first["MaxDelaySeconds"]) for wait in waits))


@rule("M13", "A machine may invoke what its states call: the steps, its jobs, its nested machines.")
def machine_rights(project: Project) -> Iterator[str]:
    needed = {
        "sagemaker:createTrainingJob.sync": {
            "sagemaker:CreateTrainingJob",
            "sagemaker:StopTrainingJob",
            "iam:PassRole",
            "events:PutRule",
        },
        "sagemaker:createProcessingJob.sync": {
            "sagemaker:CreateProcessingJob",
            "sagemaker:StopProcessingJob",
            "iam:PassRole",
            "events:PutRule",
        },
        "states:startExecution.sync:2": {"states:StartExecution", "states:StopExecution", "events:PutRule"},
        "s3:listObjectsV2": {"s3:ListBucket", "states:StartExecution"},
    }
    for stem, text in project.machine_texts.items():
        _, properties = project.machine_resource(stem)
        role = project.resources[target_of(properties["Role"]) or ""]["Properties"]
        granted = {
            action
            for policy in role.get("Policies", [])
            for statement in policy["PolicyDocument"]["Statement"]
            for action in as_list(statement["Action"])
        }
        for resource, actions in needed.items():
            if f":::{resource}" in text and actions - granted:
                yield f"{stem}: its role lacks {sorted(actions - granted)}"
        if "MachineBase" not in text_of(role.get("ManagedPolicyArns") or []):
            yield f"{stem}: its role may not invoke the steps"


@rule("M14", "Every step that a machine asks for exists in workflow_steps, and no step is left over.")
def steps_exist(project: Project) -> Iterator[str]:
    asked = {step for _, _, state, _ in tasks(project) if (step := step_of(state))}
    yield from (f"{step}: no such step" for step in sorted(asked - set(STEPS)))
    yield from (f"{step}: no machine asks for it" for step in sorted(set(STEPS) - asked - CALLED_BY_HAND))
