"""Every route of the SDK surface with what it takes and answers.

OpenAPI is generated from it (docs/generate.py), and the tests check every live answer against it. No handler imports this
module: it costs nothing at run time.
"""

from __future__ import annotations

from api_sdk import (
    answers,
    requests,
    schemas_deletions,
    schemas_files,
    schemas_imports,
    schemas_search,
    schemas_versions,
)

# (method, path) -> (request body, answer, status of success)
ROUTES: dict[tuple[str, str], tuple[type[requests.Request] | None, type[answers.Answer] | None, int]] = {
    ("GET", "/health"): (None, answers.Health, 200),
    ("POST", "/api/v1/keys"): (requests.CreateKey, answers.NewKey, 201),
    ("GET", "/api/v1/keys"): (None, answers.Keys, 200),
    ("DELETE", "/api/v1/keys/<key_id>"): (None, answers.RevokedKey, 200),
    ("POST", "/api/v1/uploads"): (requests.PlanUploads, answers.UploadPlans, 200),
    ("POST", "/api/v1/raw-data"): (requests.RegisterRawData, answers.RawDataId, 200),
    ("POST", "/api/v1/raw-data/batch"): (requests.RawDataBatch, answers.RawDataIds, 200),
    ("GET", "/api/v1/raw-data"): (None, answers.RawDataPage, 200),
    ("GET", "/api/v1/raw-data/<uid>"): (None, answers.RawDataWithAnnotations, 200),
    ("GET", "/api/v1/raw-data/<uid>/annotations"): (None, answers.AnnotationPage, 200),
    ("POST", "/api/v1/annotations"): (requests.RegisterAnnotation, answers.AnnotationId, 200),
    ("POST", "/api/v1/annotations/batch"): (requests.AnnotationBatch, answers.AnnotationIds, 200),
    ("GET", "/api/v1/annotations/<annotation_id>"): (None, answers.Annotation, 200),
    ("GET", "/api/v1/files/<uid>/link"): (None, answers.VerifiedLink, 200),
    ("GET", "/api/v1/files/<uid>/content"): (None, None, 302),
    ("POST", "/api/v1/files/by-storage"): (requests.FindFile, answers.VerifiedLink, 200),
    ("POST", "/api/v1/datasets"): (requests.CreateDataset, answers.DatasetId, 201),
    ("GET", "/api/v1/datasets"): (None, answers.DatasetPage, 200),
    ("GET", "/api/v1/datasets/lookup"): (None, answers.Dataset, 200),
    ("GET", "/api/v1/datasets/<dataset_id>"): (None, answers.Dataset, 200),
    ("POST", "/api/v1/datasets/<dataset_id>/links"): (requests.LinkAnnotations, answers.Linked, 200),
    ("POST", "/api/v1/datasets/<dataset_id>/build"): (None, answers.Task, 202),
    ("POST", "/api/v1/datasets/<dataset_id>/download"): (None, answers.Task, 202),
    ("POST", "/api/v1/train"): (requests.Train, answers.Task, 202),
    ("POST", "/api/v1/training/recommendation"): (requests.Recommend, answers.Recommendation, 200),
    ("POST", "/api/v1/evaluations"): (requests.Evaluate, answers.Task, 202),
    ("POST", "/api/v1/exports"): (requests.Export, answers.Task, 202),
    ("POST", "/api/v1/predictions"): (requests.Predict, answers.Task, 202),
    ("POST", "/api/v1/auto-annotations"): (requests.AutoAnnotate, answers.Task, 202),
    ("POST", "/api/v1/selections"): (requests.Select, answers.Task, 202),
    ("POST", "/api/v1/sensitivities"): (requests.Sensitivity, answers.Task, 202),
    # Served by functions/infer.
    ("POST", "/api/v1/infer"): (requests.Infer, answers.Inferred, 200),
    ("GET", "/api/v1/tasks"): (None, answers.TaskPage, 200),
    ("GET", "/api/v1/tasks/<task_id>"): (None, answers.Task, 200),
    ("POST", "/api/v1/tasks/<task_id>/stop"): (None, answers.Task, 202),
    ("GET", "/api/v1/models"): (None, answers.ModelPage, 200),
    ("GET", "/api/v1/models/<model_id>"): (None, answers.ModelWithEvaluations, 200),
    ("GET", "/api/v1/models/<model_id>/files"): (None, answers.ModelFiles, 200),
    ("POST", "/api/v1/releases"): (requests.CreateRelease, answers.Task, 202),
    ("GET", "/api/v1/releases"): (None, answers.ReleasePage, 200),
    ("GET", "/api/v1/releases/<name>/current"): (None, answers.Release, 200),
    ("POST", "/api/v1/releases/<name>/rollback"): (None, answers.Release, 200),
    ("POST", "/api/v1/releases/<release_id>/approve"): (requests.Comment, answers.Release, 200),
    ("POST", "/api/v1/releases/<release_id>/reject"): (requests.Comment, answers.Release, 200),
    ("POST", "/api/v1/loops"): (requests.CreateLoop, answers.Loop, 201),
    ("GET", "/api/v1/loops"): (None, answers.Loops, 200),
    ("GET", "/api/v1/loops/<loop_id>"): (None, answers.LoopWithDecisions, 200),
    ("POST", "/api/v1/loops/<loop_id>/start"): (requests.StartLoop, answers.Task, 202),
    **schemas_files.ROUTES,
    **schemas_deletions.ROUTES,
    **schemas_imports.ROUTES,
    **schemas_search.ROUTES,
    **schemas_versions.ROUTES,
}
