"""What is learnt. One file a task type, each with the same surface (`TaskType` below as `IMPLEMENTATION`)."""
