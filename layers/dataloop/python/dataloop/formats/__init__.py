"""Label formats of others: streaming readers and writers over a source and a target. No AWS: jobs use them, too."""
