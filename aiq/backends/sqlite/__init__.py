"""Jobs in one SQLite file: for development and single machines, with nothing to install and nothing to run."""
