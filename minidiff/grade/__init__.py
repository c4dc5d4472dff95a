"""Grading: cells.py and answers.py find a submission's answers, sandbox.py judges each in processes of its own (wire,
calls, gradients and modules carry values and calls between the check in judge.py and the answer in worker.py),
report.py and canvas.py write what came out, and grade.py does so for a submission or a folder of them."""
