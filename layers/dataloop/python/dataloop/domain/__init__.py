"""Pure rules and entities: no I/O, no clock, no randomness. Times and random bytes are arguments."""
