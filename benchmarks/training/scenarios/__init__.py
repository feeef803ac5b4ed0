"""One scenario a file; each has `run(bench) -> list[Figure]`."""
