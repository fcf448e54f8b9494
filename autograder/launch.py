"""Where the command line starts: one import of torch for every process of a run.

Torch is imported once; two zygotes are forked while nothing of the grader is in memory;
then the command line runs. So the processes of a run share most of their memory, which the
smallest container needs, and none but the first waits for the import. Before all that, a
grader with a full environment starts anew with an empty one: its workers inherit the stack.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from autograder import HOMEWORK
from autograder.confined import surroundings

# Commands that grade; the others don't need what takes long to start.
GRADING_COMMANDS = ("grade", "explain", "measure")
TELLING = {"--help", "-h", "--version"}  # options that grade nothing
THREADS_SECONDS = 10.0  # for threads that are still at work at the end
STOPPED = 3  # exit status: results.json is valid, and says that the run isn't complete


def main() -> None:
    """Fork the zygotes where the command will need them, then run the command line.

    Called as `trainer DESCRIPTOR`, be the zygote of trainings: programs that import the
    grader start one so.
    """
    grades = bool(sys.argv[1:2]) and sys.argv[1] in GRADING_COMMANDS
    if grades:
        surroundings.start_clean()
    zygote = importlib.import_module("autograder.confined.zygote")
    if sys.argv[1:2] == ["trainer"]:
        zygote.warm_up()
        serve_trainings(socket.socket(fileno=int(sys.argv[2])))
        return
    control: dict[str, tuple[int, socket.socket]] = {}
    if grades and not TELLING & set(sys.argv):
        zygote.warm_up()
        control["worker"] = fork_zygote(serve_workers)
        control["trainer"] = fork_zygote(serve_trainings)
    forking = importlib.import_module("autograder.sandbox.fork_server")
    for kind, (pid, theirs) in control.items():
        forking.offer(kind, pid, theirs)
    if grades:
        clean_up_when_stopped()
    command_line = importlib.import_module("autograder.cli").main
    if grades:
        run_and_end(command_line)
    command_line()


def run_and_end(command: Callable[[], None]) -> NoReturn:
    """Run the last that this process does, and end as Python would after it, but at once.

    To take down all that torch has loaded costs half a second of processor time.
    """
    status = 1
    try:
        command()
        status = 0
    except SystemExit as ending:
        status = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        if ending.code is not None and not isinstance(ending.code, int):
            print(ending.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001  as Python does at the end of a program
        traceback.print_exc()
    finally:
        end_process(status)


def end_process(status: int) -> NoReturn:
    """End as a program does, without going back to where it was forked.

    Threads are waited for, but not for ever.
    """
    try:
        until = time.monotonic() + THREADS_SECONDS
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join(max(0.0, until - time.monotonic()))
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BrokenPipeError):  # nobody reads any more
                stream.flush()
    finally:
        os._exit(status & 0xFF)


def clean_up_when_stopped() -> None:
    """Be ended by an exception, so that temporary folders are removed, not by the signal itself.

    One that is ignored, as under nohup, stays so. While the suites run, they stop the run.
    """

    def stop(number: int) -> None:
        raise SystemExit(STOPPED)

    signals = importlib.import_module("autograder.rubric.signals")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signals.end_by(number, stop)


def fork_zygote(serve: Callable[[socket.socket], None]) -> tuple[int, socket.socket]:
    """A forked child that serves requests, and our end of its socket."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            ours.close()
            _forget_surroundings(theirs.fileno())
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            serve(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return pid, ours


def serve_workers(control: socket.socket) -> None:
    """Be the zygote of confined workers: no way to import the grader is left."""
    zygote = importlib.import_module("autograder.confined.zygote")
    worker = importlib.import_module("autograder.confined.worker")
    questions = importlib.import_module(f"autograder.{HOMEWORK}.confined.questions")
    for package in ("autograder", f"autograder.{HOMEWORK}"):
        sys.modules[package].__path__ = []
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")
    ]
    sys.path[:] = [
        folder
        for folder in sys.path
        if "__editable__" not in folder and not (Path(folder) / "autograder").exists()
    ]
    serve = functools.partial(worker.serve, answerer=questions.Questions)
    zygote.Zygote(control, serve).run()


def serve_trainings(control: socket.socket) -> None:
    """Be the zygote of the grader's own trainings."""
    zygote = importlib.import_module("autograder.confined.zygote")
    trainer = importlib.import_module("autograder.training.trainer")
    data = importlib.import_module(f"autograder.{HOMEWORK}.mnist")
    serve = functools.partial(trainer.serve, load=data.load)
    zygote.Zygote(control, serve).run()


def _forget_surroundings(kept: int) -> None:
    """Drop the environment, and every descriptor but one; standard ones become empty."""
    os.environ.clear()
    os.environ.update({"LANG": "C.UTF-8", "PATH": os.defpath, "OMP_NUM_THREADS": "1"})
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))


if __name__ == "__main__":
    main()
