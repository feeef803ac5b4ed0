"""Files of a dataset version on local disk: written, merged, compared, verified. No AWS: jobs use them, too."""
