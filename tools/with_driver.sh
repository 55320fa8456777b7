#!/usr/bin/env bash
# Runs a command on a chosen Vulkan driver, with or without validation:
#
#   tools/with_driver.sh NAME[+NAME...] COMMAND...        for example: with_driver.sh lavapipe8+sync ctest
#
#   lavapipe         CPU driver: Mesa 25 from .deps, else the system's     lavapipe-system   always the system's
#   lavapipe4|8|16   the same with that subgroup size                      swiftshader       the other CPU driver
#   lavapipe-coopmat Mesa 26's, which has cooperative matrices: by another Debian's dynamic loader, so for programs only
#   radv, anv        Mesa 25's AMD and Intel drivers from .deps            radv:FAMILY       AMD compiler, runs nothing
#   core             validation layer, core checks                         sync              core and missing barriers
#   gpuav            checks inside shaders: out-of-bounds accesses, shared-memory races
#
# Without a driver name the machine's own drivers stay. Layers write what they find to standard output and do not change
# the exit status. Exit status 3: the driver or layer is not here (tools/setup.sh --test fetches them).
set -euo pipefail
deps=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.deps

usage() { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
absent() { printf 'with_driver: %s\n' "$*" >&2; exit 3; }
(($# >= 2)) || usage
names=$1
shift

# Whatever the caller's environment asked for would win over, or mix with, what is asked for here.
unset VK_ICD_FILENAMES VK_DRIVER_FILES VK_ADD_DRIVER_FILES VK_LOADER_DRIVERS_SELECT VK_LOADER_DRIVERS_DISABLE \
  VK_INSTANCE_LAYERS VK_LAYER_PATH VK_ADD_LAYER_PATH VK_LAYER_SETTINGS_PATH VK_LAYER_ENABLES VK_LAYER_DISABLES \
  VK_LOADER_LAYERS_ENABLE VK_LOADER_LAYERS_DISABLE LP_NATIVE_VECTOR_WIDTH MESA_VK_DEVICE_SELECT RADV_FORCE_FAMILY

driver() { # driver MANIFEST...: the first that exists
  local m
  for m in "$@"; do
    [[ -e $m ]] || continue
    export VK_DRIVER_FILES=$m VK_ICD_FILENAMES=$m # new and old name of the same variable
    return
  done
  absent "driver $name is not here (looked for $*)"
}
system_lavapipe=({/etc,/usr/local/share,/usr/share}/vulkan/icd.d/lvp_icd{."$(uname -m)",}.json)
mesa=$deps/mesa/icd.d
lanes() { # lanes N: vectors of N floats. Mesa's cache forgets for which width it compiled a texel fetch: one for each
  export LP_NATIVE_VECTOR_WIDTH=$((32 * $1))
  export MESA_SHADER_CACHE_DIR=${MESA_SHADER_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}}/lanes$1
}
lavapipe() { driver "$mesa/lvp.json" "${system_lavapipe[@]}"; }

layer() { # layer SETTING...: the validation layer with these settings
  [[ ! ${VK_INSTANCE_LAYERS:-} ]] || { echo "with_driver: one of core, sync, gpuav at a time" >&2; exit 2; }
  local found=$deps/layers dir
  if [[ ! -e $found ]]; then
    found=
    for dir in ${VULKAN_SDK:+"$VULKAN_SDK/share/vulkan/explicit_layer.d"} /usr/share/vulkan/explicit_layer.d; do
      # 1.4.309 still misses a write after a write by the same descriptor, Debian 12's 1.3.239 every missing barrier
      grep -Eqs '"api_version" *: *"1\.4\.(3[1-9]|[4-9].)."' "$dir/VkLayer_khronos_validation.json" || continue
      found=$dir
      break
    done
  fi
  [[ $found ]] || absent "no validation layer newer than 1.4.309 here"
  local file=$deps/layer-settings/$name.txt
  if ! printf 'khronos_validation.%s\n' "$@" | cmp -s - "$file"; then
    mkdir -p "${file%/*}"
    printf 'khronos_validation.%s\n' "$@" >"$file.$$"
    mv "$file.$$" "$file" # in one step, as tests run in parallel
  fi
  export VK_LAYER_PATH=$found VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH=$file
}

newer= # libraries to run the program with
IFS=+ read -ra parts <<<"$names"
for name in "${parts[@]}"; do
  case $name in
    lavapipe)        lavapipe ;;
    lavapipe4)       lavapipe; lanes 4 ;;
    lavapipe8)       lavapipe; lanes 8 ;;
    lavapipe16)      lavapipe; lanes 16 ;;
    lavapipe-system) driver "${system_lavapipe[@]}" ;;
    lavapipe-coopmat) driver "$deps/lavapipe-coopmat/icd.d/lvp.json"; lanes 8; newer=$deps/lavapipe-coopmat/lib ;;
    swiftshader)     driver "$deps/swiftshader/vk_swiftshader_icd.json" ;;
    radv)            driver "$mesa/radeon.json" ;;
    radv:?*)         driver "$mesa/radeon.json"; export RADV_FORCE_FAMILY=${name#*:} ;;
    anv)             driver "$mesa/intel.json" ;;
    core)  layer 'validate_core = true' 'validate_sync = false' ;;
    sync)  layer 'validate_core = true' 'validate_sync = true' 'syncval_shader_accesses_heuristic = true' ;;
    gpuav) layer 'validate_core = false' 'gpuav_enable = true' 'gpuav_shared_memory_data_race = true' \
             'message_id_filter = WARNING-Setting-Limit-Adjusted' ;; # only tells which features it turns on for itself
    *) echo "with_driver: unknown name '$name'" >&2; usage ;;
  esac
done
[[ $newer ]] || exec "$@"
program=$(type -P -- "$1") || { echo "with_driver: $1: not found" >&2; exit 127; }
exec "$newer"/ld-linux*.so.* --argv0 "$1" --library-path "$newer" "$program" "${@:2}"
