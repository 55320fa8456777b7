# Sourced by the scripts beside it: `bash SCRIPT path/to/vkvae`. Leaves the caller in an empty temporary directory.
set -uo pipefail
vkvae=$(realpath "${1:?the path of the vkvae binary}")
test_directory=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap '[[ $BASHPID != $$ ]] || rm -rf "$work"' EXIT # not when a background job ends
cd "$work" || exit 1
unset VKVAE_DISABLE VKVAE_DEVICE
failures=0

complain() { printf 'FAILED: %s\n' "$*" >&2; failures=$((failures + 1)); }
check() { # check 'what' command...: the command succeeds
  local what=$1
  shift
  "$@" || complain "$what ($*)"
}
refute() { # refute 'what' command...: the command fails
  local what=$1
  shift
  ! "$@" || complain "$what (not: $*)"
}
same() { check 'equal bytes' cmp "$1" "$2"; }

# expect_exit CODE REGEX vkvae-arguments...: this exit status, a line of either stream that matches, and no crash. What
# it printed is in the files stdout and stderr of the working directory.
expect_exit() {
  local code=$1 regex=$2 got=0
  shift 2
  timeout 120 "$vkvae" "$@" >"$work/stdout" 2>"$work/stderr" || got=$?
  if [[ $got != "$code" ]]; then
    complain "vkvae $*: exit $got instead of $code"
    tail -n 5 "$work/stdout" "$work/stderr" >&2
  elif ! grep -Eq -- "$regex" "$work/stdout" "$work/stderr"; then
    complain "vkvae $*: nothing matches '$regex' in"
    cat "$work/stdout" "$work/stderr" >&2
  fi
}
# refuses CODE REGEX vkvae-arguments...: as above, with a sentence on stderr and nothing on stdout.
refuses() {
  expect_exit "$@"
  check "vkvae ${*:3}: nothing on stdout" test ! -s "$work/stdout"
  refute "vkvae ${*:3}: a person can read it" grep -Eq 'json\.exception|terminate called|basic_string|std::' "$work/stderr"
}
finish() {
  ((failures == 0)) || printf '%d failures in %s\n' "$failures" "$0" >&2
  exit $((failures > 0))
}

# json_value FILE KEY: a number or string of the object on the last line.
json_value() { tail -n 1 "$1" | grep -oE "\"$2\":(\"[^\"]*\"|[^],}]*)" | head -n 1 | cut -d: -f2- | tr -d '"'; }
one_json_object() { # the last line of FILE is one JSON object
  if command -v python3 >/dev/null; then
    tail -n 1 "$1" | python3 -c 'import json, sys; assert isinstance(json.loads(sys.stdin.read()), dict)'
  else
    tail -n 1 "$1" | grep -Eq '^\{.*\}$'
  fi
}

# npy FILE TYPE SHAPE < values: a version 1.0 array, for example npy x.npy '|u1' '(2, 3)'.
npy() {
  local header="{'descr': '$2', 'fortran_order': False, 'shape': $3, }"
  while (((${#header} + 11) % 64)); do header+=' '; done
  { printf '\x93NUMPY\x01\x00'; byte $(((${#header} + 1) % 256)); byte $(((${#header} + 1) / 256)); printf '%s\n' "$header"; cat; } >"$1"
}
byte() { printf "\\x$(printf %02x "$1")"; }
npy_shape() { head -c 256 "$1" | grep -aoE "'shape': \([^)]*\)" | cut -d: -f2- | tr -d ' ' | sed 's/,)/)/'; }

# A model that trains in no time, for images of SIDE x SIDE: tiny SIDE > FILE.
tiny() {
  cat <<JSON
{"name": "tiny", "input": [$1, $1, 1], "latent": 3, "likelihood": "bernoulli",
 "encoder": [{"type": "linear", "out": 12, "activation": "relu"}],
 "decoder": [{"type": "linear", "out": 12, "activation": "relu"}, {"type": "linear", "out": $(($1 * $1))}]}
JSON
}
# blobs N SIDE > values: N images of u8, each another one.
blobs() {
  local n=$1 side=$2 i
  for ((i = 0; i < n; i++)); do
    head -c $((i * 37 % (side * side))) /dev/zero
    head -c 1 /dev/zero | tr '\0' '\377'
    head -c $((side * side - 1 - i * 37 % (side * side))) /dev/zero
  done
}
