#!/usr/bin/env bash
# From nothing to a trained VAE: sets this machine up, builds, and trains the model conv64 on the built-in data set of
# sprites, on the best Vulkan device there is, or on the CPU where there is none. Leaves samples.png,
# reconstructions.png, traversal.png, interpolation.png and report.html in runs/demo/.
#
# runs/demo/ is the demo's own: a run that is there already is replaced.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tools/setup.sh
echo "demo: building"
cmake --preset release >/dev/null
cmake --build --preset release --target vkvae_cli
vkvae=build/release/tools/vkvae

# A software driver counts only where there is nothing else, and then .deps/ has a faster one than the system.
driver=()
if ! "$vkvae" devices --json 2>/dev/null | grep -Eq '"type":"(discrete|integrated|virtual)'; then
  ! tools/with_driver.sh lavapipe true 2>/dev/null || driver=(tools/with_driver.sh lavapipe)
  echo "demo: no GPU driver here; training on the CPU"
fi

${driver[@]+"${driver[@]}"} "$vkvae" train --data sprites:8192 --model conv64 --out runs/demo --batch 32 --steps 550 --force
echo "demo: look at runs/demo/report.html, and at samples, reconstructions, traversal and interpolation.png beside it"
