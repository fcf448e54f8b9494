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
        nn.Conv2d(1, 12, kernel_size=4, stride=2),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, kernel_size=3),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(24 * 5 * 5, 100),
        nn.ReLU(),
        nn.Linear(100, 10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
