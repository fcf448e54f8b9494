"""The autograder of a homework on convolutions, MNIST and a Vision Transformer."""
