"""Submissions that cheat or break, and what each deserves: python -m hostile.make FOLDER (in tests/) writes them."""
