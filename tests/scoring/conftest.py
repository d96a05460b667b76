"""Every message that these tests meet is looked up in the catalogue."""

from tests.whole_messages import _whole_messages

__all__ = ["_whole_messages"]
