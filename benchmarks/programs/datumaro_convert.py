"""Read a COCO dataset with datumaro and write it again: PYTHON_OF_DATUMARO … FOLDER TARGET FORMAT → {"peak_mb", "images"}

Runs in datumaro's own environment and imports nothing of ours. Annotations only: no picture is read or written. FORMAT is
`coco`, as datumaro's documentation reads and writes such a file, or `coco_instances`, which writes boxes and outlines alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    import datumaro

    dataset = datumaro.Dataset.import_from(sys.argv[1], sys.argv[3])
    images = len(dataset)
    dataset.export(sys.argv[2], sys.argv[3], save_media=False)
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
    print(json.dumps({"images": images, "peak_mb": peak}))


main()
