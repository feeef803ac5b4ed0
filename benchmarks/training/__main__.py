"""python -m benchmarks.training [scenario …] [--json FILE] [--quick] [--strict]"""

from __future__ import annotations

from benchmarks.__main__ import main
from benchmarks.training.registry import SCENARIOS

raise SystemExit(main(scenarios=SCENARIOS, program="python -m benchmarks.training"))
