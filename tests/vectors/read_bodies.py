#!/usr/bin/env python3
"""Reads bodies.json by the text of docs/FORMAT.md alone.

Shares no code with the engine. Needs what read_segments.py needs. Prints `N passed, 0 failed`, and exits with 1 if
anything differs from what the file says.
"""

import json

from read_segments import HERE, Bad, Tally, read_body, same, with_values


def main():
    vectors = json.loads((HERE / "bodies.json").read_text())
    tally = Tally()
    for body in vectors["bodies"]:
        try:
            found = read_body(bytes.fromhex(body["bytes"]), body["first"], body["latest"])
        except Bad as bad:
            tally.result(f"{body['name']} ({bad})", False)
            continue
        tally.result(body["name"], same(found, with_values(body["content"])))
    for body in vectors["must_fail"]:
        try:
            read_body(bytes.fromhex(body["bytes"]), body["first"], body["latest"])
            failed = False
        except Bad:
            failed = True
        tally.result(f"{body['name']} fails", failed)
    tally.end()


if __name__ == "__main__":
    main()
