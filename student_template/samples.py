"""A convolutional network to take apart: train it as it is, change one thing, compare.

    python train.py sample

It has what question 2c asks for, a Dropout and a BatchNorm2d, and 3,114 parameters. Its layers
have names, so that a weight decay can be given to one of them. It gets about 97% of the test
images right, which isn't enough for 2c. Nothing in this file is graded.
"""

from collections import OrderedDict

from torch import nn

from provided.training import Training


def build_sample() -> nn.Sequential:
    """Images (B, 1, 28, 28) -> logits (B, 10)."""
    return nn.Sequential(
        OrderedDict(
            convolution=nn.Conv2d(1, 8, kernel_size=5, stride=2),  # (B, 8, 12, 12)
            norm=nn.BatchNorm2d(8),
            activation=nn.ReLU(),
            pooling=nn.MaxPool2d(2),  # (B, 8, 6, 6)
            flatten=nn.Flatten(),  # (B, 288)
            dropout=nn.Dropout(0.25),
            classifier=nn.Linear(8 * 6 * 6, 10),
        )
    )


SAMPLE_TRAINING = Training(
    learning_rate=1e-3,
    epochs=5,
    weight_decay=1e-5,  # of every layer that isn't named below
    layer_weight_decay={"classifier": 1e-3},  # by its name; its index, 6, would do too
)
