"""Stub while writing."""
import json
def write_report(document, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder/"recording.json").write_text(json.dumps(document, indent=1, allow_nan=False))
    return folder
