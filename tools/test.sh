#!/usr/bin/env bash
# Sets this machine up, builds, and runs all tests, on the drivers that need no GPU:
#
#   tools/test.sh            everything
#   tools/test.sh --quick    one build, and the tests that take less than a minute together
#   tools/test.sh --jobs N   that many jobs at once; the number of cores unless given
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() { sed -n '2,6s/^# \{0,1\}//p' tools/test.sh; exit "$1"; }
quick=
jobs=$(getconf _NPROCESSORS_ONLN)
while (($#)); do
  case $1 in
    --quick) quick=1 ;;
    --jobs) jobs=${2:-}; [[ $jobs =~ ^[1-9][0-9]*$ ]] || usage 2 >&2; shift ;;
    -h | --help) usage 0 ;;
    *) usage 2 >&2 ;;
  esac
  shift
done

# --- phases: the first that fails ends the script, see finish

work=$(mktemp -d)
current='' table='' skipped='' started=0
phase() { # phase NAME COMMAND...
  current=$1 started=$SECONDS
  printf '\n== %s\n' "$current"
  "${@:2}"
  table+=$(printf '%-32s %4d s' "$current" $((SECONDS - started)))$'\n'
  printf '== %s: %d s\n' "$current" $((SECONDS - started))
  current=''
}
finish() {
  local status=$?
  [[ ! $current ]] || table+=$(printf '%-32s %4d s  FAILED' "$current" $((SECONDS - started)))$'\n'
  printf '\n%s%-32s %4d s\n' "$table" total "$SECONDS"
  [[ ! $skipped ]] || echo "drivers that are not here, skipped:$skipped"
  # The sum of doctest's summaries, from ctest's log and what else ran.
  sed -n 's/^\[doctest\] test cases: *[0-9]* *| *\([0-9]*\) passed *| *\([0-9]*\) failed.*/\1 \2/p' "$work"/*.log |
    awk '{ p += $1; f += $2 } END { printf "test cases, all phases together: %d passed, %d failed\n", p, f }'
  rm -rf "$work"
  if [[ $current ]]; then
    printf 'tools/test.sh: FAILED in phase "%s"\n' "$current" >&2
    ((status)) || status=1
  elif [[ $skipped ]] && grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
    echo "tools/test.sh: FAILED: drivers are missing that tools/setup.sh --test gets on Debian" >&2
    status=1
  elif ((status == 0)); then
    echo "tools/test.sh: all phases passed"
  fi
  exit "$status"
}
trap finish EXIT
: >"$work/none.log"

# Tests leave the user's caches alone. (Not XDG_CACHE_HOME, where ccache lives.)
mkdir "$work"/{runtime,cache,mesa}
chmod 700 "$work/runtime"
export XDG_RUNTIME_DIR=$work/runtime VKVAE_CACHE=$work/cache MESA_SHADER_CACHE_DIR=$work/mesa
export CMAKE_BUILD_PARALLEL_LEVEL=$jobs

build() { # build PRESET [TARGET...]
  local options=(--preset "$1") targets=()
  ! command -v ccache >/dev/null || options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  (($# == 1)) || targets=(--target "${@:2}")
  cmake "${options[@]}" >"$work/configure" 2>&1 || { cat "$work/configure" >&2; return 1; }
  cmake --build --preset "$1" ${targets[@]+"${targets[@]}"}
}
on() { # on DRIVER COMMAND...
  local status=0
  tools/with_driver.sh "$1" true || status=$?
  if ((status == 3)); then
    skipped+=" $1"
  elif ((status == 0)); then
    tools/with_driver.sh "$@" | tee -a "$work/driver.log"
  else
    return 1
  fi
}
ctests() { # ctests DRIVER PRESET OPTION...
  local log=build/$2/Testing/Temporary/LastTest.log status=0
  rm -f "$log"
  on "$1" ctest --test-dir "build/$2" --output-on-failure "${@:3}" || status=$?
  [[ ! -e $log ]] || cp "$log" "$work/ctest-$2-$SECONDS.log"
  return "$status"
}

cross_vendor() { # targets whose driver is not here are named and left out
  local status=0
  tools/cross_vendor/run.sh build/ci/tools/vkvae_pipelines || status=$?
  ((status != 3)) || { skipped+=" cross_vendor"; status=0; }
  return "$status"
}

phase "setup" tools/setup.sh --test
phase "build: gcc" build ci
if [[ $quick ]]; then
  phase "quick tests" ctests lavapipe8 ci -L quick
  exit
fi
tests=build/ci/tests/vkvae_tests
phase "all tests on lavapipe8" ctests lavapipe8 ci -E '^consumers$'
phase "installed, in other builds" ctests lavapipe ci -R '^consumers$'
# Each of the GPUs' tiles compiles for seconds on a CPU; what happens when a call fails, and what training makes of results
# that are right, depends on no driver: once is enough.
others=("$tests" '--test-case-exclude=*every tile*' --test-suite-exclude=once)
phase "on lavapipe4" on lavapipe4 "${others[@]}"
phase "on lavapipe16" on lavapipe16 "${others[@]}"
phase "on cooperative matrices" on lavapipe-coopmat "$tests" '--test-case=matrix units*'
phase "on swiftshader" on swiftshader "${others[@]}"
phase "compilers of other vendors" cross_vendor
# Synchronisation validation does not know that reused memory holds another tensor.
phase "missing barriers" on lavapipe+sync env VKVAE_NO_ALIAS=1 "${others[@]}"
phase "checks inside shaders" on lavapipe+gpuav "${others[@]}"
phase "core validation" on lavapipe+core "$tests" '--test-case-exclude=*every tile*'
phase "build: clang" build clang
phase "quick tests of that" ctests lavapipe clang -L quick
phase "build: ASan and UBSan" build asan vkvae_parser_tests
phase "parsers with ASan and UBSan" on lavapipe build/asan/tests/vkvae_parser_tests
