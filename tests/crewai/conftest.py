from tests.tools.fixtures import buyer, counter, sandbox, settings

__all__ = ["buyer", "counter", "sandbox", "settings"]
