"""The steps of `erasure`: the only function whose role may remove object versions (docs/deletion.md)."""
