"""The SageMaker model registry: a package per model, in a group per deployment."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dataloop.domain.errors import Unavailable


class ModelRegistry:
    """Model packages let SageMaker's own tools (endpoints, approvals) find what we trained."""

    def __init__(self, client: Any, group: str) -> None:
        self._client = client
        self._group = group

    def register(self, *, token: str, image: str, model_data_uri: str, description: str) -> str | None:
        """Create a model package; returns its ARN, or None when no group is configured.

        The same token (a model id) again returns the same package: SageMaker keeps client tokens, and before that we
        look for a package whose metadata carries it. 1–3 calls.
        """
        if not self._group:
            return None
        try:
            self._ensure_group()
            found = self._find(token)
            if found:
                return found
            answer = self._client.create_model_package(
                ModelPackageGroupName=self._group,
                ModelPackageDescription=description[:1024],
                ClientToken=token,
                CustomerMetadataProperties={"dataloop-model-id": token},
                InferenceSpecification={
                    "Containers": [{"Image": image, "ModelDataUrl": model_data_uri}],
                    "SupportedContentTypes": ["image/jpeg", "image/png"],
                    "SupportedResponseMIMETypes": ["application/json"],
                },
                ModelApprovalStatus="PendingManualApproval",
            )
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"SageMaker: {error}") from error
        arn: str = answer["ModelPackageArn"]
        return arn

    def approve(self, arn: str) -> None:
        """Mark a package as approved: it was released."""
        try:
            self._client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        except (ClientError, BotoCoreError) as error:
            raise Unavailable(f"SageMaker: {error}") from error

    def _ensure_group(self) -> None:
        try:
            self._client.create_model_package_group(ModelPackageGroupName=self._group)
        except ClientError as error:
            if "already exists" not in str(error).lower() and error.response["Error"]["Code"] not in (
                "ResourceInUse",
                "ConflictException",
            ):
                raise

    def _find(self, token: str) -> str | None:
        newest = self._client.list_model_packages(
            ModelPackageGroupName=self._group, SortBy="CreationTime", SortOrder="Descending", MaxResults=20
        )
        for summary in newest.get("ModelPackageSummaryList", []):
            arn: str = summary["ModelPackageArn"]
            package = self._client.describe_model_package(ModelPackageName=arn)
            if package.get("CustomerMetadataProperties", {}).get("dataloop-model-id") == token:
                return arn
        return None
