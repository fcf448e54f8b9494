from torch import nn

from provided.training import Training


def build_fully_connected() -> nn.Sequential:
    """200 hidden units, kept from memorising by dropout."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 200),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(200, 10),
    )


FULLY_CONNECTED_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")


def build_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 64, 5, padding=2),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Flatten(),
        nn.Linear(64 * 28 * 28, 120),
        nn.ReLU(),
        nn.Linear(120, 10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
