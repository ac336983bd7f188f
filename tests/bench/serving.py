"""Compare this project's model server with others, all serving the same model on this machine.

python -m tests.bench.serving [--runs N] [--seconds S] [--servers NAME,NAME] [--picture [PATH]]

Each run starts the servers one after the other, and then measures one kind of load after the other, each on
all servers in turn. So whatever slows the machine for a while slows all of them, and a ratio says more than a
time.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from stack.config import CHECKOUT
from stack.errors import StackError
from stack.modes.engine_error import why_no_engine
from tests.bench import prepare
from tests.bench.picture import draw
from tests.bench.program import named, status_of, turned
from tests.bench.report import machine, report
from tests.bench.results import CELLS, Footprint, Run
from tests.bench.running import Cases, Server
from tests.bench.servers import ALL, IMAGE, IMAGES, Peer, Place
from tests.conftest import two_free_ports

ENVIRONMENTS = CHECKOUT / ".bench"
PICTURE = CHECKOUT / "docs" / "serving.png"


def one_run(servers: list[Server], number: int, seconds: float) -> Run:
    """Start all servers, measure all loads, stop the servers."""
    run = Run()
    started: dict[str, tuple[float, float]] = {}
    with ExitStack() as stops:
        for server in turned(servers, number):
            stops.callback(server.stop)
            started[server.peer.name] = (server.start(), server.idle_memory())
        for place, cell in enumerate(CELLS):
            prepare.say(f"{cell}")
            for server in turned(servers, number + place):
                run.loads[server.peer.name, cell] = server.load(cell, seconds)
        for server in servers:
            start, idle = started[server.peer.name]
            run.footprints[server.peer.name] = Footprint(start, idle, server.memory())
    return run


def chosen(names: str) -> list[Peer]:
    """Return the servers of these names, which have commas between them; as argparse's types are written."""
    return named(names, ALL)


def placed(peer: Peer, home: Path, made: ExitStack) -> Server:
    """Make what the server needs; ``made`` removes an image when it is closed.

    Raises:
        StackError: if that can't be made here.

    """
    image = ""
    if peer in IMAGES:
        if why_no_engine() or os.geteuid() != 0:
            raise StackError("that takes a Docker engine, and root, to read the memory of a container")
        make = prepare.stock_image if peer == IMAGE else prepare.baked_image
        image = made.enter_context(make(home / "model"))
    scratch = home / peer.name
    scratch.mkdir()
    port, other_port = two_free_ports()
    programs = prepare.programs(peer.environment, ENVIRONMENTS)
    place = Place(home / "model", programs, port, other_port, scratch, image)
    return Server(peer, place, Cases(**json.loads((home / "cases.json").read_text())))


def compare(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    load = os.getloadavg()[0]
    servers, missing, runs = [], [], []
    with ExitStack() as made:
        home = Path(made.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        prepare.make_model(home)
        for peer in arguments.servers:
            try:
                servers.append(placed(peer, home, made))
            except StackError as error:
                missing.append(f"- {peer.title} is not measured: {error}")
        for number in range(arguments.runs):
            prepare.say(f"run {number + 1} of {arguments.runs}")
            runs.append(one_run(servers, number, arguments.seconds))
    peers = [server.peer for server in servers]
    print("\n".join([*machine(peers, load), *missing]))
    print(f"\nMedians (min to max); {arguments.runs} runs, {arguments.seconds:g} s for each load.\n")
    print("\n".join(report(runs, peers)))
    if arguments.picture:
        draw(runs, peers, arguments.picture)


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench serving", description="Compare model servers.")
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--seconds", type=float, default=2, help="how long each load lasts (default 2)")
    every = ",".join(peer.name for peer in ALL)
    parser.add_argument("--servers", type=chosen, default=every, help=f"which to measure (default {every})")
    parser.add_argument(
        "--picture", type=Path, nargs="?", const=PICTURE, help="draw it, into docs/serving.png"
    )
    arguments = parser.parse_args()
    if arguments.runs < 1 or arguments.seconds <= 0:
        parser.error("expected at least one run, and some seconds")
    return status_of(lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())
