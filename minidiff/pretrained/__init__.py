"""The models that come with minidiff, a run folder each; run/pretrained.py finds them."""
