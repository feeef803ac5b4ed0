"""The documentation, and the generator of what in it is generated."""
