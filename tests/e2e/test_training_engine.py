"""Outlines in, masks out: a COCO file teaches a model that says where things are to the pixel, on the deployed stack."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK
from ankerautotrainsdk.results import Task
from dataloop_demo.scenes import Scene, compose
from dataloop_inference.masks import decode, encode_part
from dataloop_inference.predictions import Rle
from tests.deployed import DeployedStack
from tests.e2e.scenes import QUICK, dataset_info, raw_data
from tests.local.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.slow]

SIZE = 96


def upload(
    client: AnkerAutoTrainSDK, folder: Path, directory: str, count: int, seed: int
) -> tuple[list[Scene], list[str]]:
    """Scenes below a directory of the bucket, and their uids; every fourth is for validation, every fifth for the test."""
    folder.mkdir()
    scenes = list(compose("train", count, seed, size=SIZE, digits=(1, 8), max_digits=2))
    uids = []
    for index, scene in enumerate(scenes):
        path = folder / f"{index:03d}.jpg"
        path.write_bytes(scene.image_bytes)
        done = client.upload_file(str(path), directory)
        client.upload_raw_data(raw_data(done, "val" if index % 4 == 1 else "test" if index % 5 == 2 else "train"))
        uids.append(done.uid)
    return scenes, uids


def coco(scenes: list[Scene]) -> dict[str, Any]:
    """A COCO file with the exact mask of each digit, without boxes: those follow from the masks."""
    annotations = []
    for number, scene in enumerate(scenes):
        for ink, box, label in zip(scene.inks, scene.boxes, scene.labels, strict=True):
            rle = encode_part(ink, int(box[0]), int(box[1]), SIZE, SIZE)
            segmentation = {"size": [rle.height, rle.width], "counts": rle.counts}
            annotations.append({"image_id": number, "category_id": int(label), "segmentation": segmentation})
    images = [{"id": number, "file_name": f"{number:03d}.jpg"} for number in range(len(scenes))]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": n, "name": f"digit {n}"} for n in (1, 8)],
    }


def imported(client: AnkerAutoTrainSDK, object_name: str) -> Task:
    """The import task of an annotation file, once it has ended."""

    def found() -> Task | None:
        tasks = [task for task in client.list_tasks("import") if task.parameters.object_name == object_name]
        return tasks[0] if tasks and tasks[0].status in ("SUCCEEDED", "FAILED") else None

    return until(found, what=f"the import of {object_name}")


def mask(said: Any) -> np.ndarray:
    """A mask on the wire as pixels."""
    height, width = said["size"]
    return decode(Rle(height, width, said["counts"]))


def test_outlines_become_a_model_that_draws_them(stack: DeployedStack, tmp_path: Path) -> None:
    name = f"outlines-{uuid.uuid4().hex[:8]}"
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        # Given images in the bucket, and a COCO file with segmentations beside them
        scenes, uids = upload(client, tmp_path / "first", name, 40, seed=8)
        labels = tmp_path / "labels.json"
        labels.write_text(json.dumps(coco(scenes)))
        client.upload_file(str(labels), f"annotations/{name}")
        report = imported(client, f"annotations/{name}/labels.json")
        assert (report.result.registered, report.result.problems) == (40, ())

        # When a model learns from them
        annotations = [client.get_annotations(uid)[0] for uid in uids]
        assert {entry.annotationType for entry in annotations} == {"instance_segmentation"}
        created = client.create_dataset(dataset_info(name, "v1") | {"annotationType": "instance_segmentation"})
        client.link_dataset([entry.annotation_data_id for entry in annotations], created.dataset_id)
        client.build_dataset(created.dataset_id, wait=True)
        wish = QUICK | {"epochs": 3, "frozen_stages": 3}
        trained = client.train(created.dataset_id, parameters=wish, model_name=name, wait=True)
        model = client.get_model(trained.result.model_id)
        assert (model.task_type, model.labels) == ("instance_segmentation", ("digit 1", "digit 8"))
        assert model.metrics.primary.name == "mask_AP50"

        # Then it can be taken to Intel's runtime, and released
        exported = client.export(model.model_id, "openvino", wait=True)
        assert exported.result.verification.passed
        assert {"model.xml", "model.bin"} <= {file["name"] for file in exported.result.files}
        assert client.release(model.model_id, name=name, wait=True).result.published

        # And the release says of new images what is where, and the same to whoever asks
        _, new = upload(client, tmp_path / "new", f"{name}-new", 6, seed=81)
        chosen = client.select_images(2, new, strategy="uncertainty", seed=1, release=name, wait=True)
        assert len({row.uid for row in chosen.result.chosen} & set(new)) == 2
        suggested = client.auto_annotate([*new, uids[0]], release=name, min_score=0.0, wait=True)
        assert suggested.result.not_used.counts == {"labelled": 1}
        answers = client.infer(new, release=name, min_score=0.0)
        for uid, answer in zip(new, answers, strict=True):
            (annotation,) = client.get_annotations(uid)
            assert (annotation.labelMethod, annotation.modelVersion) == ("auto", model.version)
            assert len(answer.predictions) == len(annotation.labelInfo) > 0
            for said, kept in zip(answer.predictions, annotation.labelInfo, strict=True):
                assert said.label == kept.label
                pixels = mask(said["mask"])
                assert pixels.shape == (SIZE, SIZE)
                assert pixels.any()
                assert np.array_equal(pixels, mask(kept.segmentation))

        # And what the person outlined is as it was
        assert client.get_annotations(uids[0]) == (annotations[0],)
