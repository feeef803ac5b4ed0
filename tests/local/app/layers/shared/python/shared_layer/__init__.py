"""Comes from a layer: what a layer puts below python/ must be importable."""

NAME = "shared"
