"""Question 3a: one attention head.

From torch.nn only Linear, Softmax and Dropout, without biases; tensor operations such as
matmul and transpose are fine.
"""

from torch import Tensor, nn


class SingleHeadAttention(nn.Module):
    """Scaled dot-product self-attention with one head."""

    def __init__(self, input_dim: int, inner_dim: int, dropout: float = 0.0) -> None:
        """Make the projections for query, key and value: input_dim -> inner_dim numbers.

        dropout: share of the output's numbers that are dropped while training
        """
        super().__init__()
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Let every token look at every other.

        x: (B, T, input_dim), B sequences of T tokens
        returns out: (B, T, inner_dim), and attention: (B, T, T), whose row t holds how much
        token t takes from each token; every row sums to one
        """
        raise NotImplementedError
