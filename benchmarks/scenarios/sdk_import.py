"""What `import ankerautotrainsdk` costs a process, interpreter included, and whether boto3 comes along."""

from __future__ import annotations

from benchmarks.measure import in_turns, python
from benchmarks.scenario import Bench, Budget, Figure, counted

_MODULES = (
    "import sys, ankerautotrainsdk; print(sum(name.split('.')[0] in ('boto3', 'botocore') for name in sys.modules))"
)


def run(bench: Bench) -> list[Figure]:
    """Fresh processes; the interpreter's own start is shown, so that the reader can take it off."""
    codes = {"ours": "import ankerautotrainsdk", "rival": "import boto3", "bare": "pass"}
    found = in_turns(
        {name: lambda code=code: python(code).cpu_s * 1000 for name, code in codes.items()},  # type: ignore[misc]
        bench.rounds(15, 5),
    )
    bench.note(f"sdk_import: an empty Python takes {found['bare'].median:.0f} ms of each figure")
    return [
        Figure("CPU", "ms", found["ours"], "import boto3", found["rival"], Budget(100, "ours")),
        Figure("boto3 modules loaded", "", counted(int(python(_MODULES).output)), budget=Budget(0, "ours")),
    ]
