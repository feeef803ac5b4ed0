"""Gap: there is no SageMaker.

We register the module `sagemaker/service.py` as one more ministack service: routed by X-Amz-Target, its state saved and
restored with the others', its records in the write-ahead log.
Noticed by: tests/local/test_sagemaker.py and tests/local/test_stock_gaps.py::test_stock_has_no_sagemaker.
"""

from __future__ import annotations

import sys

import ministack.services
from ministack import app as ministack_app
from ministack.core import router

from dataloop_local.durability.keeper import Keeper
from dataloop_local.sagemaker import service, store
from dataloop_local.sagemaker.jobs import Jobs


def install(keeper: Keeper, jobs: Jobs) -> None:
    service.runner = jobs
    store.log_with(keeper.log.append)
    sys.modules["ministack.services.sagemaker"] = service
    ministack.services.sagemaker = service
    ministack_app.SERVICE_REGISTRY["sagemaker"] = {"module": "sagemaker"}
    ministack_app.SERVICE_HANDLERS["sagemaker"] = ministack_app._lazy_handler("sagemaker")
    ministack_app._state_map["sagemaker"] = "sagemaker"
    router.SERVICE_PATTERNS["sagemaker"] = {
        "target_prefixes": ["SageMaker."],
        "host_patterns": [r"api\.sagemaker\."],
        "credential_scope": "sagemaker",
    }
