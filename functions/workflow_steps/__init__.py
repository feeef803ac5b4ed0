"""The steps of the state machines."""
