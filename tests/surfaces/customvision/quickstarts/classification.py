"""What somebody writes after Microsoft's image classification quickstart: the same calls in the same order, against an
endpoint, keys and a folder of images that come from outside."""

import os
import sys
import time
import uuid

from azure.cognitiveservices.vision.customvision.prediction import CustomVisionPredictionClient
from azure.cognitiveservices.vision.customvision.training import CustomVisionTrainingClient
from azure.cognitiveservices.vision.customvision.training.models import ImageFileCreateBatch, ImageFileCreateEntry
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
project = trainer.create_project(str(uuid.uuid4()))
tags = {name: trainer.create_tag(project.id, name) for name in ("disc", "cross")}

print("add images")
entries = []
for name, tag in tags.items():
    for number in range(1, 11):
        file_name = f"{name}_{number}.png"
        with open(os.path.join(images, "train", file_name), "rb") as contents:
            entries.append(ImageFileCreateEntry(name=file_name, contents=contents.read(), tag_ids=[tag.id]))
upload = trainer.create_images_from_files(project.id, ImageFileCreateBatch(images=entries))
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

trainer.publish_iteration(project.id, iteration.id, "classifyModel", resource_id)

for name in tags:
    with open(os.path.join(images, "test", f"{name}_1.png"), "rb") as contents:
        results = predictor.classify_image(project.id, "classifyModel", contents.read())
    for prediction in results.predictions:
        print(f"result\t{name}\t{prediction.tag_name}\t{prediction.probability * 100:.2f}%")

trainer.unpublish_iteration(project.id, iteration.id)
trainer.delete_project(project.id)
print("done")
