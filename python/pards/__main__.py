"""python -m pards: the command `pards`."""

from ._cli import main

if __name__ == "__main__":
    main()
