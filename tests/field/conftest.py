from tests.tools.fixtures import buyer, counter, settings

__all__ = ["buyer", "counter", "settings"]
