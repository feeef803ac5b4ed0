"""`run.py sensitivity`: how much each layer's channels matter to a model, as data and as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from dataloop_jobs.commands.evaluate import threads_from_environment
from dataloop_jobs.compression.channels import find_groups
from dataloop_jobs.compression.cost import positions
from dataloop_jobs.compression.quantization import is_quantized
from dataloop_jobs.compression.sensitivity import RATIOS, judge, report, scan
from dataloop_jobs.compression.training import write_scan
from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.dataset import Row, read_dataset
from dataloop_jobs.faults import BadDataset, BadModel, BadParameter
from dataloop_jobs.images import ImageStore
from dataloop_jobs.json_files import parse_json
from dataloop_jobs.model_folder import Model, load_network, read_model

SETTINGS_VARIABLE = "SENSITIVITY"
# Each image is looked at about 80 times: at 192 pixels, 200 take some seven minutes of one core.
_IMAGES = 200
_CACHE_MB = 512


def sensitivity(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write sensitivity.json and sensitivity.svg. Raises JobFault or Interrupted."""
    torch.set_num_threads(threads_from_environment())
    ratios = ratios_from(os.environ.get(SETTINGS_VARIABLE, ""))
    progress = Progress()
    model = read_model(folders.input("model"))
    network = load_network(model)
    if is_quantized(network):
        raise BadModel("the model is quantised: scan the model that it was made from, and prune that one")
    # What a training would freeze is of interest here, too.
    network.requires_grad_(True)
    rows, split = _rows(folders, model)
    store = ImageStore(folders.input("images"), model.image_size, _CACHE_MB)

    def advanced(done: int, total: int) -> None:
        stop.leave_if_requested()
        progress.report("scan", done, total, "networks")

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    groups, applied = find_groups(network, model.image_size), positions(network, model.image_size)
    measure = judge(model.task, rows, store, model.labels, device)
    found = scan(network, groups, applied, measure, ratios, advanced)
    write_scan(folders.output, report(found, model.task.primary_name, split, len(rows)))


def ratios_from(text: str) -> tuple[float, ...]:
    """The ratios of '{"ratios": [0.25, 0.5]}'; the usual ones for an empty text. Raises BadParameter."""
    if not text:
        return RATIOS
    try:
        ratios = tuple(sorted(float(ratio) for ratio in parse_json(text)["ratios"]))
    except (ValueError, TypeError, KeyError, OverflowError):
        raise BadParameter(SETTINGS_VARIABLE, text, 'must be {"ratios": [shares of channels to remove]}') from None
    if not ratios or not all(0 < ratio < 1 for ratio in ratios):
        raise BadParameter(SETTINGS_VARIABLE, text, "needs at least one ratio, and all must lie between 0 and 1")
    return ratios


def _rows(folders: ProcessingFolders, model: Model) -> tuple[Sequence[Row], str]:
    """Rows to measure on: of val, or of test where there is no val."""
    dataset = read_dataset(
        folders.input("dataset"), needs=model.task.needs, splits=("val", "test"), labels=model.labels
    )
    for split, rows in (("val", dataset.val), ("test", dataset.test)):
        model.task.check_rows(rows, (*dataset.labels, *dataset.unknown_labels))
        usable = model.task.usable(rows)
        if usable:
            return usable[:_IMAGES], split
    raise BadDataset("neither val.jsonl nor test.jsonl holds an image to measure on")
