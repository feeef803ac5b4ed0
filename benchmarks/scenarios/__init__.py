"""One file per scenario; registry.py lists them."""
