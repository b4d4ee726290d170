"""SIGINT, SIGTERM and SIGUSR1 during training: noted at once, obeyed when the step is done.

Saving inside a handler could fall into the middle of a backward pass, and one rank saving alone would wait for the
others for ever. The handler only notes the signal; after every step the ranks add up what they have noted and stop
together. A second SIGINT, at least a second after the first (a launcher may pass one Ctrl-C on twice), stops at once.
"""

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
_SAME = 1.0  # seconds within which two SIGINTs are one


class Signals:
    """Notes signals inside a ``with`` block.

    Attributes:
        interrupted: SIGINT came to this process.
        terminated: SIGTERM or SIGUSR1 came to this process.
        obeyed: The ranks have agreed to stop because one of them was told to; set by who makes them agree.
    """

    def __init__(self) -> None:
        self.interrupted = self.terminated = self.obeyed = False
        self._first = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Signals":
        self._before = {number: signal.getsignal(number) for number in HEARD}
        self.listen()
        return self

    def listen(self) -> None:
        """Takes the signals over; again, if somebody else has taken them since."""
        for number in HEARD:
            signal.signal(number, self._note)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.obeyed:  # a launcher tells everybody to leave as soon as the first one has
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGINT:
            self.terminated = True
        elif not self.interrupted:
            self.interrupted, self._first = True, time.monotonic()
            print("dna-diff: saving after this step; Ctrl-C again stops at once", file=sys.stderr)
        elif time.monotonic() - self._first > _SAME:
            raise KeyboardInterrupt


def unheard() -> None:
    """Leaves the signals of a group of processes to the one that trains: what a data worker does first."""
    for number in HEARD:
        signal.signal(number, signal.SIG_IGN)
