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


def build_cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 12, 4, stride=2, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 22, 3, bias=False),
        nn.BatchNorm2d(22),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(p=0.0),
        nn.Linear(198, 10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
