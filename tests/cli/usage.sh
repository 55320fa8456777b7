# Every verb explains itself; whatever is asked for wrongly gets the right exit code, a sentence, and changes nothing.
. "$(dirname "$0")/lib.sh"
verbs=(devices train resume sample reconstruct interpolate traverse encode decode eval score info dataset bench
  arithmetic neighbors project morph augment compress decompress)

for verb in "${verbs[@]}"; do
  expect_exit 0 '--json' "$verb" --help
  check "$verb --help goes to stdout alone" test ! -s stderr
  for option in --device --seed --quiet --force; do
    check "$verb --help names $option" grep -q -- "$option" stdout
  done
done
expect_exit 0 'vkvae [0-9]+\.[0-9]+' --version
expect_exit 0 'traverse' --help

# Arguments.
tiny 8 >m.json
blobs 20 8 | npy d.npy '|u1' '(20, 8, 8)'
train=(train --data d.npy --model m.json --out run)
refuses 2 'subcommand' --
refuses 2 'subcommand'
refuses 2 'sampel' sampel run
refuses 2 'nonsense' sample run --nonsense
refuses 2 'required' sample
refuses 2 'required' train --data d.npy --model m.json
refuses 2 'steps.*epochs|epochs.*steps' "${train[@]}" --epochs 1 --steps 3
for wrong in '--batch 0' '--batch -4' '--batch x' '--batch 1.5' '--batch 99999999999999999999' '--batch 2000000000' \
  '--lr -1' '--lr nan' '--lr inf' '--lr 1e300' '--lr 1,5' '--beta -1' '--beta nan' '--momentum 2' '--epochs 0' \
  '--epochs -1' '--epochs 99999999999' '--epochs 2000000000 --batch 1' '--steps 0' '--steps 1e3' '--save-every 0' '--keep 0' \
  '--log-every 0' '--latent 0' '--latent 70000' '--optimizer adamm' '--binarize maybe' '--split both' '--limit -1' \
  '--seed -1' '--seed 1e3' '--seed 99999999999999999999' '--weight-decay -1' '--clip-norm nan' '--autotune maybe' \
  '--precision f64' '--precision 16'; do
  # shellcheck disable=SC2086 # an option and its value
  refuses 2 '.{10}' "${train[@]}" $wrong
done
for wrong in 'sample run --count 0' 'sample run --count 99999999' 'sample run --temperature nan' \
  'sample run --columns 0' 'traverse run --range inf' 'traverse run --index -2' 'interpolate run --steps 1' \
  'eval run --iw -1' 'eval run --batch 0' 'info mlp --batch 0' 'info mlp --count 0' 'dataset sprites --binarize dynamic'; do
  # shellcheck disable=SC2086
  refuses 2 '.{10}' $wrong
done
refute 'a run that was refused leaves nothing' test -e run

# Files that are not there, and names that say nothing we can write.
for verb in sample reconstruct interpolate traverse encode eval score; do
  refuses 4 'nowhere' "$verb" nowhere
done
refuses 4 'nowhere' resume nowhere
refuses 4 'nowhere' decode nowhere --latents z.npy
refuses 4 "no model 'nowhere'.*mlp" info nowhere
refuses 4 "'nowhere'" dataset nowhere
refuses 4 "'nowhere'" train --data nowhere --model mlp --out run
refuses 4 'conv64' train --data d.npy --model nowhere --out run
refuses 2 'end in .png or .npy' sample nowhere --out picture.jpg
refuses 2 'end in .npy' encode nowhere --out latents.png
refuses 2 'end in .npy' dataset d.npy --out d.txt
refuses 2 'does not exist' sample nowhere --out no/where/x.png
refuses 2 'sprites:' dataset sprites:x
refuses 2 'sprites:' dataset sprites:99999999999999999999

# Devices.
expect_exit 0 'subgroup +[0-9]+ lanes' devices
check 'a table is all on stdout' test ! -s stderr
expect_exit 0 '"max_invocations":[0-9]+' devices --json
check 'one JSON object' one_json_object stdout
refuses 3 '[Dd]evice' devices --device no-such-device
refuses 3 'no-such-device' "${train[@]}" --device no-such-device
check 'the devices are listed' grep -q "$("$vkvae" devices --json | grep -o '"name":"[^"]*' | head -n 1 | cut -d'"' -f4)" stderr
refuses 3 '77' info mlp --device 77
VKVAE_DEVICE=no-such-device refuses 3 'no-such-device' info mlp
VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere refuses 3 'driver' devices
VK_DRIVER_FILES=/nowhere VK_ICD_FILENAMES=/nowhere refuses 3 'driver' info mlp
VKVAE_DISABLE=nonsense refuses 2 'nonsense' devices
VKVAE_LIMIT_INVOCATIONS=x refuses 2 'VKVAE_LIMIT' devices
VKVAE_LIMIT_NONSENSE=5 expect_exit 0 . devices

# Where output goes, and that it arrives.
expect_exit 0 '784' info mlp
check 'info is quiet on stderr' test ! -s stderr
expect_exit 0 '"parameters":652824' info mlp --json
check 'one JSON object' one_json_object stdout
expect_exit 0 '"results":\[\{' bench --only "$("$vkvae" bench --only no-such 2>&1 | sed -n '2s/ *//p')" --json
check 'one JSON object' one_json_object stdout
VKVAE_LIMIT_HEAP=100000000 expect_exit 0 '^step/res128 +not measured: it needs [0-9]+ MiB, the device has 95' bench --only step/res128
for arguments in 'devices' 'devices --json' 'info mlp' 'info mlp --json'; do
  # shellcheck disable=SC2086
  (exec "$vkvae" $arguments >/dev/full 2>stderr)
  check "$arguments to a full disk: exit 1" test $? = 1
  check "$arguments to a full disk: a sentence" grep -q 'written' stderr
done

# Nothing is overwritten without --force.
echo mine >out.npy
for verb in "encode nowhere" "dataset d.npy" "sample nowhere" "decode nowhere --latents d.npy"; do
  # shellcheck disable=SC2086
  refuses 2 'exists.*--force' $verb --out out.npy
done
check 'untouched' test "$(cat out.npy)" = mine
mkdir home home/samples
echo mine | tee home/notes home/samples/holiday.png home/model.safetensors >/dev/null
refuses 2 'holds a run' train --data d.npy --model m.json --out home
refuses 2 'not a directory' train --data d.npy --model m.json --out out.npy
expect_exit 0 . train --data d.npy --model m.json --out home --force --steps 1 --quiet
check 'quiet is quiet' test ! -s stderr
check "other people's files stay" test "$(cat home/notes home/samples/holiday.png)" = $'mine\nmine'
refute 'but not the old model' grep -q mine home/model.safetensors
refuses 2 'holds a run.*resume' train --data d.npy --model m.json --out home
refuses 2 'seed is 0' resume home --seed 5
finish
