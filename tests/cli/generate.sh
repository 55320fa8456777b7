# What a trained run gives: pictures, arrays, figures, the same for the same seed and in agreement with each other.
. "$(dirname "$0")/lib.sh"
tiny 8 >m.json
blobs 80 8 | npy d.npy '|u1' '(80, 8, 8)'
expect_exit 0 '"steps":200' train --data d.npy --model m.json --out run --batch 16 --steps 200 --lr 0.01 --seed 3 --json
check 'one JSON object' one_json_object stdout
is_png() { check "$1 is a PNG" test "$(head -c 8 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a; }
png_size() { head -c 24 "$1" | tail -c 8 | od -An -tx1 | tr -d ' \n'; } # width and height, as they are in the file
shape() { check "$1 is $2, not $(npy_shape "$1")" test "$(npy_shape "$1")" = "$2"; }

# A run is complete and its report stands alone.
for file in config.json model.safetensors best.safetensors metrics.jsonl profile.json report.html; do
  check "the run has $file" test -s run/$file
done
for picture in run/*.png run/samples/*.png; do is_png "$picture"; done
check 'the pictures are in the report' grep -q 'data:image/png;base64' run/report.html
refute 'the report fetches nothing' grep -Eq '(src|href)="?https?:' run/report.html

# sample
expect_exit 0 '"count":64' sample run --out a.png --seed 5 --json
check 'one JSON object' one_json_object stdout
is_png a.png
expect_exit 0 . sample run --out b.png --seed 5
same a.png b.png
expect_exit 0 . sample run --out c.png --seed 6
refute 'another seed, other samples' cmp -s a.png c.png
check '8 x 8 images of 8 pixels, 2 between' test "$(png_size a.png)" = 0000005200000052
expect_exit 0 . sample run/model.safetensors --out file.png --seed 5
same a.png file.png
expect_exit 0 . sample run --out one.npy --count 1 && shape one.npy '(1,1,8,8)'
expect_exit 0 . sample run --out many.npy --count 1000 && shape many.npy '(1000,1,8,8)'
expect_exit 0 . sample run --out many.png --count 1000 --columns 40 && is_png many.png
data_of() { tail -c +129 "$1"; } # our headers are 128 bytes for such shapes
check 'sample i does not depend on how many there are' cmp <(data_of one.npy) <(data_of many.npy | head -c 256)
expect_exit 0 . sample run --out cold.npy --count 2 --temperature 0
check 'temperature 0: the same image' cmp <(data_of cold.npy | head -c 256) <(data_of cold.npy | tail -c 256)
refuses 2 'exists.*--force' sample run --out a.png
expect_exit 0 . sample run --out a.png --force --seed 6
same a.png c.png

# reconstruct = decode(encode)
expect_exit 0 '"count":8' reconstruct run --out r.npy --count 8 --json
shape r.npy '(8,1,8,8)'
expect_exit 0 '"latent":3' encode run --out z.npy --json
shape z.npy '(8,3)' # the test split is the last tenth
expect_exit 0 . decode run --latents z.npy --out back.npy
same r.npy back.npy
expect_exit 0 . decode run --latents z.npy --out back.png && is_png back.png
expect_exit 0 . encode run --split train --out train.npy && shape train.npy '(72,3)'
expect_exit 0 . reconstruct run --data d.npy --split train --count 5 --columns 3 --out r.png && is_png r.png

# interpolate, traverse
expect_exit 0 '"pairs":4' interpolate run --out i.png --json && is_png i.png
expect_exit 0 . interpolate run --out i.npy --count 2 --steps 5 && shape i.npy '(10,1,8,8)'
check 'it begins at the first reconstruction' cmp <(data_of i.npy | head -c 256) <(data_of r.npy | head -c 256)
expect_exit 0 . interpolate run --out s.npy --count 2 --steps 5 --spherical && shape s.npy '(10,1,8,8)'
expect_exit 0 '"dims":\[' traverse run --out t.png --json && is_png t.png
expect_exit 0 . traverse run --out t.npy --dims 2 --steps 4 && shape t.npy '(8,1,8,8)'
expect_exit 0 . traverse run --index 2 --out t2.npy && shape t2.npy '(27,1,8,8)'
refuses 2 'index 8' traverse run --index 8 --out t3.npy

# eval
expect_exit 0 '"count":8' eval run --json
check 'one JSON object' one_json_object stdout
number() { json_value stdout "$1"; }
close() { awk -v a="$1" -v b="$2" -v e="$3" 'BEGIN { exit !(a - b <= e && b - a <= e) }'; }
elbo=$(number elbo)
check 'elbo = -(nll + kl)' close "$elbo" "$(awk -v n="$(number nll)" -v k="$(number kl)" 'BEGIN { print -(n + k) }')" 0.001
check 'nats per sample' awk -v e="$elbo" 'BEGIN { exit !(e < 0 && e > -64 * 0.7) }'
check 'best of the run' close "$elbo" "$(grep '"kind":"eval"' run/metrics.jsonl | tail -n 1 | grep -o '"elbo":[^,]*' | cut -d: -f2)" 1
expect_exit 0 'iw_nll' eval run --iw 64 --json
check 'the importance bound is tighter' awk -v i="$(number iw_nll)" -v e="$(number elbo)" 'BEGIN { exit !(i <= -e + 0.5) }'
expect_exit 0 'elbo +-' eval run --batch 3 --iw 5
check 'text, one figure a line' grep -Eq '^iw_nll +[0-9]' stdout
expect_exit 0 . eval run --split train --batch 7 --seed 1 --quiet
check 'quiet' test ! -s stderr

# info, dataset
expect_exit 0 'encoder\.layers\.0\.weight' info run
expect_exit 0 '"total":[0-9]+' info run/model.safetensors --json --batch 8 --count 100
expect_exit 0 '"factor_names":\["shape"' dataset sprites:64 --limit 10 --out sprites.npy --json
shape sprites.npy '(10,64,64,3)'
shape sprites.factors.npy '(10,6)'
shape sprites.labels.npy '(10)'
refuses 2 'exists' dataset sprites --out sprites.npy
rm sprites.npy && refuses 2 'exists' dataset sprites --out sprites.npy # nor what comes with it
expect_exit 0 . dataset d.npy --out seen.npy && shape seen.npy '(72,8,8)'
cp seen.npy seen_test.npy # so that the train split is all of it
expect_exit 0 . dataset seen.npy --out again.npy --json
same seen.npy again.npy
first=$(json_value stdout fingerprint)
cp again.npy again_test.npy
expect_exit 0 . dataset again.npy --out once_more.npy --json
check 'what the tool wrote is what it reads' test "$first" = "$(json_value stdout fingerprint)"
expect_exit 0 . dataset d.npy --binarize fixed --seed 4 --out bits.npy
check 'bits' test "$(data_of bits.npy | od -An -v -tx4 | tr -s ' ' '\n' | sort -u | xargs)" = '00000000 3f800000'

# Beyond images: rows of numbers of any size, a Gaussian whose width is learned.
cat >rows.json <<'JSON'
{"name": "rows", "input": [1, 5, 1], "latent": 2, "likelihood": "gaussian", "sigma": "learned",
 "encoder": [{"type": "linear", "out": 16, "activation": "tanh"}],
 "decoder": [{"type": "linear", "out": 16, "activation": "tanh"}, {"type": "linear", "out": 5}]}
JSON
row() { printf '\x00\x00\x80\xc0\x00\x00\x00\x3f\x00\x00\x20\x41\x00\x00\x00\x00\x00\x00%b\x40' "\\x$1"; }
for i in $(seq 60); do row "$((i % 8))0"; done | npy rows.npy '<f4' '(60, 5)'
expect_exit 0 . train --data rows.npy --model rows.json --out rows --steps 300 --lr 0.01 --batch 32
check 'a report without pictures' test -s rows/report.html
refute 'no pictures of numbers' test -e rows/samples.png
expect_exit 0 . sample rows --out rows.samples.npy --count 7 && shape rows.samples.npy '(7,5)'
refuses 2 'cannot be a PNG' sample rows --out rows.png
expect_exit 0 . reconstruct rows --out rows.back.npy && shape rows.back.npy '(6,5)'
expect_exit 0 . eval rows --json
before=$(grep '"kind":"eval"' rows/metrics.jsonl | head -n 1 | grep -o '"elbo":[^,]*' | cut -d: -f2)
check "it has learned: $before to $(number elbo)" awk -v a="$before" -v b="$(number elbo)" 'BEGIN { exit !(b > a) }'
finish
