"""List prices of AWS in us-east-1, on demand, in US dollars, without free tiers: what a bill would say at most.

Each price names the page it stands on and the month for which it is known to have stood there. Prices change: the
report lists the pages and months, and one line here mends a figure.
"""

from __future__ import annotations

from dataclasses import dataclass

REGION = "us-east-1"


@dataclass(frozen=True)
class Price:
    """usd for `per` units; source: the page; as_of: yyyy-mm."""

    usd: float
    per: float
    unit: str
    source: str
    as_of: str

    def of(self, amount: float) -> float:
        """Dollars for so many units."""
        return amount * self.usd / self.per

    @property
    def text(self) -> str:
        """As the page words it: `$0.005 per 1,000 requests`."""
        plain = f"{self.usd:.10f}".rstrip("0").rstrip(".")
        whole, _, cents = plain.partition(".")
        figure = f"{whole}.{cents.ljust(2, '0')}"
        amount = "" if self.per == 1 else f"{'million' if self.per == 1e6 else f'{self.per:,.0f}'} "
        return f"${figure} per {amount}{self.unit}"


_S3 = "Amazon S3 pricing, S3 Standard requests"
_LAMBDA = "AWS Lambda pricing, Arm"
_STATES = "AWS Step Functions pricing"
_DYNAMODB = "Amazon DynamoDB pricing, on-demand (halved in November 2024)"

S3_WRITES = Price(0.005, 1e3, "PUT, COPY, POST or LIST requests", _S3, "2025-06")
S3_READS = Price(0.0004, 1e3, "GET and other requests", _S3, "2025-06")
DYNAMODB_WRITES = Price(0.625, 1e6, "write request units", _DYNAMODB, "2025-06")
DYNAMODB_READS = Price(0.125, 1e6, "read request units", _DYNAMODB, "2025-06")
LAMBDA_REQUESTS = Price(0.20, 1e6, "requests", _LAMBDA, "2025-06")
LAMBDA_SECONDS = Price(0.0000133334, 1, "GB-second", _LAMBDA, "2025-06")
HTTP_API = Price(
    1.00, 1e6, "requests", "Amazon API Gateway pricing, HTTP APIs (from memory: check before relying on it)", "2025-06"
)
TRANSITIONS = Price(0.025, 1e3, "state transitions", f"{_STATES}, Standard", "2025-06")
EXPRESS_REQUESTS = Price(1.00, 1e6, "requests", f"{_STATES}, Express", "2025-06")
EXPRESS_SECONDS = Price(0.00001667, 1, "GB-second", f"{_STATES}, Express", "2025-06")
EVENTS = Price(
    1.00, 1e6, "custom events", "Amazon EventBridge pricing (from memory: check before relying on it)", "2025-06"
)
SQS = Price(
    0.40, 1e6, "requests", "Amazon SQS pricing, standard queues (from memory: check before relying on it)", "2025-06"
)

_SAGEMAKER = "Amazon SageMaker AI pricing (from memory: check before relying on it)"
# SageMaker instances by the hour, billed by the second (training and processing cost the same).
INSTANCES: dict[str, Price] = {
    "ml.g5.xlarge": Price(1.408, 1, "hour", _SAGEMAKER, "2025-06"),
    "ml.m5.large": Price(0.115, 1, "hour", _SAGEMAKER, "2025-06"),
    "ml.m5.xlarge": Price(0.23, 1, "hour", _SAGEMAKER, "2025-06"),
}
