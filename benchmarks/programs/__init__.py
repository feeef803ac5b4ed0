"""What runs in a process of its own, so that its CPU time and memory can be told apart from everything else."""
