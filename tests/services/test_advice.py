"""Recommended parameters: the facts come from the built version and the machine that was named."""

from __future__ import annotations

from typing import Any

import pytest

from dataloop.domain.errors import IllegalTransition, InvalidInput, NotFound
from tests.actions import info, label, labelled, meta, put, ready_version, trained_model
from tests.core import Core


def advice(core: Core, version_id: str, **wish: Any) -> dict[str, Any]:
    return core.services.advising.advise("default", version_id, wish)


def reason(found: dict[str, Any], parameter: str) -> str:
    (text,) = [entry["text"] for entry in found["reasons"] if entry["parameter"] == parameter]
    return str(text)


def test_parameters_follow_from_the_version_and_have_reasons(core: Core) -> None:
    version = ready_version(core, labelled(core, 16))
    found = advice(core, version.id, instance="ml.m5.xlarge")
    assert (found["task_type"], found["instance"]) == ("detection", "ml.m5.xlarge")
    assert {entry["parameter"]: entry["value"] for entry in found["reasons"]} == found["parameters"]
    # eight training images, so four a step and two steps a pass; the images have 24 x 16 pixels
    assert found["parameters"]["batch_size"] == 4
    assert found["steps_per_epoch"] == 2
    assert found["steps"] == 2 * found["parameters"]["epochs"]
    assert "24 pixels" in reason(found, "image_size")
    assert "with 1 labels" in reason(found, "epochs")


def test_labels_are_counted_by_image_and_people_come_before_models(core: Core) -> None:
    # given images of a cat, on one of which a model sees a dog, and one image where only the model says something
    ids = labelled(core, 8)
    first = core.services.annotating.get("default", ids[0]).data_ids[0]
    suggestion = {"labelMethod": "auto", "modelName": "teacher"}
    ids.append(core.services.annotating.register("default", label(first, name="dog", **suggestion)).id)
    uid, notice = put(core, "d/only.jpg")
    core.services.registering.register_object(notice)
    core.services.registering.register_metadata("default", meta(uid, split="train"))
    twice = [{"label": "bird", "bbox_xyxy": [1, 1, 5, 5]}, {"label": "bird", "bbox_xyxy": [6, 6, 9, 9]}]
    ids.append(core.services.annotating.register("default", label(uid, labelInfo=twice, **suggestion)).id)
    # when
    found = advice(core, ready_version(core, ids).id)
    # then the dog does not count, and two birds are one image
    assert "'cat' is on 4 images, 'bird' on 1" in reason(found, "class_balance")


def test_a_gpu_a_batch_and_a_parent_are_facts_too(core: Core) -> None:
    version = ready_version(core, labelled(core, 16))
    cold = advice(core, version.id, batch_size=2)
    assert cold["parameters"]["batch_size"] == 2
    assert cold["steps_per_epoch"] == 4
    warm = advice(core, version.id, batch_size=2, parent_model_id=trained_model(core, version.id))
    assert warm["parameters"]["learning_rate"] < cold["parameters"]["learning_rate"]
    assert advice(core, version.id)["instance"] == core.settings.training_instance


def test_it_starts_and_keeps_nothing(core: Core) -> None:
    version = ready_version(core, labelled(core, 4))
    items, objects = core.items(), core.objects()
    advice(core, version.id)
    assert (core.items(), core.objects()) == (items, objects)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"instance": "ml.big.one"}, "instance"),
        ({"instance": ["ml.m5.xlarge"]}, "instance"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": "8"}, "batch_size"),
        ({"task_type": "poetry"}, "task_type"),
    ],
)
def test_a_bad_wish_is_refused_by_the_name_of_its_field(core: Core, wish: dict[str, Any], field: str) -> None:
    version = ready_version(core, labelled(core, 4))
    with pytest.raises(InvalidInput) as caught:
        advice(core, version.id, **wish)
    assert caught.value.details()["field"] == field


def test_a_version_must_be_there_and_built_and_a_parent_trained(core: Core) -> None:
    with pytest.raises(NotFound):
        advice(core, "01a20474-c3f3-785a-914e-aa900e000000")
    draft = core.services.curating.create("default", info())
    with pytest.raises(IllegalTransition):
        advice(core, draft.id)
    version = ready_version(core, labelled(core, 4), version="2")
    with pytest.raises(NotFound):
        advice(core, version.id, parent_model_id="01a20474-c3f3-785a-914e-aa900e000000")
