#!/usr/bin/env bash
# run.sh BUILD_DIR: is what is installed usable? Builds and runs main.cpp as other projects would: by find_package and
# pkg-config from an installed prefix that was moved, and by add_subdirectory; with a static and a shared library.
# Compilers and flags are those of BUILD_DIR, so that ccache knows the library's files.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
options=(-G "$(cached CMAKE_GENERATOR)")
for name in CMAKE_BUILD_TYPE CMAKE_CXX_COMPILER CMAKE_CXX_COMPILER_LAUNCHER CMAKE_CXX_FLAGS VKVAE_WERROR \
  VKVAE_VULKAN_INCLUDE; do
  options+=("-D$name=$(cached "$name")")
done

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; echo "failed: $*" >&2; exit 1; }; }
build_with_cmake() { # build_with_cmake SOURCE OPTION...: in $work/SOURCE, anew
  local name=$1
  shift
  rm -rf "${work:?}/$name"
  quietly cmake -S "$here/$name" -B "$work/$name" "${options[@]}" "$@"
  quietly cmake --build "$work/$name"
}
run() { # run WHAT PROGRAM...
  quietly "${@:2}"
  echo "ok: $1"
}

for kind in static shared; do
  shared=OFF
  [[ $kind == static ]] || shared=ON
  build_with_cmake add_subdirectory -DBUILD_SHARED_LIBS=$shared -DVKVAE_INSTALL=ON
  run "add_subdirectory, $kind" "$work/add_subdirectory/consumer"

  # The prefix is moved after installing: no path in it may be absolute. BUILD_DIR's has the tool too.
  from=$work/add_subdirectory
  [[ $kind == shared || $(cached BUILD_SHARED_LIBS) == ON ]] || from=$build
  quietly cmake --install "$from" --prefix "$work/before"
  rm -rf "$work/prefix"
  mv "$work/before" "$work/prefix"
  for text in "$work/" "$build" "$(cd "$here/../.." && pwd)"; do
    ! grep -rlIF -e "$text" "$work/prefix" || { echo "failed: '$text' is in the files above" >&2; exit 1; }
  done

  build_with_cmake find_package -DCMAKE_PREFIX_PATH="$work/prefix"
  run "find_package, $kind" "$work/find_package/consumer"

  if command -v pkg-config >/dev/null; then
    pc=$(dirname "$(find "$work/prefix" -name vkvae.pc)")
    compile=("$here/pkg_config/build.sh" "$work/consumer")
    [[ $kind == shared ]] || compile+=(--static)
    # shellcheck disable=SC2046 # flags are words
    quietly env PKG_CONFIG_PATH="$pc" CXX="$(cached CMAKE_CXX_COMPILER)" "${compile[@]}" $(cached CMAKE_CXX_FLAGS) \
      -isystem "$(cached VKVAE_VULKAN_INCLUDE)"
    run "pkg-config, $kind" env LD_LIBRARY_PATH="$(dirname "$pc")" "$work/consumer"
  fi
done
