"""Runs: a folder that fills as training goes. Knows all of the package, and is known by demo alone."""
