"""New labels and the clock wake the loops."""
