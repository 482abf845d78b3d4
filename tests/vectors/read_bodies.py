#!/usr/bin/env python3
"""Reads bodies.json by the text of docs/FORMAT.md alone.

Shares no code with the engine. Needs what read_segments.py needs. Prints `N passed, 0 failed`, and exits with 1 if
anything differs from what the file says.
"""

import json
import sys

from read_segments import HERE, Bad, read_body, same, with_values


def main():
    vectors = json.loads((HERE / "bodies.json").read_text())
    results = []

    def result(name, holds):
        results.append(holds)
        if not holds:
            print("FAILED:", name, file=sys.stderr)

    for body in vectors["bodies"]:
        try:
            found = read_body(bytes.fromhex(body["bytes"]), body["first"], body["latest"])
        except Bad as bad:
            result(f"{body['name']} ({bad})", False)
            continue
        result(body["name"], same(found, with_values(body["content"])))
    for body in vectors["must_fail"]:
        try:
            read_body(bytes.fromhex(body["bytes"]), body["first"], body["latest"])
            failed = False
        except Bad:
            failed = True
        result(f"{body['name']} fails", failed)
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
