"""torch.compile as an option that speeds a run up where it can and never stops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

Compiler = Callable[[fx.GraphModule, list[Any]], Callable[..., Any]]


def compile_in_place(model: nn.Module, say: Callable[[str], None], compiler: Compiler | None = None) -> None:
    """Have `model` compiled when it is first called. Its parameters, and their names, stay what they are.

    What cannot be compiled here (for want of a C compiler or of Triton, or on a GPU too old for it) runs as it would
    have without; `say` is told so, once. So do models with operators written by hand: their gradients are right under
    the compiler, but it stops at each of them, which took more time than it saved (`docs/performance.md`).

    Args:
        compiler: turns a graph and example inputs into a function; torch's own by default.
    """
    if is_written_by_hand(model):
        say("--compile: this model's operators are written by hand and leave torch.compile nothing to gain; going on "
            "without.")
        return
    chosen = compiler or _inductor()
    failures: list[BaseException] = []

    def give_up(error: BaseException) -> None:
        failures.append(error)
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        say(f"--compile: torch.compile cannot compile this model here ({reason}); going on without.")

    def compile_or_leave(graph: fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        if not failures:
            try:
                return chosen(graph, inputs)
            except Exception as error:
                give_up(error)
        return graph.forward

    def forward(*args: Any, **options: Any) -> Any:
        if not failures:
            try:
                return compiled(*args, **options)
            except torch._dynamo.exc.TorchDynamoException as error:  # it could not even follow the model
                give_up(error)
        return plain(*args, **options)

    plain = model.forward
    compiled = torch.compile(plain, backend=compile_or_leave)
    model.forward = forward


def is_written_by_hand(model: nn.Module) -> bool:
    """Whether a part of `model` says, by an attribute `written_by_hand`, that it has passes of its own."""
    return any(getattr(part, "written_by_hand", False) for part in model.modules())


def _inductor() -> Compiler:
    """Return torch's own compiler; its import takes seconds, so only who asks for it waits."""
    from torch._inductor import compile as inductor

    return inductor
