"""What a check raises, and how it runs another program."""

import subprocess


class Problem(Exception):
    """A file is not as it shall be; the text says what to mend."""


def run(*command: str, limit: float = 60) -> str:
    """Runs a program to its end; what it printed, or a Problem with that."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit)
    except FileNotFoundError as error:
        raise Problem(f"{command[0]} is not installed") from error
    if done.returncode:
        raise Problem(f"{' '.join(command[:3])} …:\n{done.stdout.strip()}")
    return done.stdout
