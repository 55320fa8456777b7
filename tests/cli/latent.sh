# What a latent space is used for: arithmetic, neighbours, projections, walks, fitted priors, augmentation, compression.
. "$(dirname "$0")/lib.sh"
tiny 8 >m.json
mkdir d
# 60 images of 8 x 8 in three classes, as IDX: a class is a bright row, an image another byte of it.
pictures() {
  local i
  for ((i = 0; i < $1; i++)); do
    head -c $((i % 3 * 16)) /dev/zero
    head -c $((8 + i / 3 % 8)) /dev/zero | tr '\0' '\377'
    head -c $((56 - i % 3 * 16 - i / 3 % 8)) /dev/zero
  done
}
labels() { for ((i = 0; i < $1; i++)); do byte $((i % 3)); done; }
for set in train:60 t10k:24; do
  n=${set#*:}
  { printf '\x00\x00\x08\x03\x00\x00\x00'; byte "$n"; printf '\x00\x00\x00\x08\x00\x00\x00\x08'; pictures "$n"; } >"d/${set%:*}-images-idx3-ubyte"
  { printf '\x00\x00\x08\x01\x00\x00\x00'; byte "$n"; labels "$n"; } >"d/${set%:*}-labels-idx1-ubyte"
done
expect_exit 0 . train --data d --model m.json --out run --batch 16 --steps 300 --lr 0.01 --seed 3
shape() { check "$1 is $2, not $(npy_shape "$1")" test "$(npy_shape "$1")" = "$2"; }
data_of() { tail -c +129 "$1"; } # our headers are 128 bytes for such shapes
png_size() { head -c 24 "$1" | tail -c 8 | od -An -tx1 | tr -d ' \n'; }
check 'the report has the latents' grep -q 'class="points class2"' run/report.html

# arithmetic: a term for each word, the mean of a set where there are commas.
expect_exit 0 '"latent":\[' arithmetic run --plus 3 --out one.npy --json
expect_exit 0 . reconstruct run --out r.npy --count 4
check 'one term is a reconstruction' cmp <(data_of one.npy) <(data_of r.npy | tail -c 256)
expect_exit 0 . arithmetic run --plus '#3' 5 --minus 5 --out same.npy
same one.npy same.npy
expect_exit 0 . arithmetic run --plus label:2 1,4,7 --minus label:0 --out a.png --json
check 'three terms and the result in a row' test "$(png_size a.png)" = 0000002a0000000c
check 'one JSON object' one_json_object stdout
expect_exit 0 . reconstruct run --out r.png --count 1 --columns 1
expect_exit 0 . arithmetic run --plus label:1 --out c1.npy
expect_exit 0 . arithmetic run --plus 1,4,7,10,13,16,19,22 --out c2.npy
same c1.npy c2.npy # samples of class 1 are every third
refuses 2 'classes 0, 1, 2' arithmetic run --plus label:9 --out x.png
refuses 2 '24 samples' arithmetic run --plus 24 --out x.png
refuses 2 'neither a file nor' arithmetic run --plus nowhere.png --out x.png
refuses 2 'required' arithmetic run --minus 1 --out x.png
refuses 4 'm.json' arithmetic run --plus m.json --out x.png # a file, but no picture

# neighbors
expect_exit 0 '"queries":\[' neighbors run --query 0 label:1 --count 5 --out n.png --json
check 'one JSON object' one_json_object stdout
check 'two rows of six' test "$(png_size n.png)" = 0000003e00000016
check 'a sample is not its own neighbour' test "$(grep -o '"index":0,' stdout | wc -l)" = 0
check 'neighbours of class 1 are of it' test "$(tail -n 1 stdout | sed 's/.*label:1//' | grep -o '"label":"[0-9]"' | sort -u)" = '"label":"1"'
expect_exit 0 '^ +[0-9]+ +[0-9.]+ +[0-2]$' neighbors run --query 3 --count 1000 --out all.npy && shape all.npy '(25,1,8,8)'

# project
expect_exit 0 '"variance_shares":\[' project run --components 3 --out p.svg p.csv p.npy --json
check 'one JSON object' one_json_object stdout
shape p.npy '(24,3)'
check 'a line for each sample' test "$(wc -l <p.csv)" = 25
check 'its label is there' grep -q '^4,1,' p.csv
check 'three classes of points' test "$(grep -c 'class="points class' p.svg)" = 3
refuses 2 '3 dimensions' project run --components 4 --out q.npy
refuses 2 'exists' project run --out q.csv p.svg
refute 'and nothing was written' test -e q.csv

# traverse --dims
expect_exit 0 '"dims":\[2,0\]' traverse run --dims 2,0 --steps 3 --out t.npy --json && shape t.npy '(6,1,8,8)'
for wrong in 3, -1 0 0,x 1,,2 5000; do refuses 2 '--dims' traverse run "--dims=$wrong" --out x.png; done

# morph
expect_exit 0 '"frames":9' morph run 0 1 2 --frames 4 --out m.png --json
check 'an animation of nine frames' test "$(head -c 45 m.png | tail -c 8 | od -An -tx1 | tr -d ' ')" = 6163544c00000009
expect_exit 0 . morph run 0 1 --frames 4 --out m.npy && shape m.npy '(5,1,8,8)'
check 'from one reconstruction' cmp <(data_of m.npy | head -c 256) <(data_of r.npy | head -c 256)
check 'to another' cmp <(data_of m.npy | tail -c 256) <(data_of r.npy | head -c 512 | tail -c 256)
expect_exit 0 '"frames":12' morph run --random 3 --frames 4 --loop --spherical --scale 5 --fps 30 --seed 2 --out loop.png --json
check 'enlarged' test "$(png_size loop.png)" = 0000002800000028
expect_exit 0 . morph run label:0 label:1 --frames 2 --out frames
check 'a folder of frames' test "$(ls frames | xargs)" = '00000000.png 00000001.png 00000002.png'
refuses 2 'two points' morph run 0 --out x.png
refuses 2 '--fps' morph run 0 1 --fps 5 --out x.npy
refuses 2 '--scale' morph run 0 1 --scale 5 --out x.npy
refuses 2 'not empty.*--force' morph run 0 1 --out frames

# A prior fitted afterwards.
for sampler in aggregate gmm; do
  expect_exit 0 '"fitted_to":60' sample run --sampler $sampler --count 5 --out $sampler.npy --seed 4 --json
  expect_exit 0 . sample run --sampler $sampler --count 70 --out $sampler.more.npy --seed 4
  check "$sampler: sample i does not depend on how many there are" \
    cmp <(data_of $sampler.npy) <(data_of $sampler.more.npy | head -c 1280)
  expect_exit 0 . sample run --sampler $sampler --count 5 --out other.npy --seed 5 --force
  refute "$sampler: another seed, other samples" cmp -s $sampler.npy other.npy
done
expect_exit 0 '"fitted_to":20,"components":3' sample run --sampler gmm --components 3 --limit 20 --split test --out g.png --json
refuses 2 '70 components.*60' sample run --sampler gmm --components 70 --out x.png
refuses 2 '--components is of' sample run --components 3 --out x.png
refuses 2 '--limit is of' sample run --limit 3 --out x.png
refuses 2 'data is needed' sample run/model.safetensors --sampler gmm --out x.png

# augment
expect_exit 0 '"count":48' augment run --split test --copies 2 --out aug.npy --json
shape aug.npy '(48,1,8,8)'
shape aug.labels.npy '(48)'
check 'labels are kept' cmp <(data_of aug.labels.npy | head -c 96) <(data_of aug.labels.npy | tail -c 96)
refute 'copies differ' cmp -s <(data_of aug.npy | head -c 6144) <(data_of aug.npy | tail -c 6144)
expect_exit 0 . augment run --split test --limit 24 --temperature 0 --out cold.npy
check 'cold copies are reconstructions' cmp <(data_of cold.npy | head -c 1024) <(data_of r.npy)
expect_exit 0 . augment run --split test --out augdir
check 'a folder for each class' test "$(ls augdir | xargs)" = '0 1 2'
check 'eight images in each' test "$(ls augdir/2 | wc -l)" = 8

# compress, decompress
expect_exit 0 '"psnr":[0-9]+' compress run --out a.vkz --json
check 'one JSON object' one_json_object stdout
bits=$(json_value stdout bits_per_pixel)
check 'the rate is that of the file' awk -v b="$bits" -v s="$(stat -c %s a.vkz)" 'BEGIN { d = b - s * 8 / (24 * 64); exit !(d * d < 1e-9) }'
psnr=$(json_value stdout psnr)
expect_exit 0 '"mode":"lossy"' decompress run a.vkz --out a.npy --json && shape a.npy '(24,1,8,8)'
expect_exit 0 . compress run --step 0.01 --out fine.vkz --json
check 'a finer step, a better picture' awk -v a="$psnr" -v b="$(json_value stdout psnr)" 'BEGIN { exit !(b > a) }'
check 'and a larger file' test "$(stat -c %s fine.vkz)" -gt "$(stat -c %s a.vkz)"
mse=$(json_value stdout mse)
expect_exit 0 . eval run --json
check 'the finest is the reconstruction' awk -v a="$mse" -v b="$(json_value stdout mse)" 'BEGIN { exit !(a < 1.01 * b && b < 1.01 * a) }'
expect_exit 0 . decompress run a.vkz --out folder
check 'a file for each image' test "$(ls folder | wc -l)" = 24
expect_exit 0 '"count":2' compress run folder/00000000.png folder/00000003.png --out two.vkz --json
expect_exit 0 '"count":24' compress run --curve --out curve.vkz --json
check 'the curve is in the report' grep -q 'id="rate-distortion"' run/report.html
expect_exit 0 '"mode":"lossless"' compress run --lossless --out l.vkz --json
check 'a net rate' grep -q '"net_bits_per_pixel":' stdout
expect_exit 0 . decompress run l.vkz --out l.npy
expect_exit 0 . dataset d --split test --out original.npy
check 'without loss' cmp <(data_of l.npy) <(data_of original.npy)
expect_exit 0 . compress run folder/00000001.png --lossless --out one.vkz
expect_exit 0 . decompress run one.vkz --out back
same back/00000000.png folder/00000001.png

cp -r run other
expect_exit 0 . resume other --steps 301
refuses 4 'another model' decompress other a.vkz --out x.npy
size=$(stat -c %s a.vkz)
for cut in 0 3 4 20 60 $((size - 5)) $((size - 1)); do
  head -c "$cut" a.vkz >cut.vkz
  refuses 4 'cut.vkz.*(vkz|truncated)' decompress run cut.vkz --out x.npy
done
for at in 8 30 $((size / 2)) $((size - 2)); do
  cp a.vkz bad.vkz
  printf '\x5a' | dd of=bad.vkz bs=1 seek="$at" conv=notrunc status=none
  cmp -s a.vkz bad.vkz || refuses 4 'bad.vkz.*(damaged|truncated)' decompress run bad.vkz --out x.npy
done
refuses 4 'not a .vkz' decompress run m.json --out x.npy
refuses 4 "12 x 22" compress run r.png --lossless --out x.vkz
refuses 2 'lossless' compress run --lossless --step 3 --out x.vkz
refuses 2 'end in .vkz' compress run --out x.zip
refuses 2 'run directory' compress run/model.safetensors --data d --curve --out x.vkz
refuses 2 'step' compress run --step 0 --out x.vkz
refuses 2 'exists' compress run --out a.vkz
refuses 4 'x.vkz' decompress run x.vkz --out x.npy
refute 'nothing was written' test -e x.npy -o -e x.vkz -o -e x.png
finish
