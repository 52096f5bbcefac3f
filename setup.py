"""Names the packages of the distribution; everything else about it is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["aiq", "aiq.*"]), "aiq.testing.conformance"])
