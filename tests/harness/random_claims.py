"""Thousands of random claims against what digests them, in a process of little memory.

Run as a program with a seed and a count, it prints how many claims there were, what was not
digested (and so would be flagged), and the slowest. A claim that kills it, that ends as a
fault of the grader, or that takes too long is a defect.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from autograder.confined import wire
from autograder.confined.describing_training import CHOSEN, NEEDED
from autograder.homework import CODE_FILES
from autograder.hw5 import assignment as assignments
from autograder.hw5.described import read_settings
from autograder.hw5.mistakes.raised import of_error
from autograder.hw5.probes.head import probe_head
from autograder.hw5.probes.layer import probe_layer
from autograder.hw5.probes.vit import Doubts, Judgement, TransformerRun
from autograder.hw5.verdicts import head, layer, loss_history, networks, vit
from autograder.hw5.verdicts.layer_dropout import check_layer_dropout
from autograder.rubric.answers import read_answers
from autograder.rubric.digesting import SAID_ALREADY, digesting
from autograder.rubric.feedback import Feedback, Rejected, of_worker_error
from autograder.rubric.plugin import RubricLine
from autograder.sandbox.errors import GraderFault, IndigestibleReply, WorkerError
from autograder.sandbox.replies import (
    ErrorReply,
    ModelReply,
    ModuleReply,
    OutputsReply,
    TraceReply,
)
from autograder.sandbox.worker import Worker
from autograder.training.layer import ModelProblem
from autograder.training.layer_list import ARGUMENTS, LayerList
from provided.homework import CNN, FULLY_CONNECTED
from provided.training import EPOCHS

MEMORY_BYTES = 1 << 30
MOST_SECONDS = 2.0  # of processor time, for one claim
ASSIGNMENT = assignments.load().model_copy(update={"pictures": False})
SIZES = (0, 1, 2, 3, 5, 7, 10, 12, 20, 28, 64, 784, 10**4, 10**6, 9 * 10**8, 10**9)
ODD = (
    "", "a", "weight", "query.weight", "0.query.weight", "norm.bias", "x" * 199, "1" * 199,
    ".".join("1" * 99), "..." * 60, "a\nNext: b", "\x1b[2J", "\x00", "\u202e", "\ud800",
    "é" * 50, "nan", "inf", "1e999", "9" * 150, "Refusal", "__class__", "<int>", "layers.0.weight",
)  # fmt: skip


class Claims:
    """Draws what a worker or a student could claim; one seed, the same claims."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        if self.random.random() < 0.7:
            return self.random.choice(ODD)
        letters = [chr(self.random.randrange(0x110000)) for _ in range(self.random.randrange(30))]
        return "".join(letters)

    def size(self) -> int:
        return self.random.choice(SIZES)

    def shape(self) -> list[int]:
        return [self.size() for _ in range(self.random.randrange(5))]

    def small_shape(self) -> list[int]:
        return [self.random.choice(SIZES[:9]) for _ in range(self.random.randrange(5))]

    def value(self, depth: int = 0) -> Any:
        kinds: list[Callable[[], Any]] = [
            lambda: None, lambda: True, self.size, lambda: -self.size(), self.text,
            lambda: self.random.choice((1e308, -1e308, 1e-308, 0.5)),
            lambda: 10 ** self.random.randrange(18),
        ]  # fmt: skip
        if depth < 3:
            kinds.append(lambda: [self.value(depth + 1) for _ in range(self.random.randrange(5))])
        return self.random.choice(kinds)()

    def tensor(self, near: tuple[int, ...] = ()) -> torch.Tensor:
        """Of a shape that is near what is asked, or any small one; of any dtype and values."""
        shape = list(near) if near and self.random.random() < 0.8 else self.small_shape()
        if sum(shape) > 500:
            shape = [min(side, 40) for side in shape]
        numbers = torch.randn(shape, dtype=torch.float64)
        numbers = numbers * self.random.choice((0.0, 1.0, 40.0, 1e300))
        if self.random.random() < 0.2 and numbers.numel():
            numbers.view(-1)[0] = self.random.choice((float("nan"), float("inf"), 1e308))
        return numbers.to(self.random.choice(list(wire.DTYPES.values())))

    def layer(self) -> dict[str, Any]:
        kind = self.random.choice([*ARGUMENTS, *ODD])
        fields = ARGUMENTS[kind].model_fields if kind in ARGUMENTS else {}
        return {
            "kind": kind,
            "path": self.text() if self.random.random() < 0.5 else str(self.random.randrange(9)),
            "known": self.random.random() < 0.9,
            "arguments": {name: self.value() for name in fields},
            "same_as": self.random.choice((None, None, None, 0, 1, 5)),
            "parameters": self.random.choice((0, 0, 7, 10**9)),
            "own_forward": self.random.random() < 0.1,
        }

    def model(self) -> dict[str, Any]:
        settings: dict[str, Any] = {name: self.value() for name in (*NEEDED, *CHOSEN)}
        if self.random.random() < 0.5:  # the rest may be right
            settings |= {"optimizer": "sgd", "init": None, "epochs": 3, "schedule": [0.1] * 3}
        settings["unknown"] = [self.text() for _ in range(self.random.randrange(3))]
        settings["layer_weight_decay"] = {self.text(): self.value() for _ in range(2)}
        return {
            "layers": [self.layer() for _ in range(self.random.randrange(6))],
            "own_weights": [self.text() for _ in range(self.random.randrange(3))],
            "lazy_problem": self.random.choice(("", self.text())),
            "settings": self.random.choice((None, settings)),
            "settings_problem": self.random.choice((None, self.text())),
        }

    def parameters(self, likely: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
        """Those of a right module, some changed, some more."""
        found = [{"name": name, "shape": list(shape)} for name, shape in likely.items()]
        for _ in range(self.random.choice((0, 0, 0, 1, 3))):
            found.append({"name": self.text(), "shape": self.shape()})
        if self.random.random() < 0.3 and found:
            found[self.random.randrange(len(found))]["shape"] = self.shape()
        return found

    def module(self, likely: dict[str, tuple[int, ...]]) -> dict[str, Any]:
        part = {"path": self.text(), "kind": self.text(), "from_torch": True, "p": self.value()}
        return {"handle": 0, "parameters": self.parameters(likely), "modules": [part]}

    def event(self) -> dict[str, Any]:
        """A step of a pass that may have happened, and whose names may be known."""
        return {
            "what": self.random.choice(("parameter", "dropout")),
            "name": self.random.choice(("out.weight", "second.weight", "norm1.bias", self.text())),
            "p": self.random.choice((None, 0.0, 0.5, 1.0, float(self.size()))),
        }

    def trace(self) -> dict[str, Any]:
        events = [self.event() for _ in range(self.random.choice((0, 3, 30, 1000)))]
        return {"events": events, "modules": [self.text() for _ in range(3)]}

    def error(self) -> dict[str, Any]:
        return {
            "type": self.random.choice(("ValueError", "RuntimeError", "SyntaxError", self.text())),
            "message": self.random.choice((self.text(), self.text() * 20, "9" * 4_900)),
            "file": self.random.choice((None, *CODE_FILES, self.text())),
            "line": self.random.choice((None, 1, 10**9)),
        }


class Claiming(Worker):
    """A worker that answers each question with claims, through the wire's bytes."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.arguments: dict[str, Any] = {}

    def ask(
        self, question: str, schema: Any, *, doing: str, tensors: Any = None, **rest: Any
    ) -> Any:
        self.arguments = rest.get("arguments", self.arguments)
        content: dict[str, Any] = {}
        sent: dict[str, torch.Tensor] = {}
        if schema is ModuleReply:
            content = self.claims.module(_likely(self.arguments))
        elif schema is TraceReply:
            content = self.claims.trace()
        elif schema is OutputsReply:
            x = tensors["x"]
            token = self.arguments.get("inner_dim", self.arguments.get("dim", 3))
            near = ((*x.shape[:2], token), (x.shape[0], x.shape[1], x.shape[1]))
            count = self.claims.random.choice((1, 2, 2, 2, 4))
            content = {"outputs": count}
            sent = {f"output:{i}": self.claims.tensor(near[i % 2]) for i in range(count)}
            sent |= {f"gradient:{name}": self.claims.tensor() for name in ("x", "query.weight")}
        return self.receive(wire.Message(content, sent), schema, doing)

    def receive(self, message: wire.Message, schema: Any, doing: str) -> Any:
        """A message as it arrives."""
        try:
            text = json.dumps(message.content).encode()
            content = wire.decode_json(text)
            tensors = wire.decode_tensors(wire.encode_tensors(message.tensors))
        except wire.WireError as problem:
            raise self.refuse(str(problem), doing) from None
        return self._validated(wire.Message(content, tensors), schema, doing)

    def close(self) -> dict[str, Any]:
        return {}


class ClaimingSandbox:
    """Starts workers that claim."""

    def __init__(self, claims: Claims) -> None:
        self.claims = claims

    @contextmanager
    def worker(self, *files: str) -> Iterator[Claiming]:
        yield Claiming(self.claims)


def _likely(arguments: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    if "inner_dim" in arguments:
        shape = (arguments["inner_dim"], arguments["input_dim"])
        return {f"{role}.weight": shape for role in ("query", "key", "value")}
    if "mlp_dim" not in arguments:
        return {}
    dim, inner, hidden = (arguments[name] for name in ("dim", "dim_head", "mlp_dim"))
    found = {
        f"attention.heads.{number}.{role}.weight": (inner, dim)
        for number in range(arguments["heads"])
        for role in ("query", "key", "value")
    }
    found |= {f"norm{n}.{name}": (dim,) for n in (1, 2) for name in ("weight", "bias")}
    found |= {"out.weight": (dim, inner * arguments["heads"]), "first.weight": (hidden, dim)}
    return {**found, "first.bias": (hidden,), "second.weight": (dim, hidden), "second.bias": (dim,)}


def judged(*verdicts: Callable[[], Any]) -> None:
    """Ask each verdict; a rejection is one, and its text is written as on the platform."""
    for verdict in verdicts:
        try:
            said = verdict()
        except (Rejected, WorkerError, ModelProblem) as problem:
            if isinstance(problem, Rejected):
                said = problem.feedback
            elif isinstance(problem, IndigestibleReply):
                raise
            else:
                said = Feedback(str(problem)) if isinstance(problem, ModelProblem) else None
                said = said or of_error(problem)  # type: ignore[arg-type]
        if isinstance(said, Feedback):
            result = RubricLine("1a.1", "A line", 1.0, feedback=said).result()
            result.output.encode()
            assert "\x1b" not in result.output
            assert "\x00" not in result.output


def a_model(claims: Claims) -> None:
    reply, _ = Claiming(claims).receive(wire.Message(claims.model()), ModelReply, "describing")
    layers = LayerList.from_replies(reply.layers, reply.lazy_problem)
    cnn = ASSIGNMENT.cnn
    judged(
        lambda: networks.check_layers(layers, cnn.allowed_layers),
        lambda: networks.check_hidden_units(layers, 200),
        lambda: networks.check_required_layers(layers, cnn.required_layers),
        lambda: networks.check_parameters(layers, cnn),
        layers.build,
        layers.work,
    )
    if reply.settings is not None:
        for network in (FULLY_CONNECTED, CNN):
            read = read_settings(layers, reply, network, ASSIGNMENT)
            judged(partial(Feedback, read.settings_problem or "fine", notes=read.notes))


def a_head(claims: Claims) -> None:
    probe = probe_head(ClaimingSandbox(claims), torch.Generator(), 1.0)  # type: ignore[arg-type]
    judged(
        lambda: head.check_head_shape(probe),
        lambda: head.check_head_order(probe),
        lambda: head.check_head_parts(probe.parts),
        lambda: head.check_head_biases(probe),
        lambda: head.check_head_returns_weights(probe) or head.check_head_rows(probe, False),
        lambda: head.check_head_values(probe, False),
        lambda: head.check_head_gradients(probe),
        lambda: head.check_float64(probe),
        *(
            lambda case=case: head.check_head_case(probe, case, "other sizes")  # type: ignore[misc]
            for case in (*probe.others, probe.large)
        ),
    )


def a_layer(claims: Claims) -> None:
    probe = probe_layer(
        ClaimingSandbox(claims),  # type: ignore[arg-type]
        torch.Generator(),
        1.0,
        None,
    )
    judged(
        lambda: layer.check_layer_shape(probe),
        lambda: layer.check_layer_order(probe),
        lambda: layer.check_residuals(probe),
        lambda: layer.check_layer_values(probe, False),
        lambda: layer.check_layer_gradients(probe),
        lambda: check_layer_dropout(probe),
    )


def a_transformer(claims: Claims) -> None:
    maps = claims.tensor((1, 8, 17, 17))
    run = TransformerRun([1.0, 2.0], claims.random.random(), maps, "student")  # type: ignore[arg-type]
    judgement = Judgement(0.9, maps, "student", Doubts(0.9, 0.9, 0.1))  # type: ignore[arg-type]
    judged(
        lambda: vit.judge_learning(run, ASSIGNMENT),
        lambda: vit.judge_weights(judgement, ASSIGNMENT),
        lambda: vit.check_attention_maps(run, ASSIGNMENT),
        lambda: vit.check_attention_maps(judgement, ASSIGNMENT),
    )


def an_error(claims: Claims) -> None:
    kind = claims.random.choice(("error", "refusal"))
    content = claims.error()
    if kind == "refusal":
        content = {name: content[name] for name in ("message", "file")}
    worker = Claiming(claims)
    doing = claims.random.choice(
        ("calling SingleHeadAttention on x", "calling ViTLayer on x", "importing")
    )
    judged(lambda: worker.receive(wire.Message({kind: content}), ErrorReply, doing))
    judged(lambda: of_worker_error(WorkerError()))


def a_frame(claims: Claims) -> None:
    """Bytes that are nearly a frame's."""
    blob = bytearray(wire.encode_tensors({"a": claims.tensor(), claims.text(): claims.tensor()}))
    for _ in range(claims.random.randrange(3)):
        blob[claims.random.randrange(len(blob))] = claims.random.randrange(256)
    text = json.dumps({"a": claims.value(), claims.text(): claims.value()})
    text = text.replace("1", claims.random.choice(("1", "1" * 5_000, "[" * 900)), 1)
    for decode, content in ((wire.decode_tensors, bytes(blob)), (wire.decode_json, text.encode())):
        try:
            decode(content)  # type: ignore[operator]
        except wire.WireError as problem:
            judged(lambda said=str(problem): Feedback(said))  # type: ignore[misc]


def a_history(claims: Claims) -> None:
    names = ["epoch", "train_loss", "validation_loss"]
    rows = [
        [str(number + 1), *(str(claims.value()) for _ in range(2))]
        for number in range(claims.random.randrange(2 * EPOCHS))
    ]
    if claims.random.random() < 0.5:
        rows = [[row[0], "1.5", claims.random.choice(("2", "1e308", "nan"))] for row in rows]
    text = "\n".join(",".join(row) for row in (names, *rows))
    content = text.encode(errors="surrogatepass")
    judged(lambda: loss_history.check_history(content, "fc"))


def answers(claims: Claims) -> None:
    shown = json.dumps(claims.value(), ensure_ascii=False)
    content = f"q1a:\n  parameters: {shown}\n  shape: {shown}\n"
    read = read_answers(content)
    judged(
        lambda: read.whole_number("q1a", "parameters"),
        lambda: read.shape("q1a", "shape"),
        lambda: read.matrix("q1a", "shape"),
        lambda: read.word("q1a", "shape", ("a", "b")),
    )


# What is digested, and its share of the claims; those that search for mistakes take longest.
KINDS = {
    a_model: 30, an_error: 25, a_frame: 20, a_history: 10, answers: 10, a_transformer: 4,
    a_head: 0.7, a_layer: 0.3,
}  # fmt: skip


def main(seed: int, count: int) -> dict[str, Any]:
    """Digest so many claims; what became of them."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    claims = Claims(seed)
    faults: list[str] = []
    flagged: dict[str, int] = {}
    slowest = ("", 0.0)
    for number in range(count):
        kind = claims.random.choices(list(KINDS), list(KINDS.values()))[0]
        started = time.process_time()
        try:
            with digesting("digesting a claim"):
                kind(claims)
        except IndigestibleReply as problem:
            last = problem.trace.strip().splitlines()[-3:]
            said = f"{kind.__name__}: {' / '.join(last)}"
            flagged[said] = flagged.get(said, 0) + 1
        except (GraderFault, OSError) as problem:
            faults.append(f"claim {number}: {problem!r}")
        except SAID_ALREADY:
            pass
        took = time.process_time() - started
        slowest = max(slowest, (f"claim {number}, {kind.__name__}", took), key=lambda one: one[1])
    return {"count": count, "faults": faults, "flagged": flagged, "slowest": slowest}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
