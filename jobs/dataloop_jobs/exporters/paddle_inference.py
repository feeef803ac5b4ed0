"""PaddleX's "inference": a PaddlePaddle inference model (model.pdmodel, model.pdiparams) with PaddleX's model.yml."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataloop_inference.session import Outputs, onnx_runner
from dataloop_jobs.conversion.paddle_graph import translate
from dataloop_jobs.exporters.surface import ExportJob
from dataloop_jobs.exporters.verification import Runner, Verification, verify_outputs

PROGRAM, WEIGHTS, DESCRIPTION = "model.pdmodel", "model.pdiparams", "model.yml"


def export(job: ExportJob) -> list[Path]:
    """Translate model.onnx; the batch stays dynamic."""
    import onnx

    paddle = _paddle()
    graph = onnx.load(job.model.graph)
    size = job.model.image_size
    program, start = paddle.static.Program(), paddle.static.Program()
    with paddle.static.program_guard(program, start):
        source = paddle.static.data(graph.graph.input[0].name, [-1, 3, size, size], "float32")
        outputs, weights = translate(paddle, graph, source)
    executor = paddle.static.Executor(paddle.CPUPlace())
    scope = paddle.static.Scope()
    with paddle.static.scope_guard(scope):
        executor.run(start)
        for name, content in weights.items():
            scope.find_var(name).get_tensor().set(content, paddle.CPUPlace())
        stem = str(job.folder / Path(PROGRAM).stem)
        paddle.static.save_inference_model(stem, [source], outputs, executor, program=program)
    (job.folder / DESCRIPTION).write_text(_description(job), encoding="utf-8")
    return [job.folder / name for name in (PROGRAM, WEIGHTS, DESCRIPTION)]


def verify(job: ExportJob) -> Verification:
    """Paddle's own predictor against ONNX Runtime."""
    paddle = _paddle()
    reference = onnx_runner(job.model.graph, job.threads)
    candidate = _runner(job.folder, job.threads)
    details = {"paddlepaddle": paddle.__version__}
    return verify_outputs(
        "paddle_inference", reference, candidate, job.inputs(), job.tolerance(reference), details=details
    )


def _paddle() -> Any:
    """The package, writing the format (protobuf) that PaddleX's deployment tools and Paddle Lite read."""
    # Read once, at import: without it Paddle 3 writes model.json, which only Paddle 3 reads.
    os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112 - its name
    os.environ.setdefault("GLOG_minloglevel", "2")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle

    paddle.enable_static()
    return paddle


def _runner(folder: Path, threads: int) -> Runner:
    from paddle import inference

    config = inference.Config(str(folder / PROGRAM), str(folder / WEIGHTS))
    config.disable_gpu()
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(threads)
    predictor = inference.create_predictor(config)
    source = predictor.get_input_handle(predictor.get_input_names()[0])

    def run(images: NDArray[np.float32]) -> Outputs:
        source.reshape(images.shape)
        source.copy_from_cpu(np.ascontiguousarray(images))
        predictor.run()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]

    return run


# PaddleX's names of task types (its model_type); instance segmentation is a detector there.
_MODEL_TYPES = {
    "classification": "classifier",
    "multilabel_classification": "classifier",
    "semantic_segmentation": "segmenter",
}


def _description(job: ExportJob) -> str:
    """model.yml: PaddleX's field names where they mean the same. JSON is YAML, so no YAML package is needed.

    Model is our architecture's name: PaddleX's own deployment code knows no such class, so a client runs the network with
    Paddle's predictor and reads the outputs as model.json says.
    """
    model = job.model
    size = model.image_size
    # PaddleX divides pixels by 255 first.
    mean, std = ([value / 255 for value in model.description["preprocess"][name]] for name in ("mean", "std"))
    padding = [model.description["preprocess"]["pad_value"]] * 3
    document = {
        "Model": model.description["architecture"],
        "_Attributes": {
            "model_type": _MODEL_TYPES.get(model.task.name, "detector"),
            "num_classes": len(model.labels),
            "labels": list(model.labels),
            "fixed_input_shape": [size, size],
        },
        "Transforms": [
            {"ResizeByLong": {"long_size": size}},
            {"Padding": {"target_size": size, "im_padding_value": padding}},
            {"Normalize": {"mean": mean, "std": std}},
        ],
        "_ModelInputsOutputs": {
            "test_inputs": [["image", model.description["input"]]],
            "test_outputs": [[name, name] for name in model.description["outputs"]],
        },
        "completed_format": True,
        "status": "Infer",
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
