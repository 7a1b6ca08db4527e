"""``python -m masumi_tools``: the command line, where its script is not on the path."""

from masumi_tools.cli import main

if __name__ == "__main__":
    main()
