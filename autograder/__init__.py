"""The autograder of a homework on convolutions, MNIST and a Vision Transformer."""

HOMEWORK = "hw5"  # the room of this package that holds all that is about one homework
