"""What somebody writes after Microsoft's object detection quickstart: the same calls in the same order, against an
endpoint, keys and a folder of images that come from outside. boxes.json holds a box for each file."""

import json
import os
import sys
import time
import uuid

from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient
from azure.cognitiveservices.vision.customvision.training.models import (
    ImageFileCreateBatch,
    ImageFileCreateEntry,
    Region,
)
from msrest.authentication import ApiKeyCredentials

endpoint = os.environ["VISION_TRAINING_ENDPOINT"]
prediction_endpoint = os.environ["VISION_PREDICTION_ENDPOINT"]
resource_id = os.environ["VISION_PREDICTION_RESOURCE_ID"]
images = os.environ["IMAGES"]

trainer = CustomVisionTrainingClient(
    endpoint, ApiKeyCredentials(in_headers={"Training-key": os.environ["VISION_TRAINING_KEY"]})
)
predictor = CustomVisionPredictionClient(
    prediction_endpoint, ApiKeyCredentials(in_headers={"Prediction-key": os.environ["VISION_PREDICTION_KEY"]})
)

print("create a project")
domain = next(each for each in trainer.get_domains() if each.type == "ObjectDetection" and each.name == "General")
project = trainer.create_project(str(uuid.uuid4()), domain_id=domain.id)
tags = {name: trainer.create_tag(project.id, name) for name in ("disc", "cross")}

print("add images with regions")
with open(os.path.join(images, "boxes.json")) as file:
    boxes = json.load(file)
for name, tag in tags.items():
    tagged_images = []
    for file_name, (left, top, width, height) in boxes[name].items():
        region = Region(tag_id=tag.id, left=left, top=top, width=width, height=height)
        with open(os.path.join(images, "train", f"{file_name}.png"), "rb") as contents:
            tagged_images.append(ImageFileCreateEntry(name=file_name, contents=contents.read(), regions=[region]))
    upload = trainer.create_images_from_files(project.id, ImageFileCreateBatch(images=tagged_images))
    if not upload.is_batch_successful:
        for image in upload.images:
            print("status", image.status)
        sys.exit(1)

print("train")
iteration = trainer.train_project(project.id)
while iteration.status != "Completed":
    if iteration.status == "Failed":
        sys.exit(f"the training failed: {iteration.training_error_details}")
    iteration = trainer.get_iteration(project.id, iteration.id)
    time.sleep(1)

trainer.publish_iteration(project.id, iteration.id, "detectModel", resource_id)

for name in tags:
    with open(os.path.join(images, "test", f"{name}_1.png"), "rb") as contents:
        results = predictor.detect_image(project.id, "detectModel", contents.read())
    for prediction in results.predictions:
        box = prediction.bounding_box
        place = f"{box.left:.3f}\t{box.top:.3f}\t{box.width:.3f}\t{box.height:.3f}"
        print(f"result\t{name}\t{prediction.tag_name}\t{prediction.probability * 100:.2f}%\t{place}")

trainer.unpublish_iteration(project.id, iteration.id)
trainer.delete_project(project.id)
print("done")
