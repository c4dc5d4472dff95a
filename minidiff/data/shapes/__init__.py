"""Captioned shapes: pictures drawn here, with sentences that are true of them, in any number and at any size.

scenes draws scenes and renders them; captions describes them; dataset gives both as data; checker reads a picture back
and compares it with what its caption asked for.
"""
