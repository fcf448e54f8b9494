"""Question 1b: a two-dimensional convolution, worked out by hand."""

from gradescope_utils.autograder_utils.decorators import number, weight

from autograder.hw5.mistakes import convolution as known
from autograder.rubric.feedback import Named, reject
from autograder.rubric.mistake import named

HINT_COUNT = Named(next_step="A filter covers every channel of the input, and has one bias.")
HINT_PLACES = Named(
    next_step="Count the positions along one side first. Write [height, width, channels]."
)


@number("1b.1")
@weight(1)
def test_parameters(exam, assignment):
    """Conv 2D: number of parameters, biases included."""
    got = exam.answers.whole_number("q1b", "parameters")
    if got != assignment.conv2d.parameters():
        raise reject(
            "This is not the number of parameters.",
            got=str(got),
            **(named(known.of_parameters(assignment.conv2d, got)) or HINT_COUNT),
        )


@number("1b.2")
@weight(1)
def test_output_shape(exam, assignment):
    """Conv 2D: shape of the output."""
    got = exam.answers.shape("q1b", "output_shape")
    if got != assignment.conv2d.output_shape():
        raise reject(
            "This is not the shape of the output.",
            got=str(list(got)),
            **(named(known.of_output_shape(assignment.conv2d, got)) or HINT_PLACES),
        )
