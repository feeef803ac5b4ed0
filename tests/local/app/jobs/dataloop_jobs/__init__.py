"""Job package of the test application."""
