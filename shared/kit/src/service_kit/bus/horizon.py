"""How far a group knows a topic, end to end: from the sender's database to the reader's.

That a reader has read the log to its end says nothing about what the sender has not yet put there. The sender's relay
therefore leaves marks ("all that I wrote before T is in the log, before these ends"); once the group's position has
passed the ends of a mark, it knows all that happened before T.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from service_kit.bus.port import Bus, Mark

MOST_AHEAD = 100


class Horizon:
    """The instant up to which `group` has taken all that was written to `topic`."""

    def __init__(self, bus: Bus, group: str, topic: str) -> None:
        self.bus, self.group, self.topic = bus, group, topic
        # Marks not passed yet, oldest first: a reader that is always a little behind passes none of the newest.
        self._ahead: deque[Mark] = deque(maxlen=MOST_AHEAD)
        self._newest: Mark | None = None

    async def look(self) -> datetime | None:
        """The newest instant that was reached since the last look, by the clock of the sender. Raises `BusAway`."""
        mark = await self.bus.vouched(self.topic)
        if mark is not None and mark != self._newest:
            self._newest = mark
            self._ahead.append(mark)
        positions = await self.bus.positions(self.group, self.topic)
        reached = None
        while self._ahead and _passed(self._ahead[0], positions):
            reached = self._ahead.popleft().until
        return reached


def _passed(mark: Mark, positions: dict[int, int]) -> bool:
    return all(positions.get(partition, 0) >= end for partition, end in mark.ends.items())
