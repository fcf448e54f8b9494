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


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 12, 4, stride=2),
            nn.BatchNorm2d(12),
            nn.MaxPool2d(2),
            nn.Dropout(0.1),
            nn.Linear(12 * 6 * 6, 10),
        )

    def forward(self, x):
        for layer in list(self)[:-1]:
            x = layer(x).relu()
        return self[-1](x.flatten(1))


def build_cnn():
    return Net()


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
