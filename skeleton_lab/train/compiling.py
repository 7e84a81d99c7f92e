"""torch.compile as an option that speeds a run up where it can and never stops it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import fx, nn

Compiler = Callable[[fx.GraphModule, list[Any]], Callable[..., Any]]


def compile_in_place(model: nn.Module, say: Callable[[str], None],
                     compiler: Compiler | None = None) -> None:
    """Have `model` compiled when it is first called. Its parameters, and their names, stay what they are.

    What cannot be compiled here (for want of a C compiler or of Triton, or on a GPU too old for it) runs as it would
    have without; `say` is told so, once.

    Args:
        compiler: turns a graph and example inputs into a function; torch's own by default.
    """
    chosen = compiler or _inductor()
    failures: list[BaseException] = []

    def compile_or_leave(graph: fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        if not failures:
            try:
                return chosen(graph, inputs)
            except Exception as error:
                failures.append(error)
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                say(f"--compile: torch.compile cannot compile this model here ({reason}); going on without.")
        return graph.forward

    model.compile(backend=compile_or_leave)


def _inductor() -> Compiler:
    """Return torch's own compiler; its import takes seconds, so only who asks for it waits."""
    from torch._inductor import compile as inductor

    return inductor
