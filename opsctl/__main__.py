"""The entry point: `opsctl`, and `python -m opsctl`."""

import signal


def main() -> int:
    """Import the command line and run it; Ctrl-C while that loads ends the process without a trace."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from opsctl.cli.main import main as run

    signal.signal(signal.SIGINT, handler)
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
