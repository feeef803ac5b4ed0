"""What a loop over 1,000 images takes besides its jobs: from the start of the run to its release.

The run is started by hand (`force`), so that the debounce delay, which is a setting, is not measured. From the wall time
of its task the seconds of the job processes are taken away: what remains is the build of 1,000 images, every step and
delivery, the copying of inputs and outputs to and from the jobs, and the release's own work.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ankerautotrainsdk import AnkerAutoTrainSDK
from benchmarks import images
from benchmarks.scenario import Bench, Budget, Figure, counted
from benchmarks.scenarios.registration import META
from dataloop_demo import costs

_LABELS = ("day", "night")
# The smallest training there is: it is taken away from the figure, it only has to end well.
_TRAINING = {
    "task_type": "classification",
    "parameters": {"image_size": 32, "epochs": 1, "batch_size": 32, "frozen_stages": 7, "augment": "none"},
}
_RUN_S = 300


def run(bench: Bench) -> list[Figure]:
    """One run on a fresh dataset."""
    count = 100 if bench.quick else 1000
    stack = bench.stack
    folder = bench.folder / "loop"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06d}.jpg").write_bytes(images.jpeg(number + 2_000_000, 0))
    with AnkerAutoTrainSDK(stack.url, api_key=stack.key, progress=False) as client:
        loop = client.create_loop(
            name="bench-loop",
            dataset_name="bench-loop",
            query={"labels": list(_LABELS)},
            # Nothing starts by itself: the run is started below, when everything is registered.
            thresholds={"min_new": 10 * count, "fraction": 1.0, "max_age_days": 365, "cooldown_s": 0},
            training=_TRAINING,
            release_name="bench-loop",
        )
        receipts = client.upload_folder(folder, "bench-loop", raw_data=META, resume=False)
        client.upload_annotated_data_batch(_annotation(n, receipt.uid) for n, receipt in enumerate(receipts))
        bench.say(f"{count} images and labels sent; waiting for the stack to come to rest")
        stack.settle()
        before = stack.meter()
        task = client.start_loop(loop["loop_id"], force=True)
        done = client.wait_for_task(task.task_id, timeout_s=_RUN_S)
    # The counters of the last steps are there when the stack is at rest.
    stack.settle()
    part = costs.difference(stack.meter(), before)
    total_s = _seconds(done["created_at"], done["updated_at"])
    jobs_s = sum(_job_seconds(stack.client("sagemaker")))
    transitions = sum(part["stepfunctions"]["transitions"].values())
    if not done["result"].get("promoted"):
        raise RuntimeError(f"the run was not promoted, so it was not a whole loop: {done['result']}")
    bench.note(f"loop_overhead: {total_s:.1f} s in all, {jobs_s:.1f} s of them in the jobs' processes")
    bench.note(f"loop_overhead, seconds by state, nested ones included: {_slowest(stack.client('stepfunctions'))}")
    bench.note(f"loop_overhead, transitions: {part['stepfunctions']['transitions']}")
    return [
        Figure(f"{count} images: besides the jobs", "s", counted(total_s - jobs_s), budget=Budget(10, "ours")),
        Figure("state transitions of the loop", "", counted(transitions), budget=Budget(25, "ours")),
    ]


def _annotation(number: int, uid: str | None) -> dict[str, Any]:
    label = _LABELS[number % len(_LABELS)]
    return {
        "dataId": [uid],
        "annotationType": "classification",
        "labelInfo": [{"label": label}],
        "labelMethod": "manual",
        "modelName": "",
        "modelVersion": "",
        "labelScope": list(_LABELS),
        "owner": "bench",
    }


def _job_seconds(sagemaker: Any) -> list[float]:
    """Of every job that this stack has run: there is only our one loop."""
    found = []
    for job in sagemaker.list_training_jobs()["TrainingJobSummaries"]:
        facts = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
        found.append((facts["TrainingEndTime"] - facts["TrainingStartTime"]).total_seconds())
    for job in sagemaker.list_processing_jobs()["ProcessingJobSummaries"]:
        facts = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
        found.append((facts["ProcessingEndTime"] - facts["ProcessingStartTime"]).total_seconds())
    return found


def _slowest(states: Any, count: int = 8) -> str:
    """The states that took longest, over all executions of the run."""
    spent: list[tuple[float, str]] = []
    for machine in states.list_state_machines()["stateMachines"]:
        for execution in states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
            entered: dict[str, datetime] = {}
            found = states.get_execution_history(executionArn=execution["executionArn"], maxResults=1000)
            for event in found["events"]:
                if details := event.get("stateEnteredEventDetails"):
                    entered[details["name"]] = event["timestamp"]
                elif details := event.get("stateExitedEventDetails"):
                    seconds = (event["timestamp"] - entered[details["name"]]).total_seconds()
                    spent.append((seconds, f"{machine['name'].removeprefix('dataloop-dev-')}/{details['name']}"))
    return ", ".join(f"{name} {seconds:.1f}" for seconds, name in sorted(spent, reverse=True)[:count])


def _seconds(begun: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()
