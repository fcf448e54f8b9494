from torch import nn

from provided.training import Training


class FullyConnected(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Flatten(),
            nn.Linear(784, 200),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(200, 10),
        )


class Block(nn.Sequential):
    def __init__(self, inputs, outputs, size, stride=1):
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride=stride, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


def build_fully_connected():
    return FullyConnected()


FULLY_CONNECTED_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")


def build_cnn():
    return nn.Sequential(
        Block(1, 12, 4, stride=2),
        Block(12, 24, 3),
        nn.MaxPool2d(2),
        Block(24, 22, 3),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.Linear(198, 10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
