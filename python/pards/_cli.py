"""The command `pards`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; what it needs beyond NumPy is an extra."""
    try:
        from . import _commands
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"pards: the command line needs {error.name}, which is not installed: pip install 'pards[demo]'")
    _commands.app()
