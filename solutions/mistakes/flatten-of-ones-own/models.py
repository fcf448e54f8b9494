from torch import nn

from provided.training import Training


class Flatten(nn.Module):
    def forward(self, x):
        return x.view(x.shape[0], -1)


def build_fully_connected():
    return nn.Sequential(
        Flatten(),
        nn.Linear(784, 128),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(128, 72),
        nn.ReLU(),
        nn.Linear(72, 10),
    )


FULLY_CONNECTED_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")


def build_cnn() -> nn.Sequential:
    """9,642 parameters: the first stride halves the image at once, which saves most of the work."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 4, stride=2, bias=False),  # 13 x 13
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, bias=False),  # 11 x 11
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 5 x 5
        nn.Conv2d(24, 22, 3, bias=False),  # 3 x 3
        nn.BatchNorm2d(22),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(198, 10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
