#!/usr/bin/env python3
"""Makes natives.h, the prototypes and the table of the glue, from `javap -s -p dev.subrosa.Native` on standard input.

The C compiler then checks every function of the glue against what the Kotlin side declares: JNI itself does not."""

import re
import sys

TYPES = {"V": "void", "Z": "jboolean", "I": "jint", "J": "jlong", "D": "jdouble", "[B": "jbyteArray", "[J": "jlongArray",
         "[Z": "jbooleanArray", "Ljava/lang/String;": "jstring"}
TYPE = re.compile(r"\[*(?:[VZIJD]|B|L[^;]+;)")


def c_types(signature: str) -> list[str]:
    return [TYPES.get(one, "jobject") for one in TYPE.findall(signature)]


def main() -> None:
    lines = iter(sys.stdin.read().splitlines())
    found: list[tuple[str, str]] = []
    for line in lines:
        native = re.search(r"\bnative\b.* (\w+)\(", line)
        if native:
            found.append((native.group(1), next(lines).split("descriptor: ")[1].strip()))
    if not found:
        sys.exit("no native method in the input")
    print("/* Made by natives.py from dev.subrosa.Native: do not edit. */")
    for name, descriptor in found:
        parameters, result = descriptor[1:].split(")")
        print(f"{c_types(result)[0]} jni_{name}(" + ", ".join(["JNIEnv *", "jclass", *c_types(parameters)]) + ");")
    print("\n#define SUBROSA_NATIVES \\")
    rows = [f'  {{(char *)"{name}", (char *)"{descriptor}", (void *)jni_{name}}}' for name, descriptor in found]
    print(", \\\n".join(rows))


main()
