"""What a job can do: one module a command of run.py, with one function of its own name."""
