"""Functions of the test application."""
