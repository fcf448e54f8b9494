"""Question 1c: average and max pooling of two matrices, worked out by hand."""

from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.feedback import reject


def check(exam, pooling, name, expected):
    """Compare one pooled matrix with the key that torch computed."""
    got = exam.answers.matrix("q1c", name)
    shape = (len(got), *sorted({len(row) for row in got}))
    if shape != (len(expected), len(expected[0])):
        raise reject(
            "This is not a matrix of the right shape.",
            got=" x ".join(str(size) for size in shape),
            next_step="Count where a window of 3 by 3 fits when it moves by 2.",
        )
    wrong = sum(
        abs(mine - key) > pooling.tolerance
        for row, keys in zip(got, expected, strict=True)
        for mine, key in zip(row, keys, strict=True)
    )
    if wrong:
        raise reject(
            f"{wrong} of {shape[0] * shape[1]} numbers are not right.",
            got=str([[round(value, 3) for value in row] for row in got]),
            next_step="Lay the window over the matrix again: neighbours share a row or column.",
        )


@number("1c.1")
@weight(0.5)
def test_average_of_first(exam, assignment):
    """Average pooling of the first matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "first_average", pooling.average(pooling.first))


@number("1c.2")
@weight(0.5)
def test_maximum_of_first(exam, assignment):
    """Max pooling of the first matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "first_maximum", pooling.maximum(pooling.first))


@number("1c.3")
@weight(0.5)
def test_average_of_second(exam, assignment):
    """Average pooling of the second matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "second_average", pooling.average(pooling.second))


@number("1c.4")
@weight(0.5)
def test_maximum_of_second(exam, assignment):
    """Max pooling of the second matrix."""
    pooling = assignment.pooling
    check(exam, pooling, "second_maximum", pooling.maximum(pooling.second))
