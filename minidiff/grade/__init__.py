"""Grading: answers.py finds a submission's answers, sandbox.py judges each in processes of its own (wire, calls,
gradients and modules carry values and calls between the check in judge.py and the answer in worker.py), report.py
writes what came out, and grade.py does so for a submission or a folder of them."""
