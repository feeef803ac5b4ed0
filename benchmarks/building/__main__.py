"""python -m benchmarks.building [scenario …] [--json FILE] [--quick] [--strict]"""

from __future__ import annotations

from benchmarks.__main__ import main
from benchmarks.building.registry import SCENARIOS

raise SystemExit(main(scenarios=SCENARIOS, program="python -m benchmarks.building"))
