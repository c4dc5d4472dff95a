"""Grading: what a submission's answers deserve, found without ever trusting them.

cells.py, statements.py and answers.py find the answers in a submission's text; grade.py has each judged, for one
submission or for a class; report.py and canvas.py write what came out; commands.py and progress.py are the command
line. sandbox.py judges one answer. For that there are processes beside the grader's own, so that a student's lines
run in the last alone:

grader (sandbox.py) -> keeper (keeper.py), which starts and ends the others, and kills what is left after each exercise
    -> check (judge.py), one for each exercise: runs the exercise's check on stand-ins for the answer's functions
    -> nursery (nursery.py), which has imported torch but no check, and forks
        -> answer (worker.py), one for each exercise: shut in (isolate.py), it runs the program and serves calls

Check and answer talk across a socket: wire.py says which values may cross, calls.py carries calls both ways,
gradients.py gradients through them, modules.py keeps modules equal on both sides.
"""
