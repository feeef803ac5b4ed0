"""Every rule notices: each mutation breaks a copy of the project in one way, and exactly its rule must complain."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.config import ManualArgs

from tests.infra import rules_functions, rules_machines, rules_resources
from tests.infra.rule import RULES
from tests.infra.template import Project, as_list, load_project

ENROLLED = (rules_functions, rules_machines, rules_resources)
Mutation = Callable[[Project], None]
ABSENT = object()


def put(path: str, value: Any = ABSENT) -> Mutation:
    """Set (or delete) one place of the template; `path` is below Resources, parts separated by spaces."""

    def mutate(project: Project) -> None:
        *parents, last = path.split()
        node: Any = project.resources
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node[part]
        if value is ABSENT:
            node.pop(int(last) if isinstance(node, list) else last)
        else:
            node[int(last) if isinstance(node, list) else last] = value

    return mutate


def state(machine: str, name: str, key: str, value: Any = ABSENT) -> Mutation:
    """Set (or delete) one field of one state; a name like Map/Child is a state inside a map."""

    def mutate(project: Project) -> None:
        scope = project.machines[machine]
        *maps, last = name.split("/")
        for outer in maps:
            scope = scope["States"][outer]["ItemProcessor"]
        if value is ABSENT:
            del scope["States"][last][key]
        else:
            scope["States"][last][key] = value
        project.machine_texts[machine] = json.dumps(project.machines[machine])

    return mutate


def text(old: str, new: str) -> Mutation:
    """Replace one piece of the template's text (for the rules that read text)."""

    def mutate(project: Project) -> None:
        assert old in project.text
        project.text = project.text.replace(old, new, 1)

    return mutate


def machine_text(machine: str, old: str, new: str) -> Mutation:
    """Replace one piece of a machine's text."""

    def mutate(project: Project) -> None:
        assert old in project.machine_texts[machine]
        project.machine_texts[machine] = project.machine_texts[machine].replace(old, new, 1)
        project.machines[machine] = json.loads(project.machine_texts[machine])

    return mutate


def environment(name: str, value: Any = ABSENT) -> Mutation:
    """Set (or delete) one variable of all functions."""

    def mutate(project: Project) -> None:
        variables = project.document["Globals"]["Function"]["Environment"]["Variables"]
        if value is ABSENT:
            del variables[name]
        else:
            variables[name] = value

    return mutate


def without_action(action: str) -> Mutation:
    """Take one action out of every statement."""

    def mutate(project: Project) -> None:
        for _, statement in rules_resources.statements(project):
            statement["Action"] = [item for item in as_list(statement["Action"]) if item != action]

    return mutate


STEPS_POLICY = "WorkflowStepsRole Properties Policies 0 PolicyDocument Statement"
RETRY = {"ErrorEquals": ["Throttled"], "IntervalSeconds": 1, "MaxAttempts": 3}

MUTATIONS: list[tuple[str, str, Mutation]] = [
    (
        "F01",
        "two functions share a role",
        put("TrackTaskFunction Properties Role", {"Fn::GetAtt": ["StartLoopRole", "Arn"]}),
    ),
    ("F01", "a role that is not ours", put("TrackTaskFunction Properties Role", "arn:x:iam::1:role/admin")),
    (
        "F02",
        "two functions share a log group",
        put("TrackTaskFunction Properties LoggingConfig LogGroup", {"Ref": "ApiSdkLogs"}),
    ),
    ("F02", "no logging configuration", put("TrackTaskFunction Properties LoggingConfig")),
    ("F03", "no timeout", put("TrackTaskFunction Properties Timeout")),
    ("F03", "longer than the API waits", put("ApiSdkFunction Properties Timeout", 60)),
    ("F03", "no memory", put("ApiSdkFunction Properties MemorySize")),
    ("F04", "alarm removed", put("TrackTaskErrorsAlarm")),
    ("F05", "no failure destination", put("TrackTaskFunction Properties EventInvokeConfig")),
    (
        "F06",
        "batch fails as a whole",
        put("IngestObjectFunction Properties Events Uploads Properties FunctionResponseTypes"),
    ),
    ("F06", "no cap on the consumer", put("IngestObjectFunction Properties Events Uploads Properties ScalingConfig")),
    ("F06", "messages come back too early", put("IngestQueue Properties VisibilityTimeout", 120)),
    (
        "F07",
        "stream batch is not bisected",
        put("PublishChangesFunction Properties Events Changes Properties BisectBatchOnFunctionError", False),
    ),
    (
        "F07",
        "stream retries for ever",
        put("PublishChangesFunction Properties Events Changes Properties MaximumRetryAttempts", -1),
    ),
    (
        "F07",
        "stream failures vanish",
        put("PublishChangesFunction Properties Events Changes Properties DestinationConfig"),
    ),
    ("F07", "nobody sees a late stream", put("StreamAgeAlarm")),
    ("F08", "handler of another shape", put("ApiSdkFunction Properties Handler", "api_sdk.app.main")),
    ("F09", "destination without the right", put("TrackTaskRole Properties Policies 0 PolicyDocument Statement", [])),
    ("F10", "a variable that nothing reads", environment("DATALOOP_EXTRA", "x")),
    ("F10", "a setting that is missing", environment("DATALOOP_TABLE")),
    ("Q01", "no redrive", put("IngestQueue Properties RedrivePolicy")),
    ("Q02", "no alarm on a dead letter queue", put("IngestDlqAlarm")),
    ("Q02", "dead letters kept four days", put("IngestDlq Properties MessageRetentionPeriod", 345600)),
    ("Q03", "queue not encrypted", put("LoopQueue Properties SqsManagedSseEnabled", False)),
    ("B01", "not versioned", put("RawBucket Properties VersioningConfiguration")),
    (
        "B01",
        "half a public access block",
        put("ArtifactsBucket Properties PublicAccessBlockConfiguration BlockPublicPolicy", False),
    ),
    ("B01", "deleted with the stack", put("RawBucket DeletionPolicy", "Delete")),
    ("B02", "no policy", put("RawBucketPolicy")),
    ("B02", "policy denies something else", put("RawBucketPolicy Properties PolicyDocument Statement 0 Condition", {})),
    (
        "B03",
        "old raw versions expire",
        put("RawBucket Properties LifecycleConfiguration Rules 0 NoncurrentVersionExpiration", {"NoncurrentDays": 30}),
    ),
    ("D01", "no recovery", put("Table Properties PointInTimeRecoverySpecification")),
    ("D01", "keys only in the stream", put("Table Properties StreamSpecification StreamViewType", "KEYS_ONLY")),
    ("D01", "provisioned", put("OnceTable Properties BillingMode", "PROVISIONED")),
    ("E01", "target without dead letter queue", put("JobsRule Properties Targets 0 DeadLetterConfig")),
    ("E01", "schedule without retry policy", put("LoopSchedule Properties Target RetryPolicy")),
    ("E02", "rule may not invoke", put("JobsRulePermission")),
    ("E02", "rule may not use the dead letter queue", put("AsyncDlqPolicy")),
    ("E02", "rule may not send to its queue", put("LoopQueuePolicy")),
    ("A01", "machine without alarm", put("TrainingFailedAlarm")),
    ("A02", "alarm that tells nobody", put("TrainingFailedAlarm Properties AlarmActions", [])),
    ("A02", "silence is an alarm", put("TrainingFailedAlarm Properties TreatMissingData", "breaching")),
    ("A03", "failed tasks are counted but not watched", put("FailedTasksAlarm")),
    ("A03", "nobody watches the API", put("ApiServerErrorsAlarm")),
    ("L01", "logs for ever", put("ApiSdkLogs Properties RetentionInDays")),
    ("L02", "no throttling", put("HttpApiStage Properties DefaultRouteSettings")),
    ("L02", "no access log", put("HttpApiStage Properties AccessLogSettings")),
    ("P01", "an unexplained *", put("SchedulerRole Properties Policies 0 PolicyDocument Statement 0 Resource", "*")),
    ("P01", "a wildcard without its reason", put("JobRole Metadata dataloop wildcards Metrics")),
    ("P01", "an action with *", put(f"{STEPS_POLICY} 1 Action", ["s3:*"])),
    (
        "P01",
        "a reason without its wildcard",
        put("SchedulerRole Metadata", {"dataloop": {"wildcards": {"Invoke": "there is no star here"}}}),
    ),
    (
        "P02",
        "a role that two services may take",
        put(
            "JobRole Properties AssumeRolePolicyDocument Statement 0 Principal Service",
            ["sagemaker.amazonaws.com", "ec2.amazonaws.com"],
        ),
    ),
    ("P02", "a confused deputy", put("JobRole Properties AssumeRolePolicyDocument Statement 0 Condition")),
    ("P03", "a literal partition in the template", text("arn:${AWS::Partition}:s3:::", "arn:aws:s3:::")),
    ("P03", "a literal host suffix", text("${AWS::URLSuffix}", "amazonaws.com")),
    ("P03", "a literal partition in a machine", machine_text("training", "arn:${Partition}:", "arn:aws:")),
    (
        "P04",
        "any role may be passed",
        put("TrainingMachineRole Properties Policies 0 PolicyDocument Statement 1 Resource", "*"),
    ),
    ("P05", "nobody may send to a queue", without_action("sqs:SendMessage")),
    ("M01", "state without comment", state("training", "Train", "Comment")),
    ("M02", "a parallel state", state("training", "RegisterModel", "Type", "Parallel")),
    (
        "M02",
        "an SDK integration",
        state("training", "Train", "Resource", "arn:${Partition}:states:::aws-sdk:s3:putObject"),
    ),
    ("M02", "item batcher", state("dataset_build", "JoinShards", "ItemBatcher", {"MaxItemsPerBatch": 10})),
    ("M02", "result writer", state("dataset_build", "JoinShards", "ResultWriter", {})),
    ("M02", "JSONata", state("training", "Train", "QueryLanguage", "JSONata")),
    ("M02", "heartbeat", state("release", "WaitForApproval", "HeartbeatSeconds", 60)),
    ("M03", "unbounded map", state("dataset_build", "JoinShards", "MaxConcurrency")),
    ("M03", "map that tolerates failures", state("dataset_build", "JoinShards", "ToleratedFailurePercentage", 5)),
    ("M04", "no timeout", state("evaluation", "Evaluate", "TimeoutSeconds")),
    ("M04", "retry without jitter", state("evaluation", "Evaluate", "Retry", [RETRY])),
    ("M04", "no retry", state("dataset_build", "JoinShards/Join", "Retry")),
    (
        "M05",
        "throttles are not retried",
        state(
            "training",
            "Train",
            "Retry",
            [
                {
                    "ErrorEquals": ["X"],
                    "IntervalSeconds": 1,
                    "BackoffRate": 2,
                    "MaxDelaySeconds": 9,
                    "MaxAttempts": 3,
                    "JitterStrategy": "FULL",
                }
            ],
        ),
    ),
    ("M06", "no catch", state("training", "Train", "Catch")),
    ("M06", "no catch inside a map", state("dataset_build", "JoinShards/Join", "Catch")),
    (
        "M06",
        "a failure that nobody records",
        state(
            "training",
            "Train",
            "Catch",
            [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "RegisterModel"}],
        ),
    ),
    (
        "M06",
        "a catch that loses the input",
        state("training", "Train", "Catch", [{"ErrorEquals": ["States.ALL"], "Next": "RecordFailure"}]),
    ),
    ("M07", "a recorded failure that ends well", state("training", "RecordFailure", "Next", "RegisterModel")),
    ("M07", "a Fail that forgets the cause", state("training", "Failed", "CausePath")),
    ("M08", "a result that overwrites the input", state("training", "Prepare", "ResultPath", "$")),
    (
        "M08",
        "a step without tenant",
        state(
            "training",
            "Prepare",
            "Parameters",
            {
                "FunctionName": "${WorkflowStepsFunctionArn}",
                "Payload": {"step": "training.prepare", "input": {"task_id.$": "$.task_id"}},
            },
        ),
    ),
    ("M09", "a Next that does not exist", state("training", "Prepare", "Next", "Nowhere")),
    ("M09", "a state that nothing reaches", state("dataset_build", "HasParts", "Choices", [])),
    (
        "M10",
        "an undefined placeholder",
        put("TrainingMachine Properties DefinitionSubstitutions WorkflowStepsFunctionArn"),
    ),
    ("M10", "an unused definition", put("TrainingMachine Properties DefinitionSubstitutions Extra", "x")),
    (
        "M10",
        "a file that is not deployed",
        put("TrainingMachine Properties DefinitionUri", "statemachines/release.asl.json"),
    ),
    ("M11", "execution data in logs", put("TrainingMachine Properties Logging IncludeExecutionData", True)),
    (
        "M11",
        "a shared log group",
        put(
            "TrainingMachine Properties Logging Destinations 0 CloudWatchLogsLogGroup LogGroupArn",
            {"Fn::GetAtt": ["ReleaseMachineLogs", "Arn"]},
        ),
    ),
    ("M12", "a child that outlives its five minutes", state("dataset_build", "JoinShards/Join", "TimeoutSeconds", 290)),
    ("M12", "children that return data", state("dataset_build", "JoinShards/Join", "OutputPath")),
    ("M14", "a step that does not exist", machine_text("training", "training.prepare", "training.prepear")),
    ("M13", "a machine that may not start its job", put("TrainingMachineRole Properties Policies")),
]


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project()


@pytest.mark.parametrize(("rule_id", "what", "mutate"), MUTATIONS, ids=[f"{r}-{what}" for r, what, _ in MUTATIONS])
def test_rule_notices(rule_id: str, what: str, mutate: Mutation, project: Project) -> None:
    broken = copy.deepcopy(project)
    mutate(broken)
    before, after = set(RULES[rule_id].problems(project)), set(RULES[rule_id].problems(broken))
    assert after - before, f"{rule_id} did not notice: {what}"


def test_every_rule_has_a_mutation() -> None:
    assert {rule_id for rule_id, _, _ in MUTATIONS} == set(RULES)


def test_cfn_lint_notices(project: Project) -> None:
    """The lint test really reads this template: a reference to nothing is found."""
    broken = project.text.replace("!Ref DepsLayer", "!Ref NoSuchLayer")
    assert {match.rule.id for match in lint(broken, config=ManualArgs(regions=["us-east-1"]))} & {
        "E1012",
        "E1020",
        "E0001",
    }
