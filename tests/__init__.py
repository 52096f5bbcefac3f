"""The tests of aiq; the folder is a package, so that file names need not be unique."""
