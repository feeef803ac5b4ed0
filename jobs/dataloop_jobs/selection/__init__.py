"""Which images are worth a person's time: doubt, diversity, balance, near-duplicates."""
