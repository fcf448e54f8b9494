"""Build your write-up: writeup.pdf, and writeup_overleaf.zip for those who prefer LaTeX.

    python writeup.py               makes writeup/ with a file for each answer, then both of these
    python writeup.py --check       what is still empty, missing or older than your code

Write your words into the Markdown files in writeup/. Figures, settings, accuracies, the table of
your runs, the values of answers.yaml and your code are put in from where they are, so a number in
the write-up is the one of its run. Files in writeup/ are never overwritten.
"""

from __future__ import annotations

import provided.names_in_the_way  # noqa: F401  before any import that they could spoil

# isort: split
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from provided.terminal import replace_unknown_letters
from provided.writeup import build, review

HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns 0 if there is nothing to fix."""
    options = parse(arguments)
    replace_unknown_letters()
    return review.review(HERE) if options.check else build.build(HERE)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="say what is still to do, and build nothing"
    )
    return parser.parse_args(arguments)


def show(dots_per_inch: int = 60) -> None:
    """In a notebook: every page as a picture."""
    from IPython.display import Image, display

    for page in build.pictures(HERE, dots_per_inch):
        display(Image(page))


if __name__ == "__main__":
    sys.exit(main())
