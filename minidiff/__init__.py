"""minidiff: diffusion models from scratch, to be read. Start with denoise.py; the README has the map."""
