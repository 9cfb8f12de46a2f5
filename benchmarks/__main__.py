"""All benchmarks, one after another: `make bench`."""

from benchmarks import cli, deploy, events, load, memory, routing, sandbox, startup, turns
from benchmarks.report import print_figures, print_machine

SUITES = {
    "command line": cli.figures,
    "start of the server": startup.figures,
    "routing decision": routing.figures,
    "sandbox": sandbox.figures,
    "deployment": deploy.figures,
    "turns of scripted agents": turns.figures,
    "one-shot requests, open loop": load.figures,
    "event log": events.figures,
    "memory": memory.figures,
}

if __name__ == "__main__":
    print_machine()
    missed = 0
    for title, figures in SUITES.items():
        found = figures()
        print_figures(title, found)
        missed += sum(figure.met is False for figure in found)
    print(f"\n{missed} targets missed" if missed else "\nall targets met")
