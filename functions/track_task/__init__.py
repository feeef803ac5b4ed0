"""Status events of executions and jobs keep tasks true."""
