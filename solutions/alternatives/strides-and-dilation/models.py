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
        nn.Conv2d(1, 16, kernel_size=5, stride=2, padding=2),  # 14 x 14
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 24, kernel_size=3, dilation=2),  # 10 x 10
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 32, kernel_size=3, stride=2, padding=1, bias=False),  # 5 x 5
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(32 * 5 * 5, 10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
