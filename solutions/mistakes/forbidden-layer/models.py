from torch import nn

from provided.training import Training


def build_fully_connected():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 72),
        nn.ReLU(),
        nn.Linear(72, 10),
    )


FULLY_CONNECTED_TRAINING = Training(learning_rate=2e-3, schedule="one_cycle")


def build_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 12, kernel_size=4, stride=2),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, kernel_size=3),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(24 * 5 * 5, 10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
