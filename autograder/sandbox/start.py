"""Starts the zygote of the workers by itself: `python -I -S -B start.py CONTROL PACKAGES...`.

Isolated mode keeps the environment, the user's site-packages and the working directory
out; -S keeps out .pth files, and with them the grader's own installation. What remains is
the standard library, the third-party packages, and this folder under the name `sandbox`.

The command line forks its zygotes instead (see launch.py), which shares torch's memory;
this is for programs that import the grader.
"""

import socket
import sys
from pathlib import Path

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path += sys.argv[2:]
    sys.path.insert(0, str(here.parent))
    from sandbox import worker, zygote

    sys.path.remove(str(here.parent))
    zygote.warm_up()
    zygote.Zygote(socket.socket(fileno=int(sys.argv[1])), worker.serve).run()
