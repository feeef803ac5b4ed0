"""What a released model says of images that nobody has labelled: predictions, a selection, and labels of its own."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from ankerautotrainsdk import AnkerAutoTrainSDK
from dataloop_demo.scenes import compose
from tests.deployed import DeployedStack
from tests.e2e.scenes import QUICK, dataset_info, raw_data, upload_scenes

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def upload_unlabelled(client: AnkerAutoTrainSDK, folder: Path, name: str, count: int) -> list[str]:
    """Scenes that nobody has labelled; returns their uids."""
    folder.mkdir()
    uids = []
    for index, scene in enumerate(compose("train", count, seed=31, size=96)):
        path = folder / f"{index}.jpg"
        path.write_bytes(scene.image_bytes)
        upload = client.upload_file(str(path), name)
        client.upload_raw_data(raw_data(upload, "train"))
        uids.append(upload.uid)
    return uids


def test_a_model_looks_at_new_images_and_suggests_labels(stack: DeployedStack, tmp_path: Path) -> None:
    name = f"analyses-{uuid.uuid4().hex[:8]}"
    with AnkerAutoTrainSDK(url=stack.url, api_key=stack.key, progress=False) as client:
        # Given a released detector, and images: four new ones and one that a person labelled
        first = upload_scenes(client, tmp_path / "labelled", f"{name}/labelled", 24, seed=3)
        created = client.create_dataset(dataset_info(name, "v1"))
        client.link_dataset([entry.annotation_id for entry in first], created.dataset_id)
        client.build_dataset(created.dataset_id, wait=True)
        trained = client.train(created.dataset_id, parameters=QUICK, model_name=name, wait=True)
        model_id = trained.result.model_id
        client.release(model_id, name=name, wait=True)
        new = upload_unlabelled(client, tmp_path / "new", f"{name}/new", 4)
        asked = [*new, first[0].uid, "0" * 32]

        # When the model looks at them
        predicted = client.predict_images(asked, release=name, min_score=0.0, wait=True)

        # Then there is a line for each image that is there, and a count of the one that is not
        file = client.download_task_file(predicted.task_id, "predictions.jsonl", tmp_path)
        lines = [json.loads(line) for line in Path(file).read_text().splitlines()]
        assert [line["uid"] for line in lines] == asked[:-1]
        said = sum(len(line["predictions"]) for line in lines)
        assert predicted.result.predictions == said > 0
        assert predicted.result.not_used.counts == {"missing_object": 1}

        # And when some are chosen for labelling, the choice has reasons and is the same again
        wish = {"strategy": "uncertainty_diversity", "seed": 3, "release": name}
        chosen = client.select_images(2, new, **wish, wait=True)
        again = client.select_images(2, new, **wish, wait=True)
        assert len(chosen.result.chosen) == 2
        assert {row.uid for row in chosen.result.chosen} < set(new)
        assert all(row.reason for row in chosen.result.chosen)
        assert again.result.chosen == chosen.result.chosen

        # And when the model suggests labels, it does so once, in pixels, and not for the image of a person
        done = client.auto_annotate(asked, release=name, min_score=0.0, wait=True)
        repeated = client.auto_annotate(asked, release=name, min_score=0.0, wait=True)
        suggested = {line["uid"] for line in lines if line["predictions"]} - {first[0].uid}
        assert done.result.annotations == repeated.result.annotations == len(suggested) > 0
        assert done.result.not_used.counts == {"labelled": 1, "missing_object": 1}
        model = client.get_model(model_id)
        for uid in suggested:
            (found,) = client.get_annotations(uid)
            assert (found.labelMethod, found.modelName, found.modelVersion) == ("auto", model.name, model.version)
            boxes = [entry.bbox_xyxy for entry in found.labelInfo]
            assert boxes and all(0 <= x1 < x2 <= 96 and 0 <= y1 < y2 <= 96 for x1, y1, x2, y2 in boxes)
        assert [entry.labelMethod for entry in client.get_annotations(first[0].uid)] == ["manual"]

        # And when its layers are measured, there is a number for each and a picture of all
        scan = client.sensitivity(model_id, wait=True)
        assert scan.result.layers > 0
        assert {"sensitivity.json", "sensitivity.svg"} <= {each["name"] for each in scan.result.files}

        # And a recommendation follows from what it learnt from
        advice = client.recommend(created.dataset_id, instance="ml.m5.xlarge", parent_model_id=model_id)
        assert {row.parameter for row in advice.reasons} == set(advice.parameters)

        # And when it is judged beside a model that learnt from it
        second = client.train(created.dataset_id, parameters=QUICK, parent_model_id=model_id, wait=True)
        judged = client.evaluate(second.result.model_id, created.dataset_id, baseline_model_id=model_id, wait=True)
        assert judged.result.comparison
        assert "comparison.json" in {each["name"] for each in judged.result.files}
