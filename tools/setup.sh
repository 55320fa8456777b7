#!/usr/bin/env bash
# Gets this machine ready to build vkvae. Safe to repeat: does only what is missing, silent when nothing is.
#
#   tools/setup.sh          what building and running need
#   tools/setup.sh --test   also clang, SwiftShader and the validation layer (see tools/with_driver.sh)
#
# Base packages come from the system's own package sources. Some of Debian 12's are too old, so newer ones are
# downloaded from Debian through a private apt configuration and unpacked into .deps/, as are the test drivers; nothing
# newer is installed over the system, and its package sources stay as they are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
deps=$PWD/.deps

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

with_test=
for arg in "$@"; do
  case $arg in
    --test) with_test=1 ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' tools/setup.sh; exit 0 ;;
    *) die "unknown option $arg; the only one is --test" ;;
  esac
done

# --- not Debian or Ubuntu: look whether everything is there, else say what is needed

has() { command -v "$1" >/dev/null; }
if ! { has apt-get && has dpkg-query; }; then # written for old shells too: macOS has bash 3.2
  PATH=${VULKAN_SDK:+$VULKAN_SDK/bin:}$PATH
  missing=
  for tool in cmake ninja c++ glslangValidator spirv-val; do has "$tool" || missing+=" $tool"; done
  includes() {
    echo "#include <$1>" | c++ -std=c++20 ${VULKAN_SDK:+-I"$VULKAN_SDK/include"} -x c++ -E - >/dev/null 2>&1
  }
  if has c++; then
    for h in vulkan/vulkan.h nlohmann/json.hpp CLI/CLI.hpp doctest/doctest.h zlib.h; do
      includes "$h" || missing+=" $h"
    done
    includes stb_image.h || includes stb/stb_image.h || missing+=" stb_image.h"
  fi
  [[ $missing ]] || exit 0
  say "this is not Debian or Ubuntu; please install, with its package manager or from their sites:"
  say "  the Vulkan SDK (or glslang >= 14, SPIRV-Tools, Vulkan headers and loader), CMake >= 3.25, ninja,"
  say "  a C++20 compiler, nlohmann-json, CLI11, doctest, zlib, stb >= 2.28"
  die "not found:$missing"
fi

# --- base packages

# Debian's codename, also on what is built on it; empty on Ubuntu
codename=$(
  . /etc/os-release
  [[ ${ID:-} != debian ]] || DEBIAN_CODENAME=${VERSION_CODENAME:-}
  echo "${DEBIAN_CODENAME:-}"
)
packages=(cmake ninja-build ccache g++ pkg-config python3 nlohmann-json3-dev libcli11-dev doctest-dev zlib1g-dev
  libvulkan-dev libvulkan1 mesa-vulkan-drivers vulkan-tools)
extras=() # what goes into .deps
if [[ $codename == bookworm ]]; then extras+=(glslang headers mesa)
else packages+=(glslang-tools spirv-tools libstb-dev); fi # recent enough to have them itself
if [[ $with_test ]]; then
  packages+=(clang)
  if [[ $codename ]]; then extras+=(chromium); else packages+=(vulkan-validationlayers); fi
  if [[ $codename == bookworm && $(dpkg --print-architecture) == amd64 ]]; then
    packages+=(xz-utils) # unpacks Mesa's source
    extras+=(shims coopmat)
  fi
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
need=()
for p in "${packages[@]}"; do grep -qxF "installed $p" <<<"$installed" || need+=("$p"); done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if ((EUID == 0)); then as_root=(env); else as_root=(sudo); fi
update_lists() { "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=600 update >/dev/null 2>&1 || true; }
install_packages() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y \
    --no-install-recommends "${need[@]}" >"$scratch/log" 2>&1
}
if ((${#need[@]})); then
  ((EUID == 0)) || { has sudo && sudo -v; } || die "neither root nor sudo; have someone run: apt-get install ${need[*]}"
  say "installing ${need[*]}"
  # The machine's package lists may be missing or stale. A dead third-party source fails "update" but need not stop
  # us: what counts is whether the packages can be installed.
  install_packages || { update_lists; install_packages; } || { tail -n 20 "$scratch/log" >&2; die "apt-get failed"; }
fi

cmake_version=$(cmake --version | grep -oE '[0-9]+\.[0-9]+' | head -n 1)
dpkg --compare-versions "$cmake_version" ge 3.25 ||
  die "CMake here is $cmake_version, 3.25 is needed: Debian 12, Ubuntu 24.04 or newer has what vkvae takes"

# --- packages that are unpacked into .deps

work=$deps/tmp # inside .deps, so that finished parts can be moved into place

# The machine's own mirror, so that a local mirror keeps being used. Third parties use Debian's codenames too.
mirror() {
  local o
  for o in 'Origin: Debian' 'Created-By: Packages'; do
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $1" "$o" 2>/dev/null || true
  done | sed -n 1p
}

use_suite() { # points the private apt at one suite, so that a suite missing from a mirror stops only what needs it
  [[ $(cat "$work/suite" 2>/dev/null) != "$1" ]] || return 0
  local base=$codename uri
  [[ $1 != *-security ]] || base=$1
  uri=$(mirror "$base")
  [[ $uri ]] || { update_lists; uri=$(mirror "$base"); }
  [[ $uri ]] || return 1
  rm -rf "$work/apt"
  mkdir -p "$work"/apt/{etc/apt.conf.d,etc/preferences.d,state/lists/partial,cache/archives/partial}
  : >"$work/apt/status" # nothing counts as installed here
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $1 main" >"$work/apt/etc/sources.list"
  # Of the machine's settings only how to reach a mirror (proxies, passwords, retries), so not its hooks, which would
  # work on the machine's own caches.
  (umask 077 && cat >"$work/apt/conf") <<CONF
Dir::Etc "$work/apt/etc";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::State "$work/apt/state";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
$(apt-config dump | grep -iE '^Acquire::(https?|ftp|socks|tor|Retries|Check-|ForceIPv)' || true)
CONF
  APT_CONFIG=$work/apt/conf apt-get -qq update && echo "$1" >"$work/suite"
}

fetch() { # fetch SUITE PACKAGE...: downloads the packages and unpacks them into $work/tree
  use_suite "$1" || return 1
  shift
  rm -rf "$work/debs" "$work/tree"
  mkdir -p "$work/debs" "$work/tree"
  (cd "$work/debs" && APT_CONFIG=$work/apt/conf apt-get -qq download "$@") || return 1
  local deb versions=
  for deb in "$work"/debs/*.deb; do
    dpkg-deb -x "$deb" "$work/tree" || return 1
    versions+=", $(dpkg-deb -W --showformat '${Package} ${Version}' "$deb")"
  done
  say "unpacking ${versions#, }"
}

place() { # place FROM TO: replaces the folder TO, gone for as short as possible in case a build is running
  mkdir -p "$(dirname "$2")"
  rm -rf "$work/old"
  [[ ! -e $2 ]] || mv "$2" "$work/old"
  mv "$1" "$2"
}

get_glslang() { # bookworm's 12 has no cooperative matrices. Needs a newer libc, so is run by its own dynamic loader.
  fetch trixie glslang-tools spirv-tools libc6 libstdc++6 libgcc-s1 || die "could not download glslang from trixie"
  mkdir -p "$work"/new/{bin,lib} "$deps/bin"
  cp -L "$work"/tree/usr/lib/*-linux-gnu*/{ld-linux*,libc,libm,libpthread,libstdc++,libgcc_s}.so.[0-9] "$work/new/lib/"
  cp -L "$work"/tree/usr/bin/{glslangValidator,spirv-{val,opt,dis,as}} "$work/new/bin/"
  local tool
  for tool in "$work"/new/bin/*; do
    cat >"$work/wrapper" <<'SH'
#!/bin/sh
# Written by tools/setup.sh: runs a newer Debian's program with that Debian's own dynamic loader and libraries.
d=${0%/*}/../glslang
exec "$d"/lib/ld-linux*.so.* --library-path "$d/lib" "$d/bin/${0##*/}" "$@"
SH
    chmod +x "$work/wrapper"
    mv "$work/wrapper" "$deps/bin/${tool##*/}"
  done
  place "$work/new" "$deps/glslang"
  for tool in glslangValidator spirv-val; do
    "$deps/bin/$tool" --version >/dev/null || die "the unpacked $tool does not run"
  done
}

get_headers() { # Vulkan 1.4's (the loader stays the system's), and an stb_image without bookworm's known memory errors
  fetch trixie libvulkan-dev libstb-dev || die "could not download headers from trixie"
  place "$work/tree/usr/include/vulkan" "$deps/include/vulkan"
  place "$work/tree/usr/include/vk_video" "$deps/include/vk_video"
  cp -p "$work"/tree/usr/include/stb/stb_image{,_write,_resize2}.h "$deps/include/"
}

get_mesa() { # a faster lavapipe, newer AMD and Intel drivers; bookworm's are there without it
  if ! fetch bookworm-backports mesa-vulkan-drivers; then
    say "no newer Mesa on this mirror; the system's will do"
    got=
    return
  fi
  mkdir -p "$work"/new/{lib,icd.d}
  local manifest name
  for name in lvp radeon intel; do
    manifest=$(echo "$work"/tree/usr/share/vulkan/icd.d/"${name}"_icd.*json)
    [[ -e $manifest ]] || continue # no Intel driver on ARM
    cp "$work"/tree/usr/lib/*/libvulkan_"$name".so "$work/new/lib/"
    sed 's#"library_path": "[^"]*/\{0,1\}lib#"library_path": "../lib/lib#' "$manifest" >"$work/new/icd.d/$name.json"
  done
  [[ -e $work/new/icd.d/lvp.json ]] || die "no lavapipe in mesa-vulkan-drivers"
  place "$work/new" "$deps/mesa"
}

get_chromium() { # Chromium's package carries SwiftShader and a current validation layer
  fetch "$codename-security" chromium-common || fetch "$codename" chromium-common ||
    die "could not download chromium-common"
  local from=$work/tree/usr/lib/chromium
  mkdir -p "$work/swiftshader" "$work/layers"
  cp "$from"/{libvk_swiftshader.so,vk_swiftshader_icd.json} "$work/swiftshader/"
  cp "$from/libVkLayer_khronos_validation.so" "$work/layers/"
  cat >"$work/layers/VkLayer_khronos_validation.json" <<'JSON'
{"file_format_version": "1.2.0",
 "layer": {
  "name": "VK_LAYER_KHRONOS_validation", "type": "GLOBAL", "library_path": "./libVkLayer_khronos_validation.so",
  "api_version": "1.4.309", "implementation_version": "1", "description": "Khronos validation layer of chromium-common",
  "instance_extensions": [
    {"name": "VK_EXT_debug_utils", "spec_version": "2"},
    {"name": "VK_EXT_validation_features", "spec_version": "6"},
    {"name": "VK_EXT_layer_settings", "spec_version": "2"}]}}
JSON
  place "$work/swiftshader" "$deps/swiftshader"
  place "$work/layers" "$deps/layers"
}

build_shims() {
  fetch trixie mesa-vulkan-drivers mesa-drm-shim libvulkan1 libc6 libstdc++6 libgcc-s1 zlib1g libzstd1 libexpat1 \
    libffi8 libdrm2 libdrm-dev libx11-xcb1 libxau6 libxcb1 libxcb-dri3-0 libxcb-present0 libxcb-randr0 libxcb-shm0 \
    libxcb-sync1 libxcb-xfixes0 libxdmcp6 libxshmfence1 libwayland-client0 python3-mako python3-markupsafe || return 1
  local from
  from=$(echo "$work"/tree/usr/lib/*-linux-gnu)
  mkdir -p "$work"/new/{intel,nvk/lib,nvk/icd.d} "$work/mesa"
  # The program that runs on it gets this Debian's libraries too, the C library first of all.
  "$from"/ld-linux*.so.* --library-path "$from" --list "$from/libvulkan_nouveau.so" |
    sed -n 's/.*=> \([^ ]*\) .*/\1/p' | xargs cp -Lt "$work/new/nvk/lib" || return 1
  cp -L "$from"/{ld-linux*.so.*,libvulkan.so.1,libvulkan_nouveau.so,libnouveau_noop_drm_shim.so} "$work/new/nvk/lib/" ||
    return 1
  sed 's#"library_path": "#&../lib/#' "$work/tree/usr/share/vulkan/icd.d/nouveau_icd.json" \
    >"$work/new/nvk/icd.d/nouveau.json" || return 1

  sed -n 's/^deb /deb-src /p' "$work/apt/etc/sources.list" >>"$work/apt/etc/sources.list"
  (export APT_CONFIG=$work/apt/conf
    apt-get -qq update && cd "$work/debs" && apt-get -qq --download-only source mesa) || return 1
  tar -xf "$work"/debs/mesa_*.orig.tar.xz -C "$work/mesa" --strip-components=1 --wildcards \
    '*/include/*' '*/src/drm-shim/*' '*/src/intel/dev/*' '*/src/intel/common/*' '*/src/intel/tools/*' '*/src/util/*' \
    '*/src/c11/*' '*/src/compiler/*.h' || return 1
  PYTHONPATH=$work/tree/usr/lib/python3/dist-packages tools/cross_vendor/intel_stub.sh "$work/mesa" \
    "$work/tree/usr/include" "$work/new/intel/libintel_noop_drm_shim.so"
}
get_shims() { # for tools/cross_vendor: NVIDIA's open driver, and stand-ins for the kernel drivers of NVIDIA and Intel
  # They hang on the inner files of one Mesa release. Where Debian has moved on, tests go on without these targets.
  if build_shims; then place "$work/new" "$deps/shims"
  else
    say "could not get the compilers of Intel and NVIDIA for tools/cross_vendor; its targets there will be skipped" >&2
    got=
  fi
}

build_coopmat() {
  local name=mesa-vulkan-drivers from to=$work/new/lib
  fetch trixie-backports "$name" || return 1
  place "$work/tree" "$work/newer"
  fetch trixie libllvm19 libz3-4 libxml2 liblzma5 libedit2 libtinfo6 libbsd0 libmd0 libffi8 zlib1g libzstd1 libexpat1 \
    libdrm2 libdisplay-info2 libwayland-client0 libx11-xcb1 libxshmfence1 libxau6 libxdmcp6 libxcb1 libxcb-dri3-0 \
    libxcb-present0 libxcb-randr0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libvulkan1 libc6 libstdc++6 libgcc-s1 ||
    return 1
  from=$(echo "$work"/tree/usr/lib/*-linux-gnu)
  mkdir -p "$to" "$work/new/icd.d"
  cp -L "$work"/newer/usr/lib/*/libvulkan_lvp.so "$from"/{ld-linux*.so.*,libvulkan.so.1,lib{dl,m,pthread,rt}.so.[0-9]} \
    "$from"/lib{stdc++,gcc_s,z}.so.[0-9] "$to/" || return 1
  # What the driver needs, and the programs that run on it: the C++ library above and the old parts of the C library.
  "$from"/ld-linux*.so.* --library-path "$from" --list "$to/libvulkan_lvp.so" |
    sed -n 's/.*=> \([^ ]*\) .*/\1/p' | xargs cp -Lt "$to" || return 1
  sed 's#"library_path": "[^"]*/\{0,1\}lib#"library_path": "../lib/lib#' \
    "$work"/newer/usr/share/vulkan/icd.d/lvp_icd.*json >"$work/new/icd.d/lvp.json"
}
get_coopmat() { # a lavapipe with cooperative matrices, for the tests of those: Mesa 26, run as NVK in build_shims
  if build_coopmat; then place "$work/new" "$deps/lavapipe-coopmat"
  else
    say "could not get a lavapipe with cooperative matrices; tests on it will be skipped" >&2
    got=
  fi
}

# A component's stamp is the checksum of the function that gets it: a changed recipe runs again, a failed one resumes.
recipe() { { declare -f "get_$1" "build_$1" || true; } | cksum; }
part() { # what tells that a component is still there
  case $1 in
    glslang) echo "$deps/bin/glslangValidator" ;;
    headers) echo "$deps/include/stb_image.h" ;;
    mesa) echo "$deps/mesa/icd.d/lvp.json" ;;
    chromium) echo "$deps/swiftshader/libvk_swiftshader.so" ;;
    coopmat) echo "$deps/lavapipe-coopmat/icd.d/lvp.json" ;;
    shims) echo "$deps/shims/nvk/lib/libvulkan_nouveau.so" ;;
  esac
}
current() { [[ -e $(part "$1") && $(cat "$deps/.stamp-$1" 2>/dev/null) == "$(recipe "$1")" ]]; }
todo() { for c in ${extras[@]+"${extras[@]}"}; do current "$c" || echo "$c"; done; }

[[ $(todo) ]] || exit 0
mkdir -p "$deps"
exec 9>"$deps/.lock"
flock 9 # two setups at once: the second waits and then finds nothing to do
rm -rf "$work"
mkdir "$work"
trap 'rm -rf "$scratch" "$work"' EXIT
for c in $(todo); do
  rm -rf "$work/new"
  got=1
  "get_$c"
  [[ ! $got ]] || recipe "$c" >"$deps/.stamp-$c"
done
