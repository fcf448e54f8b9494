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
    # 160 + 32 + 3190 + 44 + 45733 + 840 = 49,999
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2),  # 13 x 13
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 22, 3),  # 11 x 11
        nn.BatchNorm2d(22),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 5 x 5
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(550, 83),
        nn.ReLU(),
        nn.Linear(83, 10),
    )


CNN_TRAINING = Training(learning_rate=2e-3, schedule="one_cycle")
