"""Commands for operators: `python -m taskapi COMMAND`."""

from argparse import ArgumentParser

from taskapi.commands import accounts, backup, copy_to_postgresql

COMMANDS = (accounts, backup, copy_to_postgresql)


def main() -> None:
    parser = ArgumentParser(prog="python -m taskapi", description="Commands for operators.")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(subparsers.add_parser)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
