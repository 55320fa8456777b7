# A run that is killed, interrupted, damaged or extended ends with the same bytes as one that was left alone.
. "$(dirname "$0")/lib.sh"
steps=60
tiny 8 >m.json
blobs 64 8 | npy d.npy '|u1' '(64, 8, 8)'
train=(--data d.npy --model m.json --batch 16 --save-every 10 --log-every 1 --keep 3 --binarize dynamic --seed 7)
expect_exit 0 . train "${train[@]}" --steps $steps --out whole
check 'the newest three' test "$(cd whole/checkpoints && echo step-*0.safetensors)" = \
  'step-000000040.safetensors step-000000050.safetensors step-000000060.safetensors'
check 'every step is in the metrics' test "$(grep -c '"kind":"train"' whole/metrics.jsonl)" = $steps

without_times() { sed -E 's/"(images_per_s|elapsed_s)":[^,}]*//g' "$1"; }
same_run() { # same_run RUN [REFERENCE]
  local reference=${2:-whole} file
  check 'the same files' test "$(cd "$reference" && find . -type f | sort)" = "$(cd "$1" && find . -type f | sort)"
  for file in "$reference"/{,best,checkpoints/*,samples/*}.{safetensors,png} "$reference"/*.png \
    "$reference"/{model,best}.safetensors "$reference"/checkpoints/* "$reference"/samples/*; do
    [[ ! -f $file ]] || same "$file" "$1/${file#"$reference"/}"
  done
  check 'the same metrics' cmp <(without_times "$reference/metrics.jsonl") <(without_times "$1/metrics.jsonl")
}

# Killed at any moment: each try lives a little longer than the one before, the first ones before there is a checkpoint.
start_then() { # start_then SECONDS SIGNAL arguments...: a run in the background, the signal later; its status
  local seconds=$1 signal=$2
  shift 2
  "$vkvae" "$@" >stdout 2>stderr &
  local process=$! status=0
  sleep "$seconds"
  kill "-$signal" $process 2>/dev/null
  wait $process 2>/dev/null || status=$?
  return $status
}
start_then 0.05 KILL train "${train[@]}" --steps $steps --out killed
kills=0
while ((kills < 40)); do
  kills=$((kills + 1))
  if [[ -e killed/config.json ]]; then
    start_then "$(printf '0.%02d' $((20 + RANDOM % 10 + 3 * kills)))" KILL resume killed && break
  else
    start_then "$(printf '0.%02d' $((20 + 5 * kills)))" KILL train "${train[@]}" --steps $steps --out killed && break
  fi
done
expect_exit 0 . resume killed
same_run killed

# Ctrl-C: a checkpoint beside the regular ones, which is gone in the end; twice: at once.
waits_for() { # waits_for REGEX FILE
  for _ in $(seq 1200); do
    ! grep -Eqs "$1" "$2" || return
    sleep 0.05
  done
  complain "waited for $1 in $2"
}
interrupt() { # interrupt REGEX FILE TIMES arguments...: Ctrl-C once FILE holds it; sets status
  local regex=$1 file=$2 times=$3 process i
  shift 3
  : >stderr
  "$vkvae" "$@" >stdout 2>stderr &
  process=$!
  waits_for "$regex" "$file"
  for ((i = 0; i < times; i++)); do kill -INT $process; ((times == 1)) || sleep 0.02; done
  status=0
  wait $process || status=$?
}
set -m # or else background processes ignore SIGINT
long=100000 # more steps than there is time for
interrupt . twice/metrics.jsonl 1 train "${train[@]}" --steps $long --out twice
check 'Ctrl-C: 130' test $status = 130
check 'it says what to do next' grep -q 'interrupted at step .* of 100000; vkvae resume twice' stderr
check 'a checkpoint was written' test -e twice/model.safetensors
interrupt resuming stderr 2 resume twice --steps $long
check 'Ctrl-C twice: 130' test $status = 130
rm -rf twice
interrupt . stopped/checkpoints/step-000000010.safetensors 1 train "${train[@]}" --steps $steps --out stopped
check "interrupted or just finished: $status" test $status = 130 -o $status = 0
expect_exit 0 . resume stopped
same_run stopped
set +m

# Already done; further; back.
cp -r whole done
expect_exit 0 "\"steps\":$steps" resume done --json
check 'one JSON object' one_json_object stdout
same_run done
expect_exit 0 . train "${train[@]}" --steps 37 --out further
expect_exit 0 . resume further --steps $steps
for file in whole/model.safetensors whole/checkpoints/*; do same "$file" "further/${file#whole/}"; done
check 'the same checkpoints' test "$(ls whole/checkpoints)" = "$(ls further/checkpoints)"
check 'the same metrics' cmp <(without_times whole/metrics.jsonl) <(without_times further/metrics.jsonl)
refuses 2 'already trained 60 steps' resume further --steps 50
expect_exit 0 . resume further --epochs 17
same_run done

# Damage. A checkpoint that cannot be read is named, the one before is used.
newest=checkpoints/step-000000060
for file in $newest.safetensors $newest.state.safetensors; do
  for harm in truncate flip remove; do
    rm -rf harmed
    cp -r whole harmed
    case $harm in
      truncate) truncate -s -100 harmed/$file ;;
      flip) printf X | dd of=harmed/$file bs=1 seek=3000 conv=notrunc status=none ;;
      remove) rm harmed/$file ;;
    esac
    expect_exit 0 . resume harmed
    # A model that is not there is no checkpoint, as after a kill.
    [[ $harm$file == remove$newest.safetensors ]] || check "$harm $file is told" grep -q "damaged.*${file#checkpoints/}" stderr
    same_run harmed
  done
done
rm -rf harmed && cp -r whole harmed
for file in harmed/checkpoints/step-*[0-9].safetensors; do truncate -s 50 "$file"; done
expect_exit 4 'no checkpoint that can be read' resume harmed
check 'nothing is lost' test "$(ls harmed/checkpoints)" = "$(ls whole/checkpoints)"
for json in '' '{' '[]' '{}' 'null' '{"train": 5}' "$(sed 's/"batch": 16/"batch": 0/' whole/config.json)" \
  "$(sed 's/"batch": 16/"batch": "16"/' whole/config.json)" "$(sed 's/"likelihood"/"lkelihood"/' whole/config.json)" \
  "$(sed 's/"epochs": 10/"epochs": -1/' whole/config.json)" "$(head -c 300 whole/config.json)"; do
  rm -rf harmed && cp -r whole harmed
  printf '%s' "$json" >harmed/config.json
  expect_exit 4 '.{10}' resume harmed
  same whole/model.safetensors harmed/model.safetensors
done
rm -rf harmed && cp -r whole harmed
printf 'garbage\n{"step":"x"}\n{"step":3}\n[1]\n{"kind":5,"step":60}\n' >>harmed/metrics.jsonl
expect_exit 0 . resume harmed
expect_exit 0 . traverse harmed --out t.npy

# Other data, or another place to stand.
cp -r whole elsewhere
mkdir sub
expect_exit 0 . resume elsewhere
check 'from another directory' bash -c "cd sub && '$vkvae' resume ../elsewhere --quiet >../stdout"
blobs 63 8 | cat - <(head -c 64 /dev/zero) | npy d2.npy '|u1' '(64, 8, 8)'
mv d.npy d1.npy && mv d2.npy d.npy
expect_exit 4 'other data' resume elsewhere
rm d.npy
expect_exit 4 'd.npy' resume elsewhere
same whole/model.safetensors elsewhere/model.safetensors
mv d1.npy d.npy

# Two at once.
"$vkvae" train "${train[@]}" --steps $long --out both >/dev/null 2>&1 &
first=$!
waits_for . both/metrics.jsonl
expect_exit 2 'both is in use' resume both
expect_exit 2 'both is in use' train "${train[@]}" --steps 5 --out both --force
kill -9 $first
wait $first 2>/dev/null
expect_exit 0 . train "${train[@]}" --steps 5 --out both --force

# A full disk: the old checkpoints stay and the run goes on once there is room.
mkdir disk
if mount -t tmpfs -o size=300k tmpfs disk 2>/dev/null; then
  trap '[[ $BASHPID != $$ ]] || { umount "$work/disk"; rm -rf "$work"; }' EXIT
  expect_exit 0 . train "${train[@]}" --steps 20 --out disk/run
  head -c 10m /dev/zero >disk/ballast 2>/dev/null
  expect_exit 1 'disk is full|could not be written' resume disk/run --steps $steps
  expect_exit 0 . eval disk/run
  rm disk/ballast
  mount -o remount,size=10m disk
  expect_exit 0 . resume disk/run --steps $steps
  for file in whole/model.safetensors whole/checkpoints/*; do same "$file" "disk/run/${file#whole/}"; done
else
  echo 'no full disk: mounting one needs root'
fi

# On another split than usual: the run knows which.
expect_exit 0 . train "${train[@]}" --split test --steps 2 --out split
expect_exit 0 '"elbo"' resume split --steps 4 --json
check 'the split is in config.json' grep -q '"split": "test"' split/config.json

# More test samples than an evaluation looks at.
blobs 20 8 | npy many.npy '|u1' '(20, 8, 8)'
head -c $((10001 * 64)) /dev/zero | npy many_test.npy '|u1' '(10001, 8, 8)'
expect_exit 0 '"elbo"' train --data many.npy --model m.json --steps 2 --out many --json

# Compiled kernels that cannot be kept are no reason to lose a result.
: >file
VKVAE_CACHE=$PWD/file/cache expect_exit 0 'kernels are not kept' eval many --json
check 'the result' one_json_object stdout

# Kernels chosen by measurement, and by an earlier one.
VKVAE_CACHE=$PWD/file/cache expect_exit 0 'autotune: what was found is not kept: ' \
  train "${train[@]}" --steps 2 --out unkept --autotune quick
export VKVAE_CACHE=$PWD/cache
expect_exit 0 'autotune: ' train "${train[@]}" --steps 2 --out measured --autotune quick
expect_exit 0 . train "${train[@]}" --steps 2 --out remembered --autotune cached
expect_exit 0 . train "${train[@]}" --steps 2 --out heuristic --autotune off
expect_exit 0 'autotune: ' resume heuristic --steps 3 --autotune full

# What was measured may add in another order. By rule it makes no difference; and a run keeps the choices it began with.
cat >sums.json <<JSON
{"name": "sums", "input": [8, 8, 1], "latent": 3, "likelihood": "bernoulli",
 "encoder": [{"type": "conv2d", "out": 16, "kernel": 3, "padding": 1, "activation": "relu"}, {"type": "flatten"}],
 "decoder": [{"type": "linear", "out": 64}]}
JSON
sums=(--data d.npy --model sums.json --batch 16 --seed 7 --save-every 6)
as_exact() { # moments show differences that are lost in the rounding of the weights
  cmp -s "$1/model.safetensors" "$2/model.safetensors" && cmp -s "$1"/checkpoints/*12.state.* "$2"/checkpoints/*12.state.*
}
found() { echo cache/*.tuning; }
slices() { sed -i "/^slices /s/\t.*/\t$1/" "$(found)"; } # whatever was found: this many, where that is a choice
expect_exit 0 . train "${sums[@]}" --steps 12 --out rule --autotune off
expect_exit 0 'autotune: ' train "${sums[@]}" --steps 1 --out found --autotune quick
check 'slices are a choice' grep -q '^slices conv2d_weight_gradient' "$(found)"
slices 1
expect_exit 0 . train "${sums[@]}" --steps 12 --out one
refute 'the cache has a say' as_exact rule one
check 'the run remembers' grep -q '"slices conv2d_weight_gradient .*": "1"' one/config.json
expect_exit 0 . train "${sums[@]}" --steps 6 --out half
slices 2
expect_exit 0 . resume half --steps 12
check 'resumed it is the same, whatever was measured since' as_exact one half
expect_exit 0 . train "${sums[@]}" --steps 6 --out half_rule --autotune off
expect_exit 0 . resume half_rule --steps 12
check 'and so by rule' as_exact rule half_rule
expect_exit 0 . train "${sums[@]}" --steps 6 --out asked --autotune off
expect_exit 0 . resume asked --steps 12 --autotune cached
refute 'but not if asked to choose again' as_exact rule asked
rm "$(found)"
expect_exit 0 . train "${sums[@]}" --steps 12 --out none
check 'with no cache: by rule' as_exact rule none
for tuning in '5' '{}' '{"for": "x"}' '{"for": 1, "choices": {}}' '{"for": "x", "choices": {"a": 1}}'; do
  rm -rf harmed && cp -r half harmed
  sed -i -z -E "s/(\"tuning\": )\{.*\},(\s*\"total_steps\")/\1$tuning,\2/" harmed/config.json
  expect_exit 4 'does not describe a run' resume harmed
done

# Mixed precision: said, kept for resuming, visible in the metrics, and as exact as f32.
for precision in f16 bf16; do
  expect_exit 0 "$precision" train "${train[@]}" --steps 6 --out "$precision" --precision "$precision"
  check 'config.json has it' grep -q "\"precision\": \"$precision\"" "$precision/config.json"
  expect_exit 0 . train "${train[@]}" --steps 3 --out "half_$precision" --precision "$precision"
  expect_exit 0 . resume "half_$precision" --steps 6
  check 'resumed it is the same' cmp "$precision/model.safetensors" "half_$precision/model.safetensors"
  expect_exit 0 '"elbo"' eval "$precision" --json
done
check 'f16 tells its loss scale' grep -q '"loss_scale":65536' f16/metrics.jsonl
refute 'bf16 has none' grep -q loss_scale bf16/metrics.jsonl
expect_exit 0 . train "${train[@]}" --steps 2 --out auto --precision auto
check 'auto is what it came to' grep -qE '"precision": "(f32|f16)"' auto/config.json
sed -i 's/"precision": "[a-z0-9]*"/"precision": "f12"/' auto/config.json
expect_exit 4 "'f12' is no precision" resume auto --steps 3
refute 'the run remembers what was chosen, not how' grep -rq autotune heuristic/config.json
finish
