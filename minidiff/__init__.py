"""minidiff: diffusion models from scratch, to be read. The README has the map; start with schedules.py.

The modules here are the core. They know nothing of nets, stages, data, measure and run, which may all use them.
"""
