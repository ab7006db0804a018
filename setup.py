"""The list of packages; all else about the distribution is in pyproject.toml."""

from setuptools import find_packages, setup

# The search spaces, beside the package in a checkout, are within it where it is installed.
setup(
    packages=[*find_packages(include=["sa_study*"]), "sa_study.search_spaces"],
    package_dir={"sa_study.search_spaces": "search_spaces"},
)
