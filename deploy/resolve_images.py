"""Which AWS containers run our jobs: prints TrainingImage and ProcessingImage for a region as parameter overrides.

    python -m deploy.resolve_images --region eu-central-1 --training-instance ml.g5.xlarge

The tables of AWS's `sagemaker` package answer offline: account, host suffix and tag of the newest PyTorch training
container that the region has. Evaluation and export run ONNX Runtime on a CPU, and use the CPU variant of the same one.
The package is far too big for a Lambda; it lives in the deploy environment only.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from sagemaker.core import image_uris

FRAMEWORK = "pytorch"


@dataclass(frozen=True)
class Images:
    """Container URIs of one region."""

    training: str
    processing: str
    framework_version: str

    def overrides(self) -> dict[str, str]:
        """Parameters of template.yaml."""
        return {"TrainingImage": self.training, "ProcessingImage": self.processing}


class UnknownRegion(LookupError):
    """The package knows no PyTorch container for the region; a newer `sagemaker` may."""


def newest_version(region: str) -> str:
    """The newest PyTorch that has a training container in the region. Raises UnknownRegion."""
    versions = image_uris.config_for_framework(FRAMEWORK)["training"]["versions"]
    known = [version for version, facts in versions.items() if region in facts["registries"]]
    if not known:
        raise UnknownRegion(f"no {FRAMEWORK} training container is known for region {region}")
    return str(max(known, key=lambda version: tuple(int(part) for part in version.split("."))))


def resolve(region: str, training_instance: str, processing_instance: str, version: str | None = None) -> Images:
    """Resolve both containers; an accelerated instance type gets the GPU variant.

    version: a PyTorch version as in the package's table ("2.10.0"); None takes the newest one of the region.
    Raises UnknownRegion, and ValueError for a version or instance type that the package does not know.
    """
    chosen = version or newest_version(region)

    def uri(instance_type: str) -> str:
        return str(
            image_uris.retrieve(
                FRAMEWORK, region, version=chosen, py_version=None, instance_type=instance_type, image_scope="training"
            )
        )

    return Images(uri(training_instance), uri(processing_instance), chosen)


def main(arguments: list[str] | None = None) -> int:
    """Print `Name=value` pairs, one a line or, with --one-line, as `sam deploy --parameter-overrides` takes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--region", required=True)
    parser.add_argument("--training-instance", default="ml.g5.xlarge", help="parameter TrainingInstanceType")
    parser.add_argument("--processing-instance", default="ml.m5.xlarge", help="parameter ProcessingInstanceType")
    parser.add_argument("--version", help="PyTorch version; the newest known one by default")
    parser.add_argument("--one-line", action="store_true")
    options = parser.parse_args(arguments)
    try:
        images = resolve(options.region, options.training_instance, options.processing_instance, options.version)
    except (UnknownRegion, ValueError) as error:
        sys.stderr.write(f"resolve_images: {error}\n")
        return 1
    pairs = [f"{name}={value}" for name, value in images.overrides().items()]
    sys.stdout.write((" " if options.one_line else "\n").join(pairs) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
