"""A whole class: its submissions regraded, what changed and why, and the folder that holds it all.

The folder of a class is the truth; every process that works on it may end at any instant.

    results/ID.json     what the grader wrote, and with what it was graded
    before/ID.json      what counted before: the export's results, or an earlier regrade's
    about/ID.json       who handed it in and when, earlier scores, what its files amount to
    trouble/ID.json     why there are no results
    again/ID.json       the results with another seed, where they were asked for
    trainings/          trainings that equal networks share
    index.jsonl         one line for each entry; made from the files above
    changes.csv  report.html  grades.csv     made from the files above too
"""
