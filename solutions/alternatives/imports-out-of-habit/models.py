"""The two networks of question 2."""

import pandas as pd
import seaborn as sns
import torchvision
from torch import nn
from torchvision import datasets, transforms
from tqdm.auto import tqdm

from provided.training import Training

sns.set_theme()
transform = transforms.Compose([transforms.ToTensor()])


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
