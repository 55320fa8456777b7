#!/bin/sh
# build.sh OUTPUT [OPTION...]: compiles ../main.cpp with what pkg-config says. CXX and PKG_CONFIG_PATH come from outside;
# an option is --static, or one for the compiler.
set -eu
output=$1
shift
static=
[ "${1:-}" != --static ] || { static=$1; shift; }
# shellcheck disable=SC2046,SC2086 # flags are words
"${CXX:-c++}" -std=c++20 "$(dirname "$0")/../main.cpp" -o "$output" "$@" $(pkg-config --cflags --libs $static vkvae)
