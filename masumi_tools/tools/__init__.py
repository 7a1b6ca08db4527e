"""The tools in themselves, without any framework: actions, arguments and words."""
