"""The conformance suite: what every storage must do, one file per chapter of spec/."""
