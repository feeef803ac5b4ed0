"""Rules about functions, their roles, logs, alarms and event sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields

from dataloop import settings
from tests.infra.rule import rule
from tests.infra.template import ROOT, Json, Project, as_list, target_of, walk

FUNCTION = "AWS::Serverless::Function"
HTTP_API_LIMIT_S = 30  # API Gateway, HTTP API quotas: maximum integration timeout


def alarms_on(project: Project, metric: str) -> dict[str, dict[str, Json]]:
    """Alarm properties by the logical id in the first dimension, for one metric."""
    found = {}
    for properties in project.of_type("AWS::CloudWatch::Alarm").values():
        for dimension in properties.get("Dimensions") or []:
            target = target_of(dimension["Value"])
            if properties["MetricName"] == metric and target:
                found[target] = properties
    return found


def invoked_asynchronously(project: Project) -> set[str]:
    """Functions that a rule or a schedule targets: those are invoked asynchronously."""
    targets = [t for p in project.of_type("AWS::Events::Rule").values() for t in p.get("Targets", [])]
    targets += [p["Target"] for p in project.of_type("AWS::Scheduler::Schedule").values()]
    functions = project.of_type(FUNCTION)
    return {name for target in targets if (name := target_of(target["Arn"])) in functions}


@rule("F01", "Every function and every state machine has a role that nothing else uses.")
def own_role(project: Project) -> Iterator[str]:
    users: dict[str, list[str]] = {}
    owners = {**project.of_type(FUNCTION), **project.of_type("AWS::Serverless::StateMachine")}
    for name, properties in owners.items():
        role = target_of(properties.get("Role"))
        if role is None or project.resources.get(role, {}).get("Type") != "AWS::IAM::Role":
            yield f"{name}: Role does not point at an AWS::IAM::Role of this template"
            continue
        users.setdefault(role, []).append(name)
    yield from (f"{role} is shared by {', '.join(names)}" for role, names in users.items() if len(names) > 1)


@rule("F02", "Every function writes to a log group of its own whose retention is the parameter's.")
def own_log_group(project: Project) -> Iterator[str]:
    groups = project.of_type("AWS::Logs::LogGroup")
    used: dict[str, str] = {}
    for name, properties in project.of_type(FUNCTION).items():
        group = target_of((properties.get("LoggingConfig") or {}).get("LogGroup"))
        if group not in groups:
            yield f"{name}: LoggingConfig.LogGroup does not point at a log group of this template"
        elif group in used:
            yield f"{name}: shares {group} with {used[group]}"
        else:
            used[group] = name


@rule("F03", "Every function states timeout and memory; one behind the HTTP API ends before the API gives up.")
def timeout_and_memory(project: Project) -> Iterator[str]:
    behind_api = {target_of(p["IntegrationUri"]) for p in project.of_type("AWS::ApiGatewayV2::Integration").values()}
    for name, properties in project.of_type(FUNCTION).items():
        timeout, memory = properties.get("Timeout"), properties.get("MemorySize")
        if not isinstance(timeout, int) or not 1 <= timeout <= 900:
            yield f"{name}: Timeout is {timeout!r}"
        elif name in behind_api and timeout >= HTTP_API_LIMIT_S:
            yield f"{name}: Timeout {timeout} s, but the HTTP API gives up after {HTTP_API_LIMIT_S} s"
        if not isinstance(memory, int):
            yield f"{name}: MemorySize is {memory!r}"


@rule("F04", "Every function has an alarm on its errors.")
def error_alarm(project: Project) -> Iterator[str]:
    alarms = alarms_on(project, "Errors")
    yield from (f"{name}: no alarm on AWS/Lambda Errors" for name in project.of_type(FUNCTION) if name not in alarms)


@rule("F05", "A function that is invoked asynchronously has a failure destination and bounded retries.")
def failure_destination(project: Project) -> Iterator[str]:
    for name in sorted(invoked_asynchronously(project)):
        config = project.of_type(FUNCTION)[name].get("EventInvokeConfig") or {}
        destination = ((config.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        if target_of(destination) not in project.of_type("AWS::SQS::Queue"):
            yield f"{name}: EventInvokeConfig names no queue as OnFailure destination"
        if "MaximumRetryAttempts" not in config or "MaximumEventAgeInSeconds" not in config:
            yield f"{name}: EventInvokeConfig does not bound retries and age"


@rule(
    "F06",
    "A queue event source reports failed items one by one, is capped, and its queue hides messages six timeouts long.",
)
def queue_sources(project: Project) -> Iterator[str]:
    queues = project.of_type("AWS::SQS::Queue")
    for name, event, properties in event_sources(project, "SQS"):
        if "ReportBatchItemFailures" not in as_list(properties.get("FunctionResponseTypes")):
            yield f"{name}.{event}: no ReportBatchItemFailures"
        if not (properties.get("ScalingConfig") or {}).get("MaximumConcurrency"):
            yield f"{name}.{event}: no ScalingConfig.MaximumConcurrency"
        queue = target_of(properties["Queue"])
        timeout = project.of_type(FUNCTION)[name].get("Timeout", 0)
        visibility = queues.get(queue or "", {}).get("VisibilityTimeout", 0)
        if visibility < 6 * timeout:
            yield f"{name}.{event}: {queue} hides messages for {visibility} s, less than 6 x {timeout} s"


@rule(
    "F07",
    "A stream event source reports failed items, bisects, bounds its retries and has a failure destination.",
)
def stream_sources(project: Project) -> Iterator[str]:
    for name, event, properties in event_sources(project, "DynamoDB"):
        destination = ((properties.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        facts = {
            "ReportBatchItemFailures": "ReportBatchItemFailures" in as_list(properties.get("FunctionResponseTypes")),
            "BisectBatchOnFunctionError": properties.get("BisectBatchOnFunctionError") is True,
            "MaximumRetryAttempts": properties.get("MaximumRetryAttempts", -1) >= 0,
            "MaximumRecordAgeInSeconds": properties.get("MaximumRecordAgeInSeconds", -1) > 0,
            "an OnFailure queue": target_of(destination) in project.of_type("AWS::SQS::Queue"),
        }
        yield from (f"{name}.{event}: no {fact}" for fact, holds in facts.items() if not holds)
        alarms = alarms_on(project, "IteratorAge")
        if name not in alarms:
            yield f"{name}.{event}: no alarm on IteratorAge"


@rule("F08", "A handler is <package>.handler.handler or <package>.<which>_handler.handler, and is in functions/.")
def handler_exists(project: Project) -> Iterator[str]:
    for name, properties in project.of_type(FUNCTION).items():
        package, module, entry = (*str(properties.get("Handler")).split("."), "", "")[:3]
        if entry != "handler" or not (module == "handler" or module.endswith("_handler")):
            yield f"{name}: Handler is {properties.get('Handler')}"
        elif not (ROOT / "functions" / package / f"{module}.py").is_file():
            yield f"{name}: functions/{package}/{module}.py does not exist"


@rule("F09", "A function that sends failures to a queue may send to it.")
def destination_right(project: Project) -> Iterator[str]:
    for name, properties in project.of_type(FUNCTION).items():
        role = project.resources[target_of(properties["Role"]) or ""]
        allowed = {
            target_of(resource)
            for policy in role["Properties"].get("Policies", [])
            for statement in policy["PolicyDocument"]["Statement"]
            if "sqs:SendMessage" in as_list(statement["Action"])
            for resource in as_list(statement["Resource"])
        }
        wanted = {
            target_of(node["Destination"])
            for _, node in walk(properties)
            if isinstance(node, dict) and "Destination" in node
        }
        yield from (f"{name}: its role may not send to {queue}" for queue in sorted(map(str, wanted - allowed)))


@rule("F10", "The functions' environment is what dataloop.settings reads, and settings without a default are set.")
def environment(project: Project) -> Iterator[str]:
    given = set(project.document["Globals"]["Function"]["Environment"]["Variables"])
    known = {settings.PREFIX + field.name.upper(): field.default is MISSING for field in fields(settings.Settings)}
    own = {name for name in given if name.startswith(settings.PREFIX)}
    yield from (f"{name}: set, but no setting" for name in sorted(own - set(known)))
    # Lambda itself sets the region.
    required = {name for name, is_required in known.items() if is_required} - {"DATALOOP_REGION"}
    yield from (f"{name}: needed, but not set" for name in sorted(required - given))


def event_sources(project: Project, kind: str) -> Iterator[tuple[str, str, dict[str, Json]]]:
    """(function, event name, properties) of every SAM event of one kind."""
    for name, properties in project.of_type(FUNCTION).items():
        for event, body in (properties.get("Events") or {}).items():
            if body["Type"] == kind:
                yield name, event, body["Properties"]
