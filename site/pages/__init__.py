"""What the site is made of: each module here writes Markdown or notebooks from what is committed, as text.

links      where a path of the repository is on the site
lectures   the executed notebooks with folded hints and solutions, and the table of exercises
ledger     the claims by slide, the map from slides to sections, the list of what was contradicted
quiz       the form, with right answers that the lectures' solutions compute
api        the package from its docstrings, in reading order
finish     Sphinx's pages made lighter: picture sizes, pictures loaded when they are seen, still pictures
"""
