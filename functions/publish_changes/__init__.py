"""The table's stream becomes domain events."""
