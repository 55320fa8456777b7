# Kinds of models through the verbs: labels, levels with temperatures, objectives and their statistics, collapse, schedules.
. "$(dirname "$0")/lib.sh"
layers='"encoder": [{"type": "linear", "out": 16, "activation": "relu"}], "decoder": [{"type": "linear", "out": 16, "activation": "relu"}, {"type": "linear", "out": 64}]'
model() { printf '{"name": "%s", "input": [8, 8, 1], "latent": 3, %s, %s}\n' "$1" "$2" "$layers" >"$1.json"; }
model labelled '"condition": {"classes": 4}'
model total '"objective": {"type": "beta_tc", "beta": 3}'
model warm '"objective": {"type": "elbo", "warmup": 40, "free_bits": 0.1}'
model plain '"posterior": "none"'
model vamp '"prior": {"type": "vamp", "components": 4}'
model denoise '"corruption": {"type": "masking", "amount": 0.3}'
model dreg '"objective": {"type": "dreg", "samples": 3}'
cat >ladder.json <<'JSON'
{"name": "ladder", "input": [8, 8, 1], "levels": [
  {"latent": 2, "encoder": [{"type": "linear", "out": 16, "activation": "relu"}],
   "decoder": [{"type": "linear", "out": 16, "activation": "relu"}, {"type": "linear", "out": 64}]},
  {"latent": 3, "free_bits": 0.1, "encoder": [{"type": "linear", "out": 8, "activation": "relu"}],
   "decoder": [{"type": "linear", "out": 8, "activation": "relu"}]}]}
JSON
# A folder of images for each class is a data set with labels.
blobs 80 8 | npy d.npy '|u1' '(80, 8, 8)'

train() { expect_exit 0 '"steps":' train --data d.npy --batch 16 --lr 0.01 --seed 3 --json "$@"; }
for kind in total warm plain vamp denoise dreg ladder; do
  train --model $kind.json --out $kind --steps 40
  expect_exit 0 '"elbo"' eval $kind --json
  expect_exit 0 . sample $kind --count 4 --out $kind.npy
  check "$kind draws four" test "$(npy_shape $kind.npy)" = '(4,1,8,8)'
  expect_exit 0 . reconstruct $kind --count 4 --out $kind.png
done
check 'beta_tc logs its parts' grep -Eq '"tc":[-0-9.e]+,"mi":[-0-9.e]+,"dwkl":' total/metrics.jsonl
check 'beta rises from 0' grep -Eq '"step":1,.*"beta":0\.0,' warm/metrics.jsonl
check 'and ends at 1' grep -Eq '"step":(39|40),.*"beta":(0\.95|1\.0|0\.975),' warm/metrics.jsonl

expect_exit 0 . sample ladder --temperature 0.5,1 --out l.png
refuses 2 '3 temperatures for 2 levels' sample ladder --temperature 0.5,1,1 --out m.png
refuses 2 'no posterior' eval plain --iw 5
refuses 2 'not conditional' sample total --label 1 --out m.png

refuses 4 'needs a label for each' train --data d.npy --model labelled.json --out labelled --steps 2
sed 's/\[8, 8, 1\]/[8, 8, 3]/; s/"out": 64/"out": 192/; s/"classes": 4/"classes": 3/' labelled.json >sprites.json
expect_exit 0 '"steps":' train --data sprites:64 --model sprites.json --out labelled --steps 10 --batch 8 --json
expect_exit 0 . sample labelled --label 2,0 --count 4 --out a.npy
expect_exit 0 . sample labelled --count 4 --out b.png
expect_exit 0 . reconstruct labelled --count 4 --out c.png
expect_exit 0 . traverse labelled --label 1 --dims 2 --out t.png
expect_exit 0 '"elbo"' eval labelled --iw 2 --json
refuses 2 'has the classes 0 to 2' sample labelled --label 3 --out m.png

# A weight of the KL that rises too far closes every dimension, and the run says which.
model closing '"objective": {"type": "elbo", "beta": 300, "warmup": 300}'
expect_exit 0 'warning: latent dimensions? [0-9, ]+ ha(s|ve) collapsed' train --data d.npy --batch 16 --lr 0.01 --seed 3 \
  --model closing.json --out closing --steps 400

train --model total.json --out slow --steps 20 --lr-schedule cosine --lr-warmup 10 --log-every 1
check 'the learning rate warms up' grep -Eq '"step":1,.*"lr":0\.00(1|09+[0-9]*),' slow/metrics.jsonl
check 'and falls to nearly nothing' grep -Eq '"step":20,.*"lr":(0\.000[0-9]+|[0-9.]+e-[0-9]+|0\.0),' slow/metrics.jsonl
refuses 2 'lr-schedule' train --data d.npy --model total.json --out other --lr-schedule steps
finish
