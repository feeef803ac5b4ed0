"""Microsoft's Python clients, as their quickstarts make them."""

from __future__ import annotations

from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient
from msrest.authentication import ApiKeyCredentials


def training_client(url: str, key: str) -> CustomVisionTrainingClient:
    return _quick(CustomVisionTrainingClient(url, ApiKeyCredentials(in_headers={"Training-key": key})))


def prediction_client(url: str, key: str) -> CustomVisionPredictionClient:
    return _quick(CustomVisionPredictionClient(url, ApiKeyCredentials(in_headers={"Prediction-key": key})))


def _quick(client: CustomVisionTrainingClient) -> CustomVisionTrainingClient:
    """No retries: a 5xx in a test is a failure at once, not after seconds of waiting."""
    client.config.retry_policy.policy.total = 0
    client.config.keep_alive = True
    return client
