"""Use cases in domain words. They return domain objects and raise domain errors; `bootstrap` wires them."""
