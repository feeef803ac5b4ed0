"""What the application would pay AWS for: requests, capacity units, Lambda time, transitions, instance seconds."""
