"""Runs first in the zygote: `python -I -S -B start.py CONTROL SITE_PACKAGES...`.

Isolated mode keeps the environment, the user's site-packages and the working directory
out; -S keeps out .pth files, and with them the grader's own installation. What remains is
the standard library, the third-party packages, and this folder under the name `sandbox`.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path += sys.argv[2:]
    sys.path.insert(0, str(here.parent))
    from sandbox import answerer, confine, worker, zygote  # noqa: F401  loaded before the path closes

    sys.path.remove(str(here.parent))
    zygote.main()
