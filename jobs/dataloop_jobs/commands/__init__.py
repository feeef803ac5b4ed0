"""The three things a job can do: train, evaluate, export. Each module has one function of its own name."""
