"""Deploy to AWS: resolve the containers, upload the job code, build and deploy the stack (docs/deploy.md).

    python -m deploy --stage dev [--region eu-central-1] [--parameter Name=Value]... [--yes]

Runs in the deploy environment (`make deploy` makes it): sam, boto3 and `sagemaker` are not needed anywhere else.
An existing stack gets the new code before it is told the new digest, so no job starts without its code. A new stack has
no bucket yet and gets the code right after; no job can start in between, because nothing has a key to start one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from deploy import upload_code

ROOT = Path(__file__).resolve().parents[1]


def stack_outputs(client: Any, stack: str) -> dict[str, str]:
    """Outputs of a deployed stack; {} when there is none yet."""
    try:
        found = client.describe_stacks(StackName=stack)["Stacks"][0]
    except client.exceptions.ClientError as error:
        # CloudFormation has no code of its own for "no such stack": it is a ValidationError about the name.
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        return {}
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def sam_commands(sam: str, stack: str, region: str, parameters: dict[str, str], confirm: bool) -> list[list[str]]:
    """The two sam calls, run from the repository root. Parameters not named keep the deployed stack's values."""
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    deploy = [sam, "deploy", "--stack-name", stack, "--region", region, "--resolve-s3", "--s3-prefix", stack]
    deploy += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset"]
    deploy += ["--tags", "project=dataloop", f"stage={parameters['Stage']}"]
    deploy += ["--confirm-changeset"] if confirm else ["--no-confirm-changeset"]
    return [[sam, "build"], [*deploy, "--parameter-overrides", *overrides]]


def chosen_parameters(stage: str, images: dict[str, str], code_digest: str, named: Iterable[str]) -> dict[str, str]:
    """Resolved parameters, then the ones named on the command line (Name=Value), which win. Raises ValueError."""
    parameters = {"Stage": stage, **images, "CodeDigest": code_digest}
    for pair in named:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise ValueError(f"--parameter {pair}: write Name=Value")
        parameters[name] = value
    return parameters


def main(arguments: list[str] | None = None) -> int:
    """Deploy one stage; prints the stack's outputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", default="dev")
    parser.add_argument("--region", help="the one of the AWS profile or AWS_REGION by default")
    parser.add_argument("--training-instance", default="ml.g5.xlarge")
    parser.add_argument("--processing-instance", default="ml.m5.xlarge")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="of template.yaml")
    parser.add_argument("--wheels", action="store_true", help="ship the job requirements as wheels")
    parser.add_argument("--sam", default=str(Path(sys.executable).parent / "sam"))
    parser.add_argument("--yes", action="store_true", help="do not ask before the change set is executed")
    options = parser.parse_args(arguments)

    import boto3  # both only in the deploy environment

    from deploy import resolve_images

    region = options.region or boto3.session.Session().region_name
    if not region:
        parser.error("no region: give --region, or set AWS_REGION")
    images = resolve_images.resolve(region, options.training_instance, options.processing_instance)
    files = upload_code.package(ROOT / "jobs")
    if options.wheels:
        files |= upload_code.wheels(
            ROOT / "jobs" / "requirements.txt", upload_code.CONTAINER_PYTHON, upload_code.CONTAINER_PLATFORMS
        )
    code_digest = upload_code.digest(files)
    resolved = {
        **images.overrides(),
        "TrainingInstanceType": options.training_instance,
        "ProcessingInstanceType": options.processing_instance,
    }
    parameters = chosen_parameters(options.stage, resolved, code_digest, options.parameter)

    stack = f"dataloop-{options.stage}"
    client = boto3.client("cloudformation", region_name=region)
    prefix = f"{parameters.get('CodePrefix', 'code')}/{code_digest}/"
    before = stack_outputs(client, stack)
    if "ArtifactsBucketName" in before:
        upload_code.upload(files, before["ArtifactsBucketName"], prefix, region)
    for command in sam_commands(options.sam, stack, region, parameters, not options.yes):
        subprocess.run(command, check=True, cwd=ROOT)  # noqa: S603 - our own arguments
    after = stack_outputs(client, stack)
    upload_code.upload(files, after["ArtifactsBucketName"], prefix, region)
    sys.stdout.write("".join(f"{name} {value}\n" for name, value in sorted(after.items())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
