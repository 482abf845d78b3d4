"""The build backend: maturin, with declarations cut from the committed C header.

maturin's cffi mode would run cbindgen and hand its result to cffi. cffi reads declarations and integer constants, but
no other preprocessor lines, and the header has some (include guards, attribute and nullability macros, a macro with a
parameter). maturin prefers a file `header.h` in cargo's target folder over running cbindgen, so this module writes one
there from `ffi/include/subrosa.h`: what Python sees is what C sees, and no tool has to be installed for it.

pip finds this module through pyproject.toml. Before calling maturin by hand, run `python build_backend.py`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import maturin  # type: ignore[import-untyped]

FFI = Path(__file__).resolve().parent.parent.parent
HEADER = FFI / "include" / "subrosa.h"

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_DEFINE = re.compile(r"#\s*define\s+(\w+)(\()?\s*(.*)")
_LITERAL = re.compile(r"\(?(-?(?:0x[0-9a-fA-F]+|\d+))[uUlL]*\)?$")
_SHIFT = re.compile(r"\(?(\d+)[uUlL]*\s*<<\s*(\d+)[uUlL]*\)?$")


def declarations(header: str) -> str:
    """What cffi understands of a header: declarations, and constants that are whole numbers."""
    lines = _COMMENT.sub(" ", header).replace("\\\n", " ").split("\n")
    constants: list[str] = []
    macros: dict[str, bool] = {}  # whether it has parameters
    code: list[str] = []
    # Of each open #if whether it is skipped. What depends on a compiler or on C++ is no part of the declarations.
    skipped: list[bool] = []
    for line in (line.strip() for line in lines):
        if not line.startswith("#"):
            if not any(skipped):
                code.append(line)
            continue
        word = line[1:].split(None, 1)[0]
        if word in ("if", "ifdef", "ifndef"):
            skipped.append(word != "ifndef")
        elif word == "else":
            skipped[-1] = not skipped[-1]
        elif word == "endif":
            skipped.pop()
        elif word == "define" and not any(skipped) and (found := _DEFINE.match(line)):
            name, parameters, value = found.groups()
            number = _number(value.strip())
            if number is None:
                macros[name] = parameters is not None
            elif not parameters:
                constants.append(f"#define {name} {number}")
    return "\n".join(constants) + "\n" + _without("\n".join(line for line in code if line), macros)


def _number(text: str) -> int | None:
    if literal := _LITERAL.match(text):
        return int(literal.group(1), 0)
    if shift := _SHIFT.match(text):
        return int(shift.group(1)) << int(shift.group(2))
    return None


def _without(code: str, macros: dict[str, bool]) -> str:
    """Takes attribute and nullability macros out, which stand for nothing that cffi needs."""
    for name, has_parameters in macros.items():
        code = re.sub(rf"\b{name}\b" + (r"\s*\([^()]*\)" if has_parameters else ""), "", code)
    return code


def write_declarations() -> None:
    """Writes `header.h` where maturin looks for it."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--no-deps", "--manifest-path", str(FFI / "Cargo.toml")],
        check=True,
        stdout=subprocess.PIPE,
    )
    target = Path(json.loads(metadata.stdout)["target_directory"])
    target.mkdir(parents=True, exist_ok=True)
    temporary = target / f".header.{os.getpid()}.h"
    temporary.write_text(declarations(HEADER.read_text("utf-8")), "utf-8")
    temporary.replace(target / "header.h")


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    write_declarations()
    return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))


def build_editable(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    write_declarations()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))


def build_sdist(sdist_directory: str, config_settings: dict[str, Any] | None = None) -> str:
    return str(maturin.build_sdist(sdist_directory, config_settings))


get_requires_for_build_wheel = maturin.get_requires_for_build_wheel
get_requires_for_build_editable = maturin.get_requires_for_build_editable
get_requires_for_build_sdist = maturin.get_requires_for_build_sdist
prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = maturin.prepare_metadata_for_build_editable


if __name__ == "__main__":
    write_declarations()
