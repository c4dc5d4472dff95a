"""Runs: config, recipes, folder, training loop, sampling, command line. May use all of the package; of the package
demo, grade and __main__ alone use it.
"""
