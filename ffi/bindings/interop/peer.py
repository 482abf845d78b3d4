"""A device that is told what to do, line by line: the Python side of `run`, which describes the protocol."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable

import subrosa

WAIT_SECONDS = 60.0


def say(line: str) -> None:
    print(line, flush=True)


class Peer:
    def __init__(self) -> None:
        self.device: subrosa.Device | None = None

    def opened(self) -> subrosa.Device:
        assert self.device is not None, "create or join first"
        return self.device

    def notes(self) -> subrosa.Collection:
        return self.opened().vault("personal").collection("notes")

    def create(self, rest: str) -> None:
        folder, name, relay = rest.split(" ")
        self.device = subrosa.Device.create(folder, subrosa.Key.generate(), name)
        self.device.relay = relay
        self.device.create_vault("personal")
        self.sync = self.device.sync()
        say("OK")

    def offer(self, _: str) -> None:
        with self.opened().pair_offer() as offer:
            say(f"LINK {offer.link}")
            offer.wait_blocking(WAIT_SECONDS)
            say("CODE?")
            offer.confirm_blocking(sys.stdin.readline().strip())
        say("OK")

    def join(self, rest: str) -> None:
        folder, name, link = rest.split(" ")
        with subrosa.Device.pair_join(folder, subrosa.Key.generate(), link, name) as join:
            say(f"CODE {join.code_blocking(WAIT_SECONDS)}")
            self.device = join.device_blocking(WAIT_SECONDS)
        self.sync = self.device.sync(self.device.relay or os.environ["SUBROSA_TEST_RELAY"])
        say("JOINED")

    def insert(self, rest: str) -> None:
        say(f"ID {self.notes().insert(subrosa.Json(rest))}")

    def put(self, rest: str) -> None:
        id, json = rest.split(" ", 1)
        self.notes().put(uuid.UUID(id), subrosa.Json(json))
        say("OK")

    def await_(self, rest: str) -> None:
        id, json = rest.split(" ", 1)
        record, notes = uuid.UUID(id), self.notes()
        with notes.watch() as changes:
            while notes.get_json(record) != json:
                if changes.next(WAIT_SECONDS) is None:
                    raise TimeoutError(f"the record is {notes.get_json(record)}")
        say("OK")

    def export(self, _: str) -> None:
        for line in sorted(f"{id} {json}" for id, json in self.notes().scan_json()):
            say(line)
        say("END")


def main() -> None:
    sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")  # type: ignore[union-attr]
    peer = Peer()
    commands: dict[str, Callable[[str], None]] = {
        "create": peer.create, "offer": peer.offer, "join": peer.join, "insert": peer.insert, "put": peer.put,
        "await": peer.await_, "export": peer.export,
    }  # fmt: skip
    while line := sys.stdin.readline():
        command, _, rest = line.rstrip("\n").partition(" ")
        if command == "quit":
            break
        commands[command](rest)
    if peer.device is not None:
        peer.device.close()


if __name__ == "__main__":
    main()
