"""Every object of the responses with its fields and their types, as the documentation of ModelArts lists them (seed 003).

An object is always sent whole: what has no meaning here has a neutral value (docs/surfaces/modelarts.md says which and why).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Object -> field -> type. Types: Integer, Long (milliseconds since 1970 or bytes), String, Boolean, Map, Array of strings,
# "X" for an object of type X and "[X]" for a list of them.
FIELDS: dict[str, dict[str, str]] = {
    "Body": {
        "datasets": "[DatasetAndFilePreview]",
        "total_number": "Integer",
    },
    "DatasetAndFilePreview": {
        "annotated_sample_count": "Integer",
        "annotated_sub_sample_count": "Integer",
        "content_labeling": "Boolean",
        "create_time": "Long",
        "current_version_id": "String",
        "current_version_name": "String",
        "data_format": "String",
        "data_sources": "[DataSource]",
        "data_statistics": "Map",
        "data_update_time": "Long",
        "data_url": "String",
        "dataset_format": "Integer",
        "dataset_id": "String",
        "dataset_name": "String",
        "dataset_tags": "Array of strings",
        "dataset_type": "Integer",
        "dataset_version_count": "Integer",
        "deleted_sample_count": "Integer",
        "deletion_stats": "Map",
        "description": "String",
        "enterprise_project_id": "String",
        "exist_running_task": "Boolean",
        "exist_workforce_task": "Boolean",
        "feature_supports": "Array of strings",
        "import_data": "Boolean",
        "import_task_id": "String",
        "inner_annotation_path": "String",
        "inner_data_path": "String",
        "inner_log_path": "String",
        "inner_task_path": "String",
        "inner_temp_path": "String",
        "inner_work_path": "String",
        "label_task_count": "Integer",
        "labels": "[Label]",
        "loading_sample_count": "Integer",
        "managed": "Boolean",
        "next_version_num": "Integer",
        "running_tasks_id": "Array of strings",
        "samples": "[AnnotationFile]",
        "schema": "[Field]",
        "status": "Integer",
        "third_path": "String",
        "total_sample_count": "Integer",
        "total_sub_sample_count": "Integer",
        "unconfirmed_sample_count": "Integer",
        "update_time": "Long",
        "versions": "[DatasetVersion]",
        "work_path": "String",
        "work_path_type": "Integer",
        "workforce_descriptor": "WorkforceDescriptor",
        "workforce_task_count": "Integer",
        "workspace_id": "String",
    },
    "DataSource": {
        "data_path": "String",
        "data_type": "Integer",
        "schema_maps": "[SchemaMap]",
        "source_info": "SourceInfo",
        "with_column_header": "Boolean",
    },
    "SchemaMap": {
        "dest_name": "String",
        "src_name": "String",
    },
    "SourceInfo": {
        "cluster_id": "String",
        "cluster_mode": "String",
        "cluster_name": "String",
        "database_name": "String",
        "input": "String",
        "ip": "String",
        "port": "String",
        "queue_name": "String",
        "subnet_id": "String",
        "table_name": "String",
        "user_name": "String",
        "user_password": "String",
        "vpc_id": "String",
    },
    "Label": {
        "attributes": "[LabelAttribute]",
        "name": "String",
        "property": "LabelProperty",
        "type": "Integer",
    },
    "AnnotationFile": {
        "create_time": "Long",
        "dataset_id": "String",
        "depth": "Integer",
        "file_Name": "String",
        "file_id": "String",
        "file_type": "String",
        "height": "Integer",
        "size": "Long",
        "tags": "Map",
        "url": "String",
        "width": "Integer",
    },
    "Field": {
        "description": "String",
        "name": "String",
        "schema_id": "Integer",
        "type": "String",
    },
    "DatasetVersion": {
        "add_sample_count": "Integer",
        "analysis_cache_path": "String",
        "analysis_status": "Integer",
        "analysis_task_id": "String",
        "annotated_sample_count": "Integer",
        "annotated_sub_sample_count": "Integer",
        "clear_hard_property": "Boolean",
        "code": "String",
        "create_time": "Long",
        "crop": "Boolean",
        "crop_path": "String",
        "crop_rotate_cache_path": "String",
        "data_analysis": "Map",
        "data_path": "String",
        "data_statistics": "Map",
        "data_validate": "Boolean",
        "deleted_sample_count": "Integer",
        "deletion_stats": "Map",
        "description": "String",
        "export_images": "Boolean",
        "extract_serial_number": "Boolean",
        "include_dataset_data": "Boolean",
        "is_current": "Boolean",
        "label_stats": "[LabelStats]",
        "label_type": "String",
        "manifest_cache_input_path": "String",
        "manifest_path": "String",
        "message": "String",
        "modified_sample_count": "Integer",
        "previous_annotated_sample_count": "Integer",
        "previous_total_sample_count": "Integer",
        "previous_version_id": "String",
        "processor_task_id": "String",
        "processor_task_status": "Integer",
        "remove_sample_usage": "Boolean",
        "rotate": "Boolean",
        "rotate_path": "String",
        "sample_state": "String",
        "start_processor_task": "Boolean",
        "status": "Integer",
        "tags": "Array of strings",
        "task_type": "Integer",
        "total_sample_count": "Integer",
        "total_sub_sample_count": "Integer",
        "train_evaluate_sample_ratio": "String",
        "update_time": "Long",
        "version_format": "String",
        "version_id": "String",
        "version_name": "String",
        "with_column_header": "Boolean",
    },
    "LabelStats": {
        "attributes": "[LabelAttribute]",
        "count": "Integer",
        "name": "String",
        "property": "LabelProperty",
        "sample_count": "Integer",
        "type": "Integer",
    },
    "LabelAttribute": {
        "default_value": "String",
        "id": "String",
        "name": "String",
        "type": "String",
        "values": "[LabelAttributeValue]",
    },
    "LabelAttributeValue": {
        "id": "String",
        "value": "String",
    },
    "LabelProperty": {
        "@modelarts:color": "String",
        "@modelarts:default_shape": "String",
        "@modelarts:from_type": "String",
        "@modelarts:rename_to": "String",
        "@modelarts:shortcut": "String",
        "@modelarts:to_type": "String",
    },
    "WorkforceDescriptor": {
        "current_task_id": "String",
        "current_task_name": "String",
        "reject_num": "Integer",
        "repetition": "Integer",
        "is_synchronize_auto_labeling_data": "Boolean",
        "is_synchronize_data": "Boolean",
        "workers": "[Worker]",
        "workforce_id": "String",
        "workforce_name": "String",
    },
    "Worker": {
        "create_time": "Long",
        "description": "String",
        "email": "String",
        "role": "Integer",
        "status": "Integer",
        "update_time": "Long",
        "worker_id": "String",
        "workforce_id": "String",
    },
}

_NEUTRAL: dict[str, Any] = {"Integer": 0, "Long": 0, "String": "", "Boolean": False}
# Where zero would say something wrong: every sample is labelled by one person at least.
_OTHERWISE: dict[tuple[str, str], Any] = {("WorkforceDescriptor", "repetition"): 1}


def whole(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """An object with all its fields: these values, and neutral ones for the rest. Raises KeyError for a foreign field."""
    fields = FIELDS[kind]
    foreign = values.keys() - fields.keys()
    if foreign:
        raise KeyError(f"{kind} has no field {sorted(foreign)[0]}")
    return {name: values[name] if name in values else _neutral(kind, name, type) for name, type in fields.items()}


def _neutral(kind: str, name: str, type: str) -> Any:
    if (kind, name) in _OTHERWISE:
        return _OTHERWISE[kind, name]
    if type == "Map":
        return {}
    if type.startswith(("[", "Array")):
        return []
    return _NEUTRAL[type] if type in _NEUTRAL else whole(type, {})
