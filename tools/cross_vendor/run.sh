#!/usr/bin/env bash
# Compiles every kernel with the compilers of vendors that are not here, and compares what they say with table.tsv:
#
#   tools/cross_vendor/run.sh [PROGRAM]             exit status 1 if something spills or grew (table.py has the margins)
#   tools/cross_vendor/run.sh --update [PROGRAM]    writes the table anew; targets that are not here keep their rows
#
# PROGRAM is vkvae_pipelines, otherwise looked for under build/. What targets need: README.md here. Targets whose driver
# is not here are skipped with a line that says so; with none at all the exit status is 3.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
shims=${VKVAE_SHIMS:-$root/.deps/shims} # tools/setup.sh --test puts them there

die() { printf 'cross_vendor: %s\n' "$*" >&2; exit "${status:-1}"; }
update=()
if [[ ${1:-} == --update ]]; then update=(--update); shift; fi
[[ ${1:-} != -* ]] || { sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
program=${1:-}
if [[ ! $program ]]; then
  program=$(ls -t "$root"/build/*/tools/vkvae_pipelines 2>/dev/null | head -n 1) || true
  [[ $program ]] || die "no vkvae_pipelines under build/: build it, or name it"
fi
program=$(realpath "$program")
glslang=$root/.deps/bin/glslangValidator
[[ -x $glslang ]] || glslang=$(command -v glslangValidator) || die "no glslangValidator: run tools/setup.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$glslang" --quiet -V --target-env vulkan1.1 "$here/control.comp" -o "$work/control.spv"
# The control in two sizes: 320 live values in a lane are more than any of the compilers has registers for, 16 are not.
kernels=("$work/control.spv,64,16" "$work/control.spv,64,320")
export MESA_SHADER_CACHE_DISABLE=true

# The exit status of each is that of the program, or 3 where a driver is not here.
amd() { "$root/tools/with_driver.sh" "radv:$1" "$program" "${kernels[@]}"; }
intel() { # the stub is a kernel driver that does nothing
  local stub=$shims/intel/libintel_noop_drm_shim.so
  [[ -e $stub ]] || { echo "$stub is not here" >&2; return 3; }
  "$root/tools/with_driver.sh" anv env LD_PRELOAD="$stub" INTEL_STUB_GPU_PLATFORM="$1" "$program" "${kernels[@]}"
}
nvidia() { # a newer Debian's driver, so with its dynamic loader and libraries, the program too
  local lib=$shims/nvk/lib
  [[ -e $lib/libvulkan_nouveau.so ]] || { echo "$lib/libvulkan_nouveau.so is not here" >&2; return 3; }
  # Two names of one variable, for old and new Vulkan loaders.
  VK_DRIVER_FILES=$shims/nvk/icd.d/nouveau.json VK_ICD_FILENAMES=$shims/nvk/icd.d/nouveau.json NOUVEAU_CHIPSET=$1 \
    "$lib"/ld-linux*.so.* --preload "$lib/libnouveau_noop_drm_shim.so" --library-path "$lib" "$program" "${kernels[@]}"
}

cores=$(getconf _NPROCESSORS_ONLN) targets=() files=()
target() { # target NAME COMMAND...: at once, as soon as a core is free
  while (($(jobs -rp | wc -l) >= cores)); do wait -n || true; done
  targets+=("$1")
  (
    status=0
    "${@:2}" >"$work/$1.tsv" 2>"$work/$1.log" || status=$?
    echo "$status" >"$work/$1.status"
  ) &
}
result() { # result NAME
  local status
  status=$(cat "$work/$1.status")
  if ((status == 0)); then files+=("$1=$work/$1.tsv")
  elif ((status == 3)); then echo "$1: skipped: $(tail -n 1 "$work/$1.log")"
  else
    tail -n 5 "$work/$1.log" >&2
    die "$1: failed (exit status $status); the last pipeline made: $(tail -n 1 "$work/$1.tsv" | cut -f 1,2)"
  fi
}
for family in vega10 navi21 navi31; do target "$family" amd "$family"; done
for platform in skl tgl dg2 bmg; do target "$platform" intel "$platform"; done
target turing nvidia 164 # TU104
target ampere nvidia 172 # GA102
wait
for name in "${targets[@]}"; do result "$name"; done
((${#files[@]})) || status=3 die "none of the drivers is here"
python3 "$here/table.py" ${update[@]+"${update[@]}"} "$here/table.tsv" "${files[@]}"
