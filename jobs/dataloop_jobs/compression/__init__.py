"""Smaller and faster networks: channel pruning with its sensitivity scan, and quantisation-aware training."""
