"""What a rule of the engine runs: a page of the stage at work, by its name."""

import sys

from lowbit.batch import engine


def main(name: str) -> int:
    """0 when the page is in its place."""
    error = engine.work(name)
    print(error or "done", file=sys.stderr)
    return 1 if error else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
