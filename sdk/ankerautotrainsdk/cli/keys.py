"""dataloop keys …"""

from __future__ import annotations

import importlib
import json
from typing import Annotated, Any

import typer

from ankerautotrainsdk.cli import output
from ankerautotrainsdk.cli.options import Cursor, Json, Limit, MaxSecurityLevel, Regions, restriction, use
from ankerautotrainsdk.cli.session import open_client
from ankerautotrainsdk.errors import ApiError, ConfigurationError, ConnectionFailed, error_from_answer

group = typer.Typer(help="API keys: list, create, revoke, bootstrap.", no_args_is_help=True)
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="read, write, train, release, predict, admin; repeatable.")
]
_STEPS_FUNCTION = "WorkflowStepsFunction"


@group.command("list")
def list_(limit: Limit = None, cursor: Cursor = None, as_json: Json = False) -> None:
    """The keys, without their secrets."""
    use(as_json)
    with open_client() as client:
        page = client.list_keys(limit=limit, cursor=cursor)
    output.table(page, page, ("key_id", "name", "scopes", "expires_at"))


@group.command()
def create(
    name: str,
    scope: Scopes = None,
    expires_in_days: Annotated[int | None, typer.Option("--expires-in-days", min=1)] = None,
    region: Regions = None,
    max_security_level: MaxSecurityLevel = None,
    signing: Annotated[bool, typer.Option("--signing", help="A pair AK/SK for clients that sign requests.")] = False,
    project: Annotated[
        list[str] | None, typer.Option("--project", help="Project id its holder may name; repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a key (by default read and write) and print it, this one time."""
    use(as_json)
    with open_client() as client:
        made = client.create_key(
            name,
            scope or ["read", "write"],
            expires_in_days=expires_in_days,
            residency=restriction(region, max_security_level),
            signing=signing or None,
            projects=project,
        )
    output.emit(made, f"{made.access_key_id} {made.key}" if signing else made.key)


@group.command()
def revoke(key_id: str, as_json: Json = False) -> None:
    """Make a key useless from now on."""
    use(as_json)
    with open_client() as client:
        client.revoke_key(key_id)
    output.emit({"key_id": key_id, "revoked": True}, f"{key_id} revoked")


@group.command()
def bootstrap(
    stack: Annotated[str, typer.Option("--stack", help="Name of the CloudFormation stack.")],
    name: Annotated[str, typer.Option("--name", help="Name of the key.")] = "first",
    tenant: Annotated[str, typer.Option("--tenant")] = "default",
    scope: Scopes = None,
    region: Annotated[str | None, typer.Option("--region")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="AWS profile.")] = None,
    as_json: Json = False,
) -> None:
    """Make the very first key of a service on AWS (by default scope admin), with your AWS permissions.

    Calls the stack's WorkflowStepsFunction; needs cloudformation:DescribeStackResource and lambda:InvokeFunction.
    """
    use(as_json)
    made = _created_by_lambda(stack, region, profile, {"tenant": tenant, "name": name, "scopes": scope or ["admin"]})
    output.emit(made, made["key"])


def _created_by_lambda(stack: str, region: str | None, profile: str | None, body: dict[str, Any]) -> dict[str, Any]:
    try:
        # By name: boto3 is no dependency of the client (an import rule says so), and only this command uses it.
        boto3 = importlib.import_module("boto3")
        faults = importlib.import_module("botocore.exceptions")
    except ImportError as error:
        raise ConfigurationError(
            "keys bootstrap needs boto3: run it in the deploy environment, or pip install boto3"
        ) from error
    try:
        aws = boto3.session.Session(profile_name=profile, region_name=region)
        found = aws.client("cloudformation").describe_stack_resource(StackName=stack, LogicalResourceId=_STEPS_FUNCTION)
        answer = aws.client("lambda").invoke(
            FunctionName=found["StackResourceDetail"]["PhysicalResourceId"],
            Payload=json.dumps({"step": "keys.create", "input": body}).encode(),
        )
        content = json.loads(answer["Payload"].read())
    except faults.ClientError as error:
        fault = error.response.get("Error", {})
        details = {"stack": stack, "operation": error.operation_name}
        raise ApiError(fault.get("Message", str(error)), code=fault.get("Code"), details=details) from error
    except faults.BotoCoreError as error:
        raise ConnectionFailed(f"cannot ask AWS: {error}") from error
    if answer.get("FunctionError"):
        raise error_from_answer(
            None, {"code": content.get("errorType"), "message": content.get("errorMessage")}, fallback="the step failed"
        )
    made: dict[str, Any] = {"key_id": content["key_id"], "key": content["key"]}
    return made
