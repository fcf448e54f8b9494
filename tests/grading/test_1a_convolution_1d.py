"""Question 1a: a one-dimensional convolution, worked out by hand."""

from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.mistakes import convolution as known
from autograder.rubric.feedback import Named, reject
from autograder.rubric.mistake import named

HINT_COUNT = Named(
    next_step="Count the weights of one filter, its bias, and how many filters there are."
)
HINT_PLACES = Named(
    next_step="At how many positions can the filter start? Write [length, channels]."
)


@number("1a.1")
@weight(1)
def test_parameters(exam, assignment):
    """Conv 1D: number of parameters, biases included."""
    got = exam.answers.whole_number("q1a", "parameters")
    if got != assignment.conv1d.parameters():
        raise reject(
            "This is not the number of parameters.",
            got=str(got),
            **(named(known.of_parameters(assignment.conv1d, got)) or HINT_COUNT),
        )


@number("1a.2")
@weight(1)
def test_output_shape(exam, assignment):
    """Conv 1D: shape of the output."""
    got = exam.answers.shape("q1a", "output_shape")
    if got != assignment.conv1d.output_shape():
        raise reject(
            "This is not the shape of the output.",
            got=str(list(got)),
            **(named(known.of_output_shape(assignment.conv1d, got)) or HINT_PLACES),
        )
