# Sourced by test and aar: fetches the compiler, compiles the library and the glue into target/kotlin.
# shellcheck shell=bash

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
out=$root/target/kotlin
jars=$out/jars
include=${SUBROSA_INCLUDE:-$root/ffi/include}

need() { # need COMMAND PACKAGE...
  command -v "$1" >/dev/null || { apt-get install -y -q "${@:2}" >"$out/apt.log" 2>&1 || { cat "$out/apt.log"; exit 1; }; }
}

# The compiler comes in one archive with much else: what an application would have is taken out of it, and only that is on
# the class path of what is compiled here.
kit() {
  mkdir -p "$out"
  need python3 python3 python3-pip
  need javac openjdk-17-jdk-headless
  need gcc gcc libc6-dev
  if ! cmp -s <(cat "$here/compiler.txt" "$here/kit.py") "$jars/made-by"; then
    rm -rf "$out/wheel" "$jars"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r "$here/compiler.txt" -d "$out/wheel"
    python3 "$here/kit.py" "$out/wheel" "$jars"
    cat "$here/compiler.txt" "$here/kit.py" >"$jars/made-by"
  fi
  jdk=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
  libraries=$jars/kotlin-stdlib.jar:$jars/kotlinx-coroutines-core.jar
}

# kotlin NAME CLASSPATH OPTION... -- SOURCE...: makes NAME.jar, unless the one that is there is of the same input.
kotlin() {
  local name=$1 path=$2 options=()
  shift 2
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  local stamp
  stamp=$( { printf '%s\n' "$path" "${options[@]}"; sha256sum "$here/compiler.txt" "$@" ${path:+$(tr : ' ' <<<"$path")}; } | sha256sum)
  [ -f "$out/$name.jar" ] && [ "$(cat "$out/$name.stamp" 2>/dev/null)" = "$stamp" ] && return
  rm -f "$out/$name.jar"
  java -Xshare:auto -cp "$jars/compiler/*" org.jetbrains.kotlin.cli.jvm.K2JVMCompiler -no-stdlib -no-reflect -Werror \
    -jvm-target 11 -module-name "$name" "${options[@]}" -cp "$libraries${path:+:$path}" -d "$out/$name.jar" "$@"
  echo "$stamp" >"$out/$name.stamp"
}

library() { kotlin subrosa "" -Xexplicit-api=strict -- "$here"/src/dev/subrosa/*.kt; }

# natives.h is made from the compiled library, committed, and compared: the C compiler checks the glue against it.
natives() {
  "$jdk/bin/javap" -s -p -cp "$out/subrosa.jar" dev.subrosa.Native | python3 "$here/jni/natives.py" >"$out/natives.h"
  if ! cmp -s "$out/natives.h" "$here/jni/natives.h"; then
    [ "${1:-}" = --write ] || { echo "jni/natives.h is not what the library declares: ffi/bindings/kotlin/test --write"; exit 1; }
    cp "$out/natives.h" "$here/jni/natives.h"
  fi
}

# Sets lib, the folder with libsubrosa.so.1: SUBROSA_LIB_DIR, by default the repository's debug build.
engine() {
  lib=$(cd "${SUBROSA_LIB_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}" && pwd)
  [ -e "$lib/libsubrosa.so.1" ] && return
  [ -e "$lib/libsubrosa_ffi.so" ] || { echo "no libsubrosa.so.1 in $lib: cargo build -p subrosa-ffi, or set SUBROSA_LIB_DIR"; exit 1; }
  mkdir -p "$out/lib"
  ln -sf "$lib/libsubrosa_ffi.so" "$out/lib/libsubrosa.so.1" # as cargo names it
  lib=$out/lib
}

glue() { # glue FOLDER-WITH-LIBSUBROSA
  gcc -std=c11 -Wall -Wextra -Werror -O2 -fPIC -fvisibility=hidden -pthread -shared -o "$out/libsubrosa_jni.so" \
    -I"$jdk/include" -I"$jdk/include/linux" -I"$include" -I"$here/jni" "$here"/jni/*.c \
    -Wl,-z,max-page-size=16384 -Wl,-z,defs -Wl,-rpath,'$ORIGIN' -L"$1" -l:libsubrosa.so.1
}
