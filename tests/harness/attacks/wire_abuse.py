"""Abuse the wire."""

from .attack import ALL_HEAD, Attack, in_forward, on_import, wrong_head

LOST = frozenset({"3a.4"})


def sends(data: str) -> Attack:
    """Write bytes to every descriptor that may be the wire, on import."""
    return Attack(
        {
            "attention.py": on_import(f"""
            import os
            data = {data}
            for descriptor in range(3, 20):
                try: os.write(descriptor, data)
                except OSError: pass
        """)
        },
        lost=LOST,
        may=ALL_HEAD,
    )


def returns(result: str) -> Attack:
    """Return something odd from forward."""
    return Attack({"attention.py": wrong_head("", result)}, lost=LOST, may=ALL_HEAD)


ATTACKS = {
    "a length of terabytes": sends(r"b'\xff' * 12"),
    "noise": sends("os.urandom(5000)"),
    "NaN in the JSON": sends("""(12).to_bytes(4, 'big') + bytes(8) + b'{"a":   NaN}'"""),
    "deep JSON": sends("(100_000).to_bytes(4, 'big') + bytes(8) + b'[' * 100_000"),
    "a repeated key": sends("""(13).to_bytes(4, 'big') + bytes(8) + b'{"a":1,"a":2}'"""),
    "half a message": sends("(50).to_bytes(4, 'big') + bytes(8) + b'{'"),
    "endless progress": Attack(
        {
            "attention.py": on_import("""
            import os
            frame = (18).to_bytes(4, 'big') + bytes(8) + b'{"progress": {}}  '
            written = 0
            while written < 100_000:
                for descriptor in range(3, 20):
                    try: written += bool(os.write(descriptor, frame))
                    except OSError: pass
        """)
        },
        lost=LOST,
        may=ALL_HEAD,
    ),
    "all descriptors closed": Attack(
        {"attention.py": on_import("import os; os.closerange(0, 64)")}, lost=ALL_HEAD
    ),
    "a complex tensor": returns("torch.zeros(*x.shape[:2], 5, dtype=torch.complex64)"),
    "a sparse tensor": returns("torch.zeros(3, 7).to_sparse()"),
    "a tensor on the meta device": returns("torch.zeros(*x.shape[:2], 5, device='meta')"),
    "a tensor of 400 MB": returns("torch.zeros(100_000_000)"),
    "five thousand tensors": returns("tuple(torch.zeros(1) for _ in range(5000))"),
    "integers": returns("torch.ones(*x.shape[:2], 5, dtype=torch.int64)"),
    "infinities": returns("torch.full((*x.shape[:2], 5), float('inf'), dtype=x.dtype)"),
    "a shape that broadcasts": returns("torch.zeros(1, 1, 1, dtype=x.dtype)"),
    "another answer each time": Attack(
        {"attention.py": in_forward("import random; x = x * random.random()")},
        lost=LOST,
        may=ALL_HEAD,
    ),
}
