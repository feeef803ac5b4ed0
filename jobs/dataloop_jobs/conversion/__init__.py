"""Graph translations that no maintained library does for us; each used by one exporter."""
