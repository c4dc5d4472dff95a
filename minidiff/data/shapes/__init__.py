"""Captioned shapes: scenes drawn here, their sentences, and a checker that reads pictures back."""
