"""A user's COCO folder: found in its usual shapes, dealt the same way each time, refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dataloop_demo.coco import BadFolder, coco_story, read_folder
from tests.demo.coco_folder import write_folder


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        ("images", "annotations.json"),
        (".", "_annotations.coco.json"),
        ("train", "annotations/instances_train.json"),
        ("JPEGImages", "labels/whatever.json"),
    ],
)
def test_usual_shapes_of_a_folder_are_found(tmp_path: Path, images: str, annotations: str) -> None:
    found = read_folder(write_folder(tmp_path, images=images, annotations=annotations))

    assert len(found.pictures) == 40
    assert {label for picture in found.pictures for label in picture.labels} == {"cat", "dog"}
    assert found.pictures[0].boxes == ((4.0, 6.0, 24.0, 16.0),)
    assert not found.left_out


def test_several_documents_with_equal_names_and_ids_are_kept_apart(tmp_path: Path) -> None:
    # Given train/000.png and val/000.png, each with an annotation file that numbers from 0
    write_folder(tmp_path, images="train", annotations="annotations/instances_train.json")
    write_folder(tmp_path, 20, images="val", annotations="annotations/instances_val.json")
    for index in range(20):
        Image.new("RGB", (64, 48), (index, 200, 200)).save(tmp_path / "val" / f"{index:03d}.png")

    found = read_folder(tmp_path)

    assert len(found.pictures) == 60
    assert all(len(picture.boxes) == 1 for picture in found.pictures)


def test_an_image_without_annotation_is_a_negative_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    path = folder / "annotations.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"annotations": document["annotations"][:30]}))

    assert sum(not picture.boxes for picture in read_folder(folder).pictures) == 10


def test_what_cannot_be_used_is_counted_by_reason(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 45)
    path = folder / "annotations.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"][1]["category_id"] = 99
    document["annotations"][2]["bbox"] = [4, 6, 0, 10]
    document["annotations"][3]["bbox"] = [100, 6, 5, 10]
    document["images"][4]["width"] = 640
    path.write_text(json.dumps(document))
    (folder / "images" / "005.png").unlink()
    (folder / "images" / "006.png").write_bytes(b"not an image")
    (folder / "images" / "007.png").write_bytes((folder / "images" / "008.png").read_bytes())

    found = read_folder(folder)

    assert found.left_out == {
        "boxes around crowds": 1,
        "boxes of an unknown category": 1,
        "boxes that are missing or empty": 1,
        "boxes outside their image": 1,
        "images of another size than the annotations say": 1,
        "images whose file was not found": 1,
        "images that cannot be read": 1,
        "copies of an image": 1,
    }
    assert len(found.pictures) == 41


def test_parts_are_stable_when_the_folder_grows(tmp_path: Path) -> None:
    # Given the parts of a folder with 60 images
    before = coco_story(write_folder(tmp_path, 60))
    held_out = {shot.path.name for shot in before.first.shots if shot.split == "test"}

    # When 60 more arrive
    after = coco_story(write_folder(tmp_path, 120))

    # Then what was held out stays held out, nothing in both rounds, and round 2 holds nothing back
    assert held_out <= {shot.path.name for shot in after.first.shots if shot.split == "test"}
    assert not {shot.path for shot in after.first.shots} & {shot.path for shot in after.second.shots}
    assert after.second.count("test") == 0
    share = after.first.count("train") / (after.first.count("train") + after.second.count("train"))
    assert 0.5 < share < 0.85


def test_limit_takes_the_same_images_each_time_and_says_so(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, 80)

    found = read_folder(folder, limit=50)

    assert len(found.pictures) == 50
    assert found.left_out == {"images beyond the limit of 50 (--limit)": 30}
    assert found.pictures == read_folder(folder, limit=50).pictures


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="there is no folder"):
        read_folder(tmp_path / "nowhere")


def test_no_annotation_file(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "annotations.json").unlink()
    with pytest.raises(BadFolder, match=r"no \.json file"):
        read_folder(tmp_path)


@pytest.mark.parametrize(("text", "reason"), [("{", "cannot be read as JSON"), ('{"shapes": []}', "has no lists")])
def test_a_file_that_is_not_coco(tmp_path: Path, text: str, reason: str) -> None:
    write_folder(tmp_path)
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(BadFolder, match=reason):
        read_folder(tmp_path)


def test_no_images(tmp_path: Path) -> None:
    write_folder(tmp_path, 0)
    with pytest.raises(BadFolder, match="no image below"):
        read_folder(tmp_path)


def test_images_of_other_names(tmp_path: Path) -> None:
    path = write_folder(tmp_path) / "annotations.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": [{"id": 1, "file_name": "elsewhere.jpg"}]}))
    with pytest.raises(BadFolder, match=r"none of the images that annotations\.json names was found"):
        read_folder(tmp_path)


def test_no_boxes(tmp_path: Path) -> None:
    path = write_folder(tmp_path) / "annotations.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    with pytest.raises(BadFolder, match="has no usable box"):
        read_folder(tmp_path)


def test_too_few_images(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="12 usable images are too few"):
        read_folder(write_folder(tmp_path, 12))
