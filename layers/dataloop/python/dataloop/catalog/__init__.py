"""Declarations: what can be trained, with what, and exported to what. The implementations live in jobs/."""
