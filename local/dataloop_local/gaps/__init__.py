"""One file per gap of ministack 1.5.33. Each says what stock lacks, what we do, and which test notices an upgrade.

`installed.py` lists them in order; every module has `install(runtime)` and touches ministack nowhere else.
"""
