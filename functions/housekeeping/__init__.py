"""What a schedule puts right."""
