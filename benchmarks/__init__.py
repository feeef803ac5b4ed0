"""The budgets of design §11, each measured against its rival in the same run: `python -m benchmarks` (docs/benchmarks.md)."""
