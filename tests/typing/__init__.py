"""Files that are checked by mypy and never run: what users write must be typed as promised."""
