"""The protocol of Huawei ModelArts datasets, /v2/{project_id}/datasets."""
