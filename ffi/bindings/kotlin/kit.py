#!/usr/bin/env python3
"""kit.py WHEEL-FOLDER JAR-FOLDER: takes the compiler, the standard library and kotlinx.coroutines out of the wheel."""

import pathlib
import sys
import zipfile

COROUTINES = ("kotlinx/coroutines/", "_COROUTINE/", "META-INF/kotlinx-coroutines-core.kotlin_module",
              "META-INF/kotlinx_coroutines_core.version", "META-INF/services/kotlinx.coroutines")


def main(wheels: pathlib.Path, jars: pathlib.Path) -> None:
    compiler = jars / "compiler"
    compiler.mkdir(parents=True)
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.startswith("run_kotlin_kernel/jars/") and name.endswith(".jar"):
                (compiler / name.rsplit("/", 1)[1]).write_bytes(wheel.read(name))
    next(compiler.glob("kotlin-stdlib-*.jar")).rename(jars / "kotlin-stdlib.jar")
    (compiler / "kotlin-stdlib.jar").symlink_to("../kotlin-stdlib.jar")
    with zipfile.ZipFile(next(compiler.glob("*-all.jar"))) as everything, \
            zipfile.ZipFile(jars / "kotlinx-coroutines-core.jar", "w") as coroutines:
        for name in everything.namelist():
            if name.startswith(COROUTINES):
                coroutines.writestr(name, everything.read(name))


main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
