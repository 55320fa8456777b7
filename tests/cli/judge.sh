# What eval and score say of a trained model and of data that are unlike it.
. "$(dirname "$0")/lib.sh"
number() { json_value stdout "$1"; }
holds() { check "$1" awk "BEGIN { exit !($2) }"; }
shape() { check "$1 is $2, not $(npy_shape "$1")" test "$(npy_shape "$1")" = "$2"; }
# inside KEY NAME: of an object in the JSON.
inside() { tail -n 1 stdout | grep -oE "\"$1\":\{[^}]*\}" | grep -oE "\"$2\":[^,}]*" | cut -d: -f2; }

# Pictures of 8 x 8 with two labels, as IDX: spots (0), and as anomalies a full frame (1).
idx() {
  printf '\x00\x00\x08'
  byte $#
  for size in "$@"; do byte 0; byte 0; byte 0; byte "$size"; done
}
frames() { local i; for ((i = 0; i < $1; i++)); do head -c 64 /dev/zero | tr '\0' '\377'; done; }
labels() { head -c "$1" /dev/zero; head -c "$2" /dev/zero | tr '\0' '\1'; }
mkdir idx
{ idx 90 8 8; blobs 80 8; frames 10; } >idx/train-images-idx3-ubyte
{ idx 90; labels 80 10; } >idx/train-labels-idx1-ubyte
{ idx 30 8 8; blobs 24 8; frames 6; } >idx/t10k-images-idx3-ubyte
{ idx 30; labels 24 6; } >idx/t10k-labels-idx1-ubyte
tiny 8 >m.json

# A run on some of the labels keeps them: config.json, eval and resume.
expect_exit 0 . train --data idx --model m.json --out run --batch 16 --steps 300 --lr 0.01 --without-labels 1 --json
check 'the run says which' grep -q '"without_labels": \[' run/config.json
expect_exit 0 '"count":24' eval run --json
expect_exit 0 '"count":30' eval run --data idx --json
expect_exit 0 '"count":6' eval run --with-labels 1 --json
expect_exit 0 '"steps":310' resume run --steps 310 --json
refuses 2 "no label 'x'" eval run --without-labels x
refuses 4 'has the labels' eval run --with-labels 9
expect_exit 0 . dataset idx --with-labels 1 --out ones.npy && shape ones.npy '(10,8,8)'

# eval: what is computed on request only, and its figures.
expect_exit 0 'bits_per_dim' eval run --json
refute 'nothing that was not asked for' grep -Eq 'psnr|ssim|mutual_information|mig|iw_' stdout
holds 'bits of 64 pixels' "$(number bits_per_dim) * 64 * log(2) + $(number elbo) < 0.001 && $(number bits_per_dim) > 0"
expect_exit 0 . eval run --images --aggregate 1000 --iw 5000 --limit 6 --json
check 'one JSON object' one_json_object stdout
holds 'PSNR in dB' "$(number psnr) > 5 && $(number psnr) < 60"
holds 'SSIM' "$(number ssim) > 0 && $(number ssim) <= 1"
check 'all six' test "$(number aggregate_count)" = 6
# Estimated from one draw for each sample, so a little below zero is possible.
holds 'information' "$(number mutual_information) > -0.2 && $(number mutual_information) <= log(6) + 1e-9"
holds 'parts of the KL' "($(number aggregate_kl) - $(number total_correlation) - $(number dimension_kl)) ^ 2 < 1e-12"
holds 'bits of the bound' "($(number iw_nll) / (64 * log(2)) - $(number iw_bits_per_dim)) ^ 2 < 1e-9"

# eval --disentanglement: sprites know their factors, other data are told.
cat >sprites.json <<'JSON'
{"name": "sprites", "input": [64, 64, 3], "latent": 4, "likelihood": "gaussian",
 "encoder": [{"type": "linear", "out": 8, "activation": "relu"}], "decoder": [{"type": "linear", "out": 12288}]}
JSON
expect_exit 0 . train --data sprites:400 --model sprites.json --out s --steps 2 --batch 8
expect_exit 0 . eval s --split train --disentanglement --json
for score in mig sap beta_vae factor_vae dci_disentanglement dci_completeness dci_informativeness; do
  holds "$score" "$(number $score) >= 0 && $(number $score) <= 1"
done
check 'the factors by name' grep -q '"factors":\["shape",' stdout
holds 'a density of bytes: 8 bits more' "($(number bits_per_dim) - 8 + $(number elbo) / (12288 * log(2))) ^ 2 < 1e-6"
cp stdout first
expect_exit 0 . eval s --split train --disentanglement --json
same first stdout
refuses 2 '--factors' eval run --disentanglement
for i in $(seq 12); do printf '\x00\x01\x01\x00'; done | npy f.npy '|u1' '(24, 2)'
for i in $(seq 12); do printf '\x00\x01\x01\x01'; done | npy constant.npy '|u1' '(24, 2)'
printf '\x00\x01\x01\x00' | npy short.npy '|u1' '(2, 2)'
expect_exit 0 '"factors":\["0","1"\]' eval run --factors f.npy --json
refuses 4 "factor '1' is 1 in all" eval run --factors constant.npy
refuses 4 'a row for each of the 24' eval run --factors short.npy
refuses 4 '1 sample' eval s --disentanglement --limit 1
cat >one.json <<'JSON'
{"input": [8, 8, 1], "latent": 1, "likelihood": "bernoulli", "encoder": [], "decoder": [{"type": "linear", "out": 64}]}
JSON
expect_exit 0 . train --data idx --model one.json --out one --steps 2 --without-labels 1
refuses 4 'two latents' eval one --factors f.npy

# score: frames are unlike spots.
expect_exit 0 . score run --data idx --anomalous-labels 1 --clean idx --quantile 0.9 --iw 20 --out scores.csv \
  --maps maps.png --count 6 --json
check 'one JSON object' one_json_object stdout
check 'six anomalies' test "$(number anomalies)" = 6
check 'clean samples of the train split, without label 1' test "$(number clean_count)" = 80
for score in neg_elbo iw_nll mse; do
  check "$score tells them apart" test "$(inside auroc $score)" = 1.0
  check "$score: AUPR" test "$(inside aupr $score)" = 1.0
  exceeding=$(inside exceeding $score)
  holds "$score: the six exceed, of the others few" "$exceeding >= 6 && $exceeding <= 15"
done
drawn() { tail -n 1 stdout | grep -oE '"map_samples":\[[^]]*' | grep -oE '[0-9]+' | sort -n | xargs; }
check 'the frames come first' test "$(drawn)" = '24 25 26 27 28 29'
check 'a row for each' test "$(wc -l <scores.csv)" = 31
columns=index,label,anomaly,neg_elbo,iw_nll,mse,kl,latent_distance
for score in neg_elbo iw_nll mse kl latent_distance; do columns+=,exceeds_$score; done
check "what the columns are" test "$(head -n 1 scores.csv)" = "$columns"
check 'the last is an anomaly that exceeds' grep -Eq '^29,1,1,[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,1,1,1' scores.csv
check 'a PNG' test "$(head -c 8 maps.png | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a
expect_exit 0 . eval run --data idx --json # the means of the scores
mean=$(awk -F, 'NR > 1 { sum += $4 } END { print sum / (NR - 1) }' scores.csv)
holds 'the mean of neg_elbo is -ELBO' "($mean + $(number elbo)) ^ 2 < 1e-4"
expect_exit 0 . score run --with-labels 0 --out s.npy --maps m.npy --json
shape s.npy '(24,4)' && shape m.npy '(24,8,8)'
refute 'no truth, no ranking' grep -Eq 'auroc|threshold' stdout
{ labels 24 6; } | npy truth.npy '|u1' '(30,)'
expect_exit 0 '"anomalies":6' score run --anomalies truth.npy --out t.csv --json
check 'the same truth' test "$(inside auroc neg_elbo)" = 1.0
refuses 2 'exists' score run --out scores.csv
refuses 2 'end in' score run --out scores.txt
refuses 2 '--clean' score run --quantile 0.5 --out q.csv
refuses 2 'same file' score run --out a.npy --maps a.npy
refuses 2 'excludes' score run --anomalies truth.npy --anomalous-labels 1 --out q.csv
refuses 4 'both kinds' score run --with-labels 0 --anomalous-labels 1 --out q.csv
refuses 4 'for each sample' score run --with-labels 0 --anomalies truth.npy --out q.csv
refuses 2 "no label 'frame'" score run --anomalous-labels frame --out q.csv
{ labels 24 5; byte 2; } | npy two.npy '|u1' '(30,)'
refuses 4 'holds 2' score run --anomalies two.npy --out q.csv
finish
