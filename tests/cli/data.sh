# Bad data and bad models: exit 4, a sentence that names the file and the reason, and nothing left behind or lost.
. "$(dirname "$0")/lib.sh"
tiny 8 >m.json
blobs 20 8 | npy good.npy '|u1' '(20, 8, 8)'
bad() { # bad REGEX DATA [MODEL]: training refuses it, and creates no run
  refuses 4 "$1" train --data "$2" --model "${3:-m.json}" --out run --steps 1
  refute "bad data leave nothing: $2" test -e run
}

# .npy
head -c 100 good.npy >cut.npy && bad 'cut.npy' cut.npy
head -c 700 good.npy >cut2.npy && bad 'cut2.npy' cut2.npy
cat good.npy good.npy >long.npy && bad 'long.npy' long.npy
: >empty.npy && bad 'empty.npy' empty.npy
echo 'not an array, but rather a long text' >text.npy && bad 'text.npy' text.npy
npy object.npy '|O' '(2,)' </dev/null && bad 'object.npy.*object|object.npy.*pickle' object.npy
npy complex.npy '<c16' '(1, 1)' < <(head -c 16 /dev/zero) && bad 'complex.npy' complex.npy
npy none.npy '|u1' '(0, 8, 8)' </dev/null && bad 'none' none.npy
npy huge.npy '|u1' '(99999999999, 99999999999, 8)' </dev/null && bad 'huge.npy' huge.npy
npy flat.npy '|u1' '(64,)' < <(head -c 64 /dev/zero) && bad 'dimensions' flat.npy
npy negative.npy '|u1' '(-1, 8, 8)' </dev/null && bad 'negative.npy' negative.npy
npy ones.npy '|u1' '(2, 8, 8)' < <(head -c 128 /dev/zero | tr '\0' '\1') && bad '0 or 1' ones.npy
nan() { head -c 252 /dev/zero; printf '\x00\x00\xc0\x7f'; head -c $((256 * 3)) /dev/zero; }
nan | npy nan.npy '<f4' '(4, 8, 8)' && bad 'nan: sample 0 .*position 63' nan.npy
{ nan | tr '\300' '\200'; } | npy inf.npy '<f4' '(4, 8, 8)' && bad 'inf: sample 0' inf.npy
five() { for _ in $(seq 64); do printf '\x00\x00\xa0\x40'; done; }
{ five; five; } | npy five.npy '<f4' '(2, 8, 8)' && bad '\[0,1\].*5' five.npy
head -c 60 /dev/zero | npy narrow.npy '|u1' '(2, 30)' && bad '8 x 8 x 1 = 64.*30' narrow.npy

# IDX
idx() { printf '\x00\x00\x08\x03\x00\x00\x00%b\x00\x00\x00\x08\x00\x00\x00\x08' "\\x$1"; }
mkdir i
train=i/train-images-idx3-ubyte
{ idx 14; blobs 20 8; } >whole.idx
for cut in 0 3 4 15 16 100 1295; do head -c $cut whole.idx >$train && bad 'train-images' i; done
{ cat whole.idx; echo more; } >$train && bad 'more than' i
{ printf '\x00\x00\x0d\x03'; tail -c +5 whole.idx; } >$train && bad 'train-images' i
{ printf '\xff\xff\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'; } >$train && bad 'train-images' i
{ printf '\x00\x00\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'; } >$train && bad 'train-images' i
{ idx 00; } >$train && bad 'empty' i
cp whole.idx $train
printf '\x00\x00\x08\x01\x00\x00\x00\x02ab' >i/train-labels-idx1-ubyte && bad 'not one label' i
rm i/* && gzip -c whole.idx >$train.gz
for cut in 1 2 10 20 30; do
  gzip -c whole.idx | head -c $cut >$train.gz
  bad 'train-images' i
done
gzip -c whole.idx | head -c -4 >$train.gz && bad 'train-images' i
{ gzip -c whole.idx | head -c 40; head -c 40 /dev/urandom; } >$train.gz && bad 'train-images' i
gzip -c whole.idx >$train.gz
expect_exit 0 . train --data i --model m.json --out run --steps 1 # without a test split
check 'the training data are evaluated instead' grep -q '"split":"train"' run/metrics.jsonl
cp whole.idx i/t10k-images-idx3-ubyte
truncate -s -1 i/t10k-images-idx3-ubyte
rm -r run && bad 't10k-images' i # but a damaged one is no reason to go without

# Folders of images
mkdir images none unreadable mixed
bad 'none.*(no|empty)' none
echo 'hello' >none/notes.txt && bad 'none' none
expect_exit 0 . train --data good.npy --model m.json --out run --steps 1
expect_exit 0 . sample run --out images/a.png --count 1
cp images/a.png mixed/a.png
expect_exit 0 . sample run --out mixed/b.png --count 4
cp mixed/a.png mixed/c.png
cp mixed/b.png mixed/d.png
rm -r run
expect_exit 0 . dataset images --out one.npy --split train
check 'one image is a data set' test "$(npy_shape one.npy)" = '(1,12,12)'
refuses 4 'differ in size.*b.png|differ in size.*a.png' dataset mixed --out mixed.npy
refute 'nothing written' test -e mixed.npy
expect_exit 0 . train --data mixed --model m.json --out run --steps 1
rm -r run
size=$(stat -c %s images/a.png)
for cut in 0 7 8 20 33 40 $((size - 13)) $((size - 1)); do
  head -c "$cut" mixed/b.png >images/a.png
  bad 'image|images' images
done
cp mixed/b.png images/a.png
printf '\xff' | dd of=images/a.png bs=1 seek=$((size / 2)) conv=notrunc status=none
bad 'a.png' images
head -c 30 /dev/zero >images/a.png && bad 'a.png|no PNG' images
printf '\xff\xd8\xff\xe0\x00\x10JFIF\x00' >images/a.jpg && rm images/a.png && bad 'a.jpg' images
printf '\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x02\x00\x00\x00' >images/a.jpg
bad 'a.jpg' images
if [[ $(id -u) != 0 ]]; then chmod 0 unreadable; fi
bad 'unreadable' unreadable
chmod 700 unreadable
bad 'not a data set' m.json
bad 'no such file' "$(printf 'no\xff')"

# Small, but fine
head -c 1 /dev/zero | npy dot.npy '|u1' '(1, 1, 1)'
tiny 1 >dot.json
expect_exit 0 . train --data dot.npy --model dot.json --out dot --epochs 2
expect_exit 0 '"count":1' eval dot --split train --json
expect_exit 0 . sample dot --out dot.samples.npy --count 3
check '1 x 1 images' test "$(npy_shape dot.samples.npy)" = '(3,1)'
refuses 4 'two samples' interpolate dot --split train --out x.npy
refuses 4 'test split is empty' eval dot

# Models. What does not fit is named.
model() { printf '%s' "$2" >bad.json && bad "$1" good.npy bad.json; }
edit() { sed "s/$2/$3/" m.json >bad.json && bad "$1" good.npy bad.json; }
model 'bad.json' ''
model 'bad.json' '{'
model 'bad.json' '[]'
model 'bad.json' 'null'
model 'bad.json' "$(printf '[%.0s' $(seq 5000))"
edit 'lineer' '"linear"' '"lineer"'
edit 'encoder.*"outt"' '"out"' '"outt"'
edit '"out" is -12' '"out": 12' '"out": -12'
edit '"out" is 0' '"out": 12' '"out": 0'
edit '"out".*integer' '"out": 12' '"out": 1.5'
edit '"out"' '"out": 12' '"out": 99999999999999999999'
edit '"input"' '\[8, 8, 1\]' '[8, -8, 1]'
edit '"input"' '\[8, 8, 1\]' '[8, 8]'
edit '"latent"' '"latent": 3' '"latent": 0'
edit 'poison' 'bernoulli' 'poison'
edit 'rilu' '"relu"' '"rilu"'
edit 'decoder.*63' '"out": 64' '"out": 63'
edit 'encoder.*conv2d|conv2d.*encoder' '"type": "linear", "out": 12' '"type": "conv2d", "out": 2, "kernel": 9'
edit '7.*7.*2|\(7, 7, 2\)' '{"type": "linear", "out": 64}' '{"type": "reshape", "shape": [7, 7, 2]}'
head -c 2000000 /dev/zero | tr '\0' ' ' >bad.json && bad 'limit' good.npy bad.json
refuses 4 'bad.json' info bad.json

# Model files
expect_exit 0 . train --data good.npy --model m.json --out run --steps 1
model=run/model.safetensors
bytes=$(stat -c %s $model)
for cut in 0 1 7 8 9 100 $((bytes / 2)) $((bytes - 1)); do
  head -c "$cut" $model >cut.safetensors
  refuses 4 'cut.safetensors' sample cut.safetensors --out cut.png
done
{ cat $model; echo; } >cut.safetensors && refuses 4 'cut.safetensors' sample cut.safetensors --out cut.png
{ printf '\xff\xff\xff\xff\xff\xff\xff\x7f'; tail -c +9 $model; } >cut.safetensors
refuses 4 'cut.safetensors' info cut.safetensors
{ head -c -1 $model; printf 'X'; } >cut.safetensors && refuses 4 'cut.safetensors' eval cut.safetensors --data good.npy
refute 'no picture of a broken model' test -e cut.png
refuses 2 '--data is needed' eval $model
refuses 4 'run directory' sample images --out x.png

# With --force an earlier run goes only when everything that is needed for the next one is good.
cp -r run before
refuses 4 'nan' train --data nan.npy --model m.json --out run --force
refuses 4 'bad.json' train --data good.npy --model bad.json --out run --force
refuses 3 'nothing' train --data good.npy --model m.json --out run --force --device nothing
check 'the earlier run is untouched' diff -r before run

# Latents
five | head -c 24 | npy z.npy '<f4' '(2, 3)'
expect_exit 0 . decode run --latents z.npy --out z.png
five | head -c 24 | npy z2.npy '<f4' '(3, 2)' && refuses 4 '\(3, 2\)|3 x 2' decode run --latents z2.npy --out x.png
npy z0.npy '<f4' '(0, 3)' </dev/null && refuses 4 'no latents' decode run --latents z0.npy --out x.png
printf '\x00\x00\xc0\x7f%.0s' 1 2 3 | npy z1.npy '<f4' '(1, 3)' && refuses 4 'z1.npy' decode run --latents z1.npy --out x.png
refute 'no picture' test -e x.png
finish
