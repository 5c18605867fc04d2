"""Where a server spends its processor time, found by looking at it as often as the kernel's timer ticks.

Unlike a tracing profiler this costs next to nothing and does not make small functions look expensive. Time
in C counts for the Python function that called it; time of other threads counts for whatever the main thread
does meanwhile.
"""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from types import FrameType

_INTERVAL = 0.001


@contextlib.contextmanager
def sampled(path: Path) -> Generator[None]:
    """Sample the main thread inside the block, and write what was found."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()

    def look(_signal: int, frame: FrameType | None) -> None:
        seen: set[str] = set()
        while frame is not None:
            name = _name(frame)
            if not seen:
                own[name] += 1
            seen.add(name)
            frame = frame.f_back
        total.update(seen)

    previous = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, _INTERVAL, _INTERVAL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        path.write_text(_text(own, total))


def _name(frame: FrameType) -> str:
    code = frame.f_code
    return f"{'/'.join(Path(code.co_filename).parts[-2:])}:{code.co_qualname}"


def _text(own: Counter[str], total: Counter[str]) -> str:
    samples = max(1, own.total())
    sections = [f"{samples} samples"]
    for title, counts, length in (("own time", own, 40), ("with what it calls", total, 70)):
        sections.append(f"\n{title}")
        sections += [f"{count / samples:>6.1%}  {name}" for name, count in counts.most_common(length)]
    return "\n".join(sections) + "\n"
