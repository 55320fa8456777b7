# A vq model through all the verbs: it trains, is evaluated, encodes to codes, decodes, draws, and resumes to the same bytes.
. "$(dirname "$0")/lib.sh"
cat >m.json <<'JSON'
{"name": "tinyvq", "input": [8, 8, 1], "posterior": {"type": "vq", "codes": 8, "dim": 3, "residual": 2},
 "prior": {"type": "pixelcnn", "channels": 8, "layers": 1},
 "encoder": [{"type": "conv2d", "out": 8, "kernel": 4, "stride": 4, "activation": "relu"}],
 "decoder": [{"type": "conv_transpose2d", "out": 8, "kernel": 4, "stride": 4, "activation": "relu"},
             {"type": "conv2d", "out": 1, "kernel": 3, "padding": 1}]}
JSON
blobs 80 8 | npy d.npy '|u1' '(80, 8, 8)'
shape() { check "$1 is $2, not $(npy_shape "$1")" test "$(npy_shape "$1")" = "$2"; }

expect_exit 0 '"steps":60' train --data d.npy --model m.json --out run --batch 16 --steps 60 --lr 0.01 --seed 3 --json
for file in model.safetensors metrics.jsonl report.html samples.png reconstructions.png; do
  check "the run has $file" test -s run/$file
done
check 'every evaluation has a perplexity for each level' grep -Eq '"kind":"eval".*"perplexity":\[[0-9.]+,[0-9.]+\]' run/metrics.jsonl
check 'and every logged step' grep -Eq '"kind":"train".*"perplexity":\[[0-9.]+,[0-9.]+\]' run/metrics.jsonl
check 'the report draws it' grep -q 'Perplexity of the codes' run/report.html

expect_exit 0 '"perplexity":\[' eval run --json
refuses 2 'one z for each x' eval run --iw 5
expect_exit 0 . encode run --codes --out codes.npy && shape codes.npy '(8,2,2,2)'
expect_exit 0 . encode run --out z.npy && shape z.npy '(8,12)'
expect_exit 0 . decode run --latents z.npy --out x.npy && shape x.npy '(8,1,8,8)'
expect_exit 0 . reconstruct run --count 8 --out same.npy
same x.npy same.npy
expect_exit 0 . interpolate run --count 2 --out walk.png
refuses 2 'maps of codes' traverse run --out t.png
expect_exit 0 . sample run --out a.npy --count 3 --seed 5
expect_exit 0 . sample run --out b.npy --count 9 --seed 5
data_of() { tail -c +129 "$1"; }
check 'sample i does not depend on how many there are' cmp <(data_of a.npy) <(data_of b.npy | head -c 768)
expect_exit 0 . sample run --out cold.npy --count 2 --temperature 0
check 'temperature 0: the same image' cmp <(data_of cold.npy | head -c 256) <(data_of cold.npy | tail -c 256)

expect_exit 0 . train --data d.npy --model m.json --out half --batch 16 --steps 30 --lr 0.01 --seed 3
expect_exit 0 . resume half --steps 60
same half/model.safetensors run/model.safetensors

refuses 2 'commitment' train --data d.npy --model m.json --out beta --beta 4 --steps 2
sed 's/"dim": 3/"dim": 0/' m.json >bad.json
refuses 4 '"dim" is 0' train --data d.npy --model bad.json --out bad --steps 2
tiny 8 >gaussian.json
expect_exit 0 . train --data d.npy --model gaussian.json --out gaussian --batch 16 --steps 4
refuses 2 'has no codes' encode gaussian --data d.npy --codes --out c.npy
finish
