"""Question 1c: average and max pooling of two matrices, worked out by hand."""

from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.mistakes import pooling as known
from autograder.rubric.feedback import Named, reject
from autograder.rubric.mistake import named


def check(exam, pooling, name, matrix, average):
    """Compare one pooled matrix with the key that torch computed."""
    expected = pooling.average(matrix) if average else pooling.maximum(matrix)
    got = exam.answers.matrix("q1c", name)
    mistake = named(known.of_pooling(pooling, got, matrix, average))
    shape = (len(got), *sorted({len(row) for row in got}))
    if shape != (len(expected), len(expected[0])):
        raise reject(
            "The result has the wrong shape.",
            got=" x ".join(str(size) for size in shape),
            **(mistake or Named(next_step="How many windows fit into one row of the matrix?")),
        )
    wrong = sum(
        abs(mine - key) > pooling.tolerance
        for row, keys in zip(got, expected, strict=True)
        for mine, key in zip(row, keys, strict=True)
    )
    if wrong:
        raise reject(
            f"{wrong} of {shape[0] * shape[1]} numbers are wrong.",
            got=str([[round(value, 3) for value in row] for row in got]),
            **(mistake or Named(next_step=known.POOL_HINT)),
        )


@number("1c.1")
@weight(0.5)
def test_average_of_first(exam, assignment):
    """Average pooling of the first matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "first_average", pooling.first, average=True)


@number("1c.2")
@weight(0.5)
def test_maximum_of_first(exam, assignment):
    """Max pooling of the first matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "first_maximum", pooling.first, average=False)


@number("1c.3")
@weight(0.5)
def test_average_of_second(exam, assignment):
    """Average pooling of the second matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "second_average", pooling.second, average=True)


@number("1c.4")
@weight(0.5)
def test_maximum_of_second(exam, assignment):
    """Max pooling of the second matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "second_maximum", pooling.second, average=False)
