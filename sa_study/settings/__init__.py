"""The settings of a run and the search spaces over them, with their YAML files."""
