"""`python -m opsctl`."""

from opsctl.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
