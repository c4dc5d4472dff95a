"""Grading: cells.py and answers.py find a submission's answers, sandbox.py judges each in a process of its own
(worker.py, wire.py), report.py and canvas.py write what was found, grade.py does it for a submission or for a class.
"""
