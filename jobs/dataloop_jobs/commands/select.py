"""`run.py select`: which of many images are worth labelling next."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataloop_jobs.commands.evaluate import threads_from_environment
from dataloop_jobs.contract import ProcessingFolders, Progress, StopRequest
from dataloop_jobs.dataset import Row, read_image_list
from dataloop_jobs.declarations import SELECTIONS
from dataloop_jobs.faults import BadDataset, BadModel, BadParameter
from dataloop_jobs.images import ImageStore
from dataloop_jobs.json_files import parse_json, write_json
from dataloop_jobs.model_folder import Model, read_model
from dataloop_jobs.selection.choosing import Candidates, Wish, choose
from dataloop_jobs.selection.images import Eye, Seen
from dataloop_jobs.selection.perceptual_hash import DISTANCE, duplicate_groups
from dataloop_jobs.selection.uncertainty import MEASURES

WISH_VARIABLE = "SELECTION"
_NO_CACHE = 0
_MOST = 1_000_000


def select(folders: ProcessingFolders, stop: StopRequest) -> None:
    """Write selection.json and duplicates.json. Raises BadParameter, BadDataset, BadModel or Interrupted.

    The same images, model and wish always give the same choice on the same machine; on another one, torch's last bits
    may turn a tie.
    """
    progress = Progress()
    wish = read_wish(os.environ.get(WISH_VARIABLE, ""))
    model = _model(folders, wish)
    torch.set_num_threads(threads_from_environment())
    eye = Eye(model, wish.measure)
    rows = read_image_list(folders.input("dataset"))
    store = ImageStore(folders.input("images"), eye.image_size, _NO_CACHE)

    def advanced(done: int, total: int) -> None:
        stop.leave_if_requested()
        progress.report("look", done, total, "images")

    seen: list[Seen] = []
    unusable: list[tuple[Row, str]] = []
    for one in eye.look(rows, store, advanced):
        if isinstance(one, Seen):
            seen.append(one)
        else:
            unusable.append(one)
    if not seen:
        raise BadDataset(f"none of the {len(rows)} images could be used; the first: {unusable[0][1]}")
    twins = duplicate_groups([one.hash for one in seen])
    chosen, left_out = choose(_candidates(seen, twins), wish)
    if unusable:
        left_out["unusable"] = len(unusable)
    _write(folders.output, wish, seen, twins, chosen_rows(seen, chosen), left_out)
    progress.report("done", 1, 1, "selections")


def read_wish(text: str) -> Wish:
    """The JSON of SELECTION, checked. Raises BadParameter naming field and value."""
    try:
        given = parse_json(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise BadParameter(WISH_VARIABLE, text, 'must be a JSON object such as {"strategy": "random", "count": 100}')
    fields = {field.name for field in dataclasses.fields(Wish)}
    for name in sorted(given.keys() - fields):
        raise BadParameter(name, given[name], f"unknown; a selection has {', '.join(sorted(fields))}")
    given = {name: value for name, value in given.items() if value is not None}
    for name, choices in (("strategy", tuple(SELECTIONS)), ("measure", MEASURES)):
        if (name in given or name == "strategy") and given.get(name) not in choices:
            raise BadParameter(name, given.get(name), f"must be one of {', '.join(choices)}")
    for name, low in (("count", 1), ("seed", 0), ("per_group", 0)):
        value = given.get(name, 1 if name != "count" else None)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= _MOST:
            raise BadParameter(name, value, f"must be a whole number from {low} to {_MOST:,}")
    for name in ("balance", "near_duplicates"):
        if not isinstance(given.get(name, False), bool):
            raise BadParameter(name, given[name], "must be true or false")
    return Wish(**given)


def _model(folders: ProcessingFolders, wish: Wish) -> Model | None:
    folder = folders.optional_input("model")
    if folder is None and SELECTIONS[wish.strategy]:
        raise BadModel(f"strategy {wish.strategy!r} asks a model what it doubts, and the job was started without one")
    if folder is None and wish.balance:
        raise BadParameter("balance", True, "needs a model: without one nobody knows what the images show")
    return read_model(folder) if folder else None


def _candidates(seen: list[Seen], twins: list[list[int]]) -> Candidates:
    doubts = [one.doubt for one in seen]
    return Candidates(
        uids=[one.row.uid for one in seen],
        groups=[one.row.group or one.row.uid for one in seen],
        features=np.stack([one.features for one in seen]),
        doubt=None if None in doubts else np.array(doubts, dtype=np.float64),
        labels=[one.label for one in seen],
        twins=twins,
    )


def chosen_rows(seen: list[Seen], chosen: list[Any]) -> list[dict[str, Any]]:
    """The choices as they stand in selection.json."""
    return [
        {
            "uid": seen[choice.position].row.uid,
            "rank": rank,
            "score": choice.value,
            "reason": choice.reason,
            "label": seen[choice.position].label or None,
            "group": seen[choice.position].row.group or None,
        }
        for rank, choice in enumerate(chosen, start=1)
    ]


def _write(
    folder: Path,
    wish: Wish,
    seen: list[Seen],
    twins: list[list[int]],
    chosen: list[dict[str, Any]],
    left_out: dict[str, int],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    groups = [sorted(seen[position].row.uid for position in members) for members in twins]
    write_json(folder / "duplicates.json", {"groups": sorted(groups), "distance": DISTANCE}, indent=1)
    result = dataclasses.asdict(wish) | {"images": len(seen), "chosen": chosen, "left_out": left_out}
    write_json(folder / "selection.json", result, indent=1)
