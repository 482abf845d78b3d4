# Shared by android-gate and ios-gate: builds the static library of one target in a Debian trixie folder.
# shellcheck shell=bash
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)
root=${SUBROSA_MOBILE_ROOT:-$repo/target/trixie-mobile}
# Another package's library, to try the toolchain.
package=${SUBROSA_GATE_PACKAGE:-subrosa-ffi}
profile=${SUBROSA_GATE_PROFILE:-release}

# No package of Debian has the system headers of Android or iOS. C code is compiled against glibc's for the same processor,
# which is enough to compile ring and zstd and not what would be shipped.
prepare() {
    "$here/trixie" make "$root" rustc-web cargo-web rust-web-src clang-22 lld-22 llvm-22 libc6-dev-arm64-cross
}

# build TARGET CFLAGS: prints what cargo says only when it fails.
build() {
    local target=$1 flags=$2 name=${1//-/_} log=$root/build/$1.log
    mkdir -p "$root/build"
    # clang-22 gives an object of either system; SDKROOT keeps the cc crate from asking for Xcode.
    "$here/trixie" run "$root" env -C /subrosa \
        RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=/build SDKROOT=/usr/aarch64-linux-gnu \
        "CC_$name=clang-22" "AR_$name=llvm-ar-22" \
        "CFLAGS_$name=$flags -isystem /subrosa/ffi/mobile/include -isystem /usr/aarch64-linux-gnu/include" \
        cargo rustc --locked --profile "$profile" -p "$package" --lib --target "$target" -Zbuild-std=std,panic_unwind \
        --crate-type staticlib >"$log" 2>&1 || { grep -E '^(error|warning: unused)' -A6 "$log" | head -40 >&2; return 1; }
}

# The archive that build made, as a path inside the folder.
archive() {
    local folder=$profile
    if [ "$profile" = dev ]; then folder=debug; fi
    echo "/build/$1/$folder/lib${package//-/_}.a"
}

in_root() { "$here/trixie" run "$root" "$@"; }

# Every function of the header is in the archive.
check_exports() {
    local archive=$1 prefix=$2 missing
    if [ "$package" != subrosa-ffi ]; then return; fi
    missing=$(comm -23 \
        <(grep -oE '\bsubrosa_[a-z0-9_]+ ?\(' "$repo/ffi/include/subrosa.h" | tr -d ' (' | sort -u) \
        <(in_root llvm-nm-22 --defined-only --extern-only --format=just-symbols --quiet "$archive" 2>/dev/null |
            sed -n "s/^$prefix\(subrosa_[a-z0-9_]*\)$/\1/p" | sort -u))
    [ -z "$missing" ] || { echo "not in $archive: $missing" >&2; return 1; }
}
