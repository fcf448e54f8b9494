"""How many gradings run: a class's, a validation's, a calibration's.

workers.py       where they run: opens one of the next two
this_machine.py  threads of this process, each with one grading at a time
cluster.py       the workers of a Dask cluster that runs somewhere
task.py          what a worker is told to do, and how it says that it went
keeping.py       a worker's side: has one run of the grader kept
keeper.py        the process that sees to one run's end
probe.py         whether a worker may grade
one_core.py      the time limits of a grading that has one core
"""
