"""Attacks on the whole package, each seeded, counted and bounded: `python -m attack`, or `make attack`.

outcome             what an attack counts, and its file in `results/`
processes           a function in a forked child, with a limit on its time and memory
stages              the commands that write, at sizes that take a second
artifacts           one small instance of every kind of directory the package writes
readings            what a user reads of each kind, as a digest
damage              ways to damage a directory
corruptions         damaged directories are refused: no traceback, no silent difference, no hang
kills               a command that was killed and is run again ends in the same bits
disks               a full disk or a read-only place is refused by name, and nothing is lost
pairs               two processes with one place end with one result and one refusal
fuzz                verifiers on random and hostile completions
working_directory   code in the working directory is not run
report              docs/attack.md, from the files in `results/`
run                 the command line
"""
