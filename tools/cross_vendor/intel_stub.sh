#!/usr/bin/env bash
# Compiles Mesa's stub of Intel's kernel driver, which no Debian package has: with it Intel's Vulkan driver believes to
# have a GPU and compiles for it. Mesa's own build would want meson, bison and flex for these two dozen files.
#
#   tools/cross_vendor/intel_stub.sh MESA HEADERS OUTPUT.so
#
# MESA: Mesa's source, unpacked. HEADERS: libdrm's /usr/include. python3 must find mako (Debian: python3-mako).
set -euo pipefail
(($# == 3)) || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mesa=$1 headers=$2 output=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

dev=$mesa/src/intel/dev gen=$work/intel/dev
mkdir -p "$gen"
export PYTHONDONTWRITEBYTECODE=1
python3 "$dev/gen_wa_helpers.py" "$dev/mesa_defs.json" "$gen/intel_wa.h" "$gen/intel_wa.c"
python3 "$dev/intel_device_info_gen_h.py" "$gen/intel_device_info_gen.h"
python3 "$dev/intel_device_info_serialize_gen_c.py" "$gen/intel_device_info_serialize_gen.c"

cd "$mesa/src"
sources=(intel/tools/intel_noop_drm_shim.c drm-shim/{device,drm_shim}.c
  intel/dev/{,i915/,xe/}intel_device_info.c intel/dev/intel_{hwconfig,kmd}.c intel/common/{,i915/,xe/}intel_gem.c
  util/{anon_file,hash_table,log,os_misc,parson,ralloc,set,simple_mtx,u_call_once,u_debug,u_process,vma}.c
  "$gen"/*.c)
flags=(-O1 -w -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections
  -D_GNU_SOURCE -DNDEBUG -DUTIL_ARCH_LITTLE_ENDIAN=1 -DUTIL_ARCH_BIG_ENDIAN=0
  -DHAVE_PTHREAD -DHAVE_STRUCT_TIMESPEC -DHAVE_LIBDRM -DHAVE_MEMFD_CREATE
  -DHAVE_PROGRAM_INVOCATION_NAME -DHAVE_SECURE_GETENV -DHAVE_FUNC_ATTRIBUTE_{PACKED,VISIBILITY}
  -DHAVE___BUILTIN_{FFS,FFSLL,CLZ,CLZLL,CTZ,UNREACHABLE,TYPES_COMPATIBLE_P} -DPACKAGE_VERSION='""'
  -I"$work" -I"$work/intel" -I"$gen" -I../include -I. -Iintel -Iintel/dev -Iintel/common -Iutil
  -I"$headers" -I"$headers/libdrm")
# What the drivers use and the stub does not goes out again, so that what it in turn needs need not be here.
"${CC:-cc}" -shared "${flags[@]}" "${sources[@]}" -Wl,--gc-sections -Wl,-z,defs -ldl -lm -lpthread -o "$work/stub.so"
mv "$work/stub.so" "$output"
