"""Rules about storage, queues, events, alarms, policies and partitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import botocore.session
from botocore import xform_name

from tests.infra.rule import rule
from tests.infra.rules_functions import FUNCTION, alarms_on
from tests.infra.template import ROOT, Json, Project, as_list, target_of, text_of, walk

QUEUE = "AWS::SQS::Queue"
BUCKET = "AWS::S3::Bucket"
FOURTEEN_DAYS_S = 1_209_600


def dead_letter_queues(project: Project) -> set[str]:
    """Queues that something names as its dead letter queue or failure destination."""
    found: set[str] = set()
    for path, node in walk(project.resources):
        if not isinstance(node, dict):
            continue
        if "deadLetterTargetArn" in node:
            found.add(target_of(node["deadLetterTargetArn"]) or "")
        if path and path[-1] == "DeadLetterConfig":
            found.add(target_of(node.get("Arn")) or "")
        if path and path[-1] == "OnFailure":
            found.add(target_of(node.get("Destination")) or "")
    return found & set(project.of_type(QUEUE))


@rule("Q01", "Every queue is redriven to a dead letter queue or is one.")
def redriven(project: Project) -> Iterator[str]:
    dead = dead_letter_queues(project)
    for name, properties in project.of_type(QUEUE).items():
        policy = properties.get("RedrivePolicy") or {}
        if name not in dead and target_of(policy.get("deadLetterTargetArn")) not in project.of_type(QUEUE):
            yield f"{name}: no RedrivePolicy, and nothing uses it as dead letter queue"


@rule("Q02", "Every dead letter queue has an alarm on its depth and keeps messages 14 days.")
def dead_letters_are_seen(project: Project) -> Iterator[str]:
    alarms = alarms_on(project, "ApproximateNumberOfMessagesVisible")
    for name in sorted(dead_letter_queues(project)):
        if name not in alarms:
            yield f"{name}: no alarm on ApproximateNumberOfMessagesVisible"
        if project.of_type(QUEUE)[name].get("MessageRetentionPeriod") != FOURTEEN_DAYS_S:
            yield f"{name}: does not keep messages 14 days"


@rule("Q03", "Every queue is encrypted.")
def queues_encrypted(project: Project) -> Iterator[str]:
    for name, properties in project.of_type(QUEUE).items():
        if properties.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in properties:
            yield f"{name}: no SqsManagedSseEnabled"


@rule("B01", "Every bucket is versioned, encrypted, closed to the public, owned by us, and drops unfinished uploads.")
def buckets(project: Project) -> Iterator[str]:
    for name, properties in project.of_type(BUCKET).items():
        blocked = properties.get("PublicAccessBlockConfiguration") or {}
        lifecycle = (properties.get("LifecycleConfiguration") or {}).get("Rules") or []
        facts = {
            "versioning": properties.get("VersioningConfiguration") == {"Status": "Enabled"},
            "encryption": bool((properties.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration")),
            "full public access block": len(blocked) == 4 and all(value is True for value in blocked.values()),
            "enforced ownership": "BucketOwnerEnforced" in text_of(properties.get("OwnershipControls") or {}),
            "abort of unfinished uploads": any("AbortIncompleteMultipartUpload" in item for item in lifecycle),
            "DeletionPolicy Retain": project.resources[name].get("DeletionPolicy") == "Retain",
        }
        yield from (f"{name}: no {fact}" for fact, holds in facts.items() if not holds)


@rule("B02", "Every bucket refuses plain HTTP.")
def tls_only(project: Project) -> Iterator[str]:
    guarded = set()
    for properties in project.of_type("AWS::S3::BucketPolicy").values():
        for statement in properties["PolicyDocument"]["Statement"]:
            denies = statement["Effect"] == "Deny" and statement.get("Principal") == "*"
            if denies and text_of(statement.get("Condition") or {}) == '{"Bool": {"aws:SecureTransport": "false"}}':
                guarded.add(target_of(properties["Bucket"]))
    yield from (f"{name}: no policy that denies plain HTTP" for name in project.of_type(BUCKET) if name not in guarded)


@rule("B03", "Old versions of raw data never expire: lineage names them.")
def raw_versions_stay(project: Project) -> Iterator[str]:
    for item in (project.of_type(BUCKET)["RawBucket"].get("LifecycleConfiguration") or {}).get("Rules") or []:
        if any(key.startswith(("NoncurrentVersion", "Expiration")) for key in item):
            yield f"RawBucket: lifecycle rule {item.get('Id')} expires objects"


@rule(
    "D01", "Tables are on demand and encrypted; the table of entities is recoverable, streamed, protected and retained."
)
def tables(project: Project) -> Iterator[str]:
    for name, properties in project.of_type("AWS::DynamoDB::Table").items():
        if properties.get("BillingMode") != "PAY_PER_REQUEST" or not properties.get("SSESpecification"):
            yield f"{name}: not on demand or not encrypted"
        if "TimeToLiveSpecification" in properties:
            continue
        facts = {
            "point in time recovery": "true" in text_of(properties.get("PointInTimeRecoverySpecification") or {}),
            "stream of both images": "NEW_AND_OLD_IMAGES" in text_of(properties.get("StreamSpecification") or {}),
            "deletion protection by condition": "Fn::If" in text_of(properties.get("DeletionProtectionEnabled")),
            "DeletionPolicy Retain": project.resources[name].get("DeletionPolicy") == "Retain",
        }
        yield from (f"{name}: no {fact}" for fact, holds in facts.items() if not holds)


@rule("E01", "Every target of a rule or a schedule has a retry policy and a dead letter queue.")
def targets(project: Project) -> Iterator[str]:
    named = [(n, t) for n, p in project.of_type("AWS::Events::Rule").items() for t in p.get("Targets", [])]
    named += [(name, p["Target"]) for name, p in project.of_type("AWS::Scheduler::Schedule").items()]
    for name, target in named:
        if set(target.get("RetryPolicy") or {}) != {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"}:
            yield f"{name}: target without a whole RetryPolicy"
        if target_of((target.get("DeadLetterConfig") or {}).get("Arn")) not in project.of_type(QUEUE):
            yield f"{name}: target without DeadLetterConfig"


@rule("E02", "A rule may reach its target and its dead letter queue.")
def rules_may_deliver(project: Project) -> Iterator[str]:
    senders: dict[str, set[str | None]] = {}
    for properties in project.of_type("AWS::SQS::QueuePolicy").values():
        sources = {
            target_of(arn)
            for statement in properties["PolicyDocument"]["Statement"]
            for arn in as_list((statement.get("Condition") or {}).get("ArnEquals", {}).get("aws:SourceArn"))
        }
        for queue in properties["Queues"]:
            senders.setdefault(target_of(queue) or "", set()).update(sources)
    invokers = {
        (target_of(p["FunctionName"]), target_of(p.get("SourceArn")))
        for p in project.of_type("AWS::Lambda::Permission").values()
    }
    for name, properties in project.of_type("AWS::Events::Rule").items():
        for target in properties["Targets"]:
            to, dead = (
                target_of(target["Arn"]) or "",
                target_of((target.get("DeadLetterConfig") or {}).get("Arn")) or "",
            )
            if to in project.of_type(FUNCTION) and (to, name) not in invokers:
                yield f"{name}: no permission to invoke {to}"
            if to in project.of_type(QUEUE) and name not in senders.get(to, set()):
                yield f"{name}: {to} has no policy that lets it send"
            if dead and name not in senders.get(dead, set()):
                yield f"{name}: {dead} has no policy that lets it send"


@rule("A01", "Every state machine has an alarm on failed executions.")
def machine_alarms(project: Project) -> Iterator[str]:
    alarms = alarms_on(project, "ExecutionsFailed")
    for name in project.of_type("AWS::Serverless::StateMachine"):
        if name not in alarms:
            yield f"{name}: no alarm on ExecutionsFailed"


@rule("A02", "Every alarm tells the topic, and silence is not an alarm.")
def alarms_tell(project: Project) -> Iterator[str]:
    for name, properties in project.of_type("AWS::CloudWatch::Alarm").items():
        if [target_of(action) for action in properties.get("AlarmActions") or []] != ["AlarmTopic"]:
            yield f"{name}: AlarmActions is not the topic"
        if properties.get("TreatMissingData") != "notBreaching":
            yield f"{name}: TreatMissingData is not notBreaching"


@rule("A03", "Failed tasks and API server errors are counted and have alarms.")
def task_alarm(project: Project) -> Iterator[str]:
    counted = {
        (text_of(item["MetricNamespace"]), item["MetricName"])
        for properties in project.of_type("AWS::Logs::MetricFilter").values()
        for item in properties["MetricTransformations"]
    }
    watched = {(text_of(p["Namespace"]), p["MetricName"]) for p in project.of_type("AWS::CloudWatch::Alarm").values()}
    if not any(name == "FailedTasks" for _, name in counted):
        yield "no metric filter counts FailedTasks"
    yield from (f"nothing watches {metric}" for metric in sorted(counted - watched))
    if ("AWS/ApiGateway", "5xx") not in watched:
        yield "nothing watches AWS/ApiGateway 5xx"


@rule("L01", "Every log group has the retention of the parameter.")
def retention(project: Project) -> Iterator[str]:
    for name, properties in project.of_type("AWS::Logs::LogGroup").items():
        if properties.get("RetentionInDays") != {"Ref": "LogRetentionDays"}:
            yield f"{name}: RetentionInDays is not LogRetentionDays"


@rule("L02", "The API is the $default stage of an HTTP API, throttled and logged; routes are explicit.")
def api_stage(project: Project) -> Iterator[str]:
    stages = project.of_type("AWS::ApiGatewayV2::Stage")
    if not stages:
        yield "there is no AWS::ApiGatewayV2::Stage"
    for name, properties in stages.items():
        settings = properties.get("DefaultRouteSettings") or {}
        facts = {
            "StageName $default": properties.get("StageName") == "$default",
            "throttling": bool(settings.get("ThrottlingRateLimit") and settings.get("ThrottlingBurstLimit")),
            "access log": bool((properties.get("AccessLogSettings") or {}).get("DestinationArn")),
        }
        yield from (f"{name}: no {fact}" for fact, holds in facts.items() if not holds)
    for name in project.of_type("AWS::Serverless::HttpApi"):
        yield f"{name}: SAM's HttpApi does not deploy on one machine; write AWS::ApiGatewayV2 resources"


def statements(project: Project) -> Iterator[tuple[str, dict[str, Json]]]:
    """(logical id, statement) of every identity policy."""
    for name, body in project.resources.items():
        if body["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy"):
            documents = [p["PolicyDocument"] for p in body["Properties"].get("Policies", [])]
            documents += [body["Properties"]["PolicyDocument"]] if "PolicyDocument" in body["Properties"] else []
            for document in documents:
                yield from ((name, statement) for statement in document["Statement"])


@rule(
    "P01", "A * in a resource is explained in Metadata.dataloop.wildcards under the statement's Sid; no action has one."
)
def wildcards_explained(project: Project) -> Iterator[str]:
    needed: dict[str, set[str]] = {}
    for name, statement in statements(project):
        sid = statement.get("Sid", "?")
        if any("*" in action for action in as_list(statement["Action"])):
            yield f"{name}.{sid}: an action has a *"
        if any("*" in text_of(resource) for resource in as_list(statement["Resource"])):
            needed.setdefault(name, set()).add(sid)
    for name, body in project.resources.items():
        reasons = ((body.get("Metadata") or {}).get("dataloop") or {}).get("wildcards") or {}
        missing, stale = needed.get(name, set()) - set(reasons), set(reasons) - needed.get(name, set())
        yield from (f"{name}.{sid}: a * without a reason" for sid in sorted(missing))
        yield from (f"{name}: a reason for {sid}, which has no *" for sid in sorted(stale))
        yield from (
            f"{name}.{sid}: the reason says nothing" for sid, why in reasons.items() if len(str(why).split()) < 4
        )


@rule("P02", "Every role trusts exactly one service, and a service that acts for others only in our account.")
def trust(project: Project) -> Iterator[str]:
    for name, properties in project.of_type("AWS::IAM::Role").items():
        trusted = properties["AssumeRolePolicyDocument"]["Statement"]
        services = [s.get("Principal", {}).get("Service") for s in trusted]
        if len(services) != 1 or not isinstance(services[0], str):
            yield f"{name}: trusts {services}"
        elif services[0] != "lambda.amazonaws.com" and "aws:SourceAccount" not in text_of(
            trusted[0].get("Condition") or {}
        ):
            yield f"{name}: trusts {services[0]} for any account"


@rule("P03", "No ARN or host name fixes the partition: ${AWS::Partition}, ${AWS::URLSuffix}, in machines ${Partition}.")
def partition_safe(project: Project) -> Iterator[str]:
    for source, text in {"template.yaml": project.text, **project.machine_texts}.items():
        for number, line in enumerate(text.splitlines(), 1):
            code = line.split(" #")[0] if source == "template.yaml" else line
            if re.search(r"\barn:aws", code):
                yield f"{source}:{number}: a literal partition"
            # Service principals (lambda.amazonaws.com) are the same in every partition; hosts are not.
            host = re.search(r"[\w}-]+\.amazonaws\.com", code)
            if host and not re.search(
                r"(Service|Principal): [a-z0-9]+\.amazonaws\.com|PassedToService: [a-z]+\.amazonaws\.com", code
            ):
                yield f"{source}:{number}: a literal host suffix {host.group()}"


@rule("P04", "PassRole names one role and the service it may be passed to.")
def pass_role(project: Project) -> Iterator[str]:
    for name, statement in statements(project):
        if "iam:PassRole" in as_list(statement["Action"]) and (
            [target_of(r) for r in as_list(statement["Resource"])] != ["JobRole"]
            or "iam:PassedToService" not in text_of(statement.get("Condition") or {})
        ):
            yield f"{name}.{statement.get('Sid')}: PassRole is wider than the job role for SageMaker"


# IAM's name where it is not the operation's own; transactions and batches need the rights of what they hold.
IAM_ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:CopyObject": "s3:PutObject",
    "dynamodb:TransactWriteItems": "dynamodb:ConditionCheckItem",
    "dynamodb:TransactGetItems": "dynamodb:GetItem",
}
IAM_SERVICES = {"stepfunctions": "states"}
SEAMS = ("gateways", "repositories")


@cache
def called_operations() -> frozenset[str]:
    """IAM actions of every AWS operation that gateways and repositories name in their source."""
    core = ROOT / "layers" / "dataloop" / "python" / "dataloop"
    source = "\n".join(path.read_text(encoding="utf-8") for seam in SEAMS for path in (core / seam).glob("*.py"))
    # Called as a method or through a name in quotes, never the bare word: `get_item` may be a word of our own.
    words = set(re.findall(r"_client\.(\w+)\(", source)) | set(re.findall(r"\"([a-z0-9_]+)\"", source))
    session = botocore.session.get_session()
    found = set()
    for service in ("s3", "dynamodb", "sqs", "events", "stepfunctions", "sagemaker", "secretsmanager"):
        for operation in session.get_service_model(service).operation_names:
            if xform_name(operation) in words:
                action = f"{IAM_SERVICES.get(service, service)}:{operation}"
                found.add(IAM_ACTIONS.get(action, action))
    return frozenset(found)


@rule("P05", "Every AWS operation that the core calls is allowed to some function.")
def operations_allowed(project: Project) -> Iterator[str]:
    granted = {action for _, statement in statements(project) for action in as_list(statement["Action"])}
    yield from (f"{action}: no role has it" for action in sorted(called_operations() - granted))
