from torch import nn

from provided.training import Training


def build_fully_connected():
    return nn.Sequential(
        nn.Flatten(),
        nn.LazyLinear(200),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.LazyLinear(10),
    )


FULLY_CONNECTED_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")


def build_cnn():
    return nn.Sequential(
        nn.LazyConv2d(12, 4, stride=2, bias=False),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.LazyConv2d(24, 3, bias=False),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.LazyConv2d(22, 3, bias=False),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.1),
        nn.LazyLinear(10),
    )


CNN_TRAINING = Training(learning_rate=3e-3, schedule="one_cycle")
