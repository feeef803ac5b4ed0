// Microsoft's JavaScript clients through one whole life of a project. What was found goes to stdout as one JSON object.
//
//   node flow.js ENDPOINT TRAINING_KEY PREDICTION_KEY FOLDER      (FOLDER/train/<figure>_<n>.png, FOLDER/test/<figure>_1.png)
"use strict";

const fs = require("fs");
const path = require("path");
const { TrainingAPIClient } = require("@azure/cognitiveservices-customvision-training");
const { PredictionAPIClient } = require("@azure/cognitiveservices-customvision-prediction");
const { ApiKeyCredentials } = require("@azure/ms-rest-js");

const [endpoint, trainingKey, predictionKey, folder] = process.argv.slice(2);
const trainer = new TrainingAPIClient(new ApiKeyCredentials({ inHeader: { "Training-key": trainingKey } }), endpoint);
const predictor = new PredictionAPIClient(
  new ApiKeyCredentials({ inHeader: { "Prediction-key": predictionKey } }),
  endpoint
);
const FIGURES = ["disc", "cross"];
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const picture = (part, figure, number) => fs.readFileSync(path.join(folder, part, `${figure}_${number}.png`));

async function upload(projectId, tags) {
  const statuses = [];
  for (const figure of FIGURES) {
    const options = { tagIds: [tags[figure].id] };
    const one = await trainer.createImagesFromData(projectId, picture("train", figure, 1), options);
    const images = [];
    for (let number = 1; number <= 10; number++) {
      const contents = picture("train", figure, number);
      images.push({ name: `${figure}_${number}.png`, contents, tagIds: [tags[figure].id] });
    }
    const rest = await trainer.createImagesFromFiles(projectId, { images });
    statuses.push(...one.images.map((each) => each.status), ...rest.images.map((each) => each.status));
  }
  return statuses;
}

async function train(projectId) {
  let iteration = await trainer.trainProject(projectId);
  while (iteration.status !== "Completed") {
    if (iteration.status === "Failed") throw new Error(iteration.trainingErrorDetails);
    await pause(1);
    iteration = await trainer.getIteration(projectId, iteration.id);
  }
  return iteration;
}

async function refusal(call) {
  try {
    await call();
    return null;
  } catch (error) {
    return { status: error.statusCode, code: error.body && error.body.code };
  }
}

async function main() {
  const found = {};
  const project = await trainer.createProject(`javascript ${Date.now()}`, { classificationType: "Multiclass" });
  const tags = {};
  for (const figure of FIGURES) tags[figure] = await trainer.createTag(project.id, figure);
  found.uploads = await upload(project.id, tags);
  found.tagged = (await trainer.getTaggedImageCount(project.id)).body;
  const pages = await trainer.getImages(project.id, { tagIds: [tags.disc.id], orderBy: "Oldest", take: 4, skip: 2 });
  found.page = pages.map((image) => image.tags.map((tag) => tag.tagName));
  const untag = [pages[0].id];
  await trainer.deleteImageTags(project.id, untag, [tags.disc.id]);
  found.untagged = (await trainer.getUntaggedImages(project.id)).map((image) => image.id).join() === untag.join();
  const retagged = await trainer.createImageTags(project.id, { tags: [{ imageId: untag[0], tagId: tags.disc.id }] });
  found.retagged = retagged.created.length;

  const iteration = await train(project.id);
  found.trainedAt = iteration.trainedAt instanceof Date;
  const performance = await trainer.getIterationPerformance(project.id, iteration.id, { threshold: 0.5 });
  found.performance = performance.perTagPerformance.map((each) => each.name).sort();
  found.published = (await trainer.publishIteration(project.id, iteration.id, "model", "resource")).body;
  found.predictions = {};
  for (const figure of FIGURES) {
    const answer = await predictor.classifyImage(project.id, "model", picture("test", figure, 1));
    found.predictions[figure] = answer.predictions.map((each) => [each.tagName, each.probability]);
  }
  const stored = await trainer.queryPredictions(project.id, { orderBy: "Newest" });
  found.stored = stored.results.length;
  await trainer.deletePrediction(project.id, stored.results.map((each) => each.id));

  found.unknownTag = await refusal(() => trainer.getTag(project.id, "00000000-0000-0000-0000-000000000000"));
  found.sameName = await refusal(() => trainer.createTag(project.id, "disc"));
  found.noTraining = await refusal(() => trainer.trainProject(project.id));
  await trainer.unpublishIteration(project.id, iteration.id);
  await trainer.deleteProject(project.id);
  found.gone = await refusal(() => trainer.getProject(project.id));
  process.stdout.write(JSON.stringify(found) + "\n");
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n${JSON.stringify(error.body || {})}\n`);
  process.exit(1);
});
