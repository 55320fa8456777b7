# Data that are no pictures: models of the built-in tables explain them far better than the best model that takes every
# number by itself, and integers are read as they are or refused.
. "$(dirname "$0")/lib.sh"

# rows FILE COUNT WIDTH: the f32 numbers of an array, one row a line.
rows() { tail -c $(($2 * $3 * 4)) "$1" | od -An -v -tf4 -w$(($3 * 4)); }
# The nats of a row if each number had the distribution that it has in these rows, whatever the others are: no independent
# model can do better.
independent() {
  awk '{ for (i = 1; i <= NF; i++) count[i " " $i]++ }
    END { for (key in count) nats -= count[key] / NR * log(count[key] / NR); print nats }'
}
# The nats of a row of counts, its total known, if all rows had the same multinomial distribution.
one_multinomial() {
  awk 'function log_factorial(n, sum) { for (sum = 0; n > 1; n--) sum += log(n); return sum }
    { row = 0; for (i = 1; i <= NF; i++) { sum[i] += $i; row += $i; all += log_factorial($i) } total += row; all -= log_factorial(row) }
    END { for (i in sum) if (sum[i] > 0) all -= sum[i] * log(sum[i] / total); print all / NR }'
}
less() { awk "BEGIN { exit !($1 < $2) }"; } # of two expressions

# explains TABLE WIDTH BASELINE NATS TRAIN-ARGUMENTS...: -elbo is at least NATS below what the baseline says.
explains() {
  local table=$1 width=$2 baseline=$3 nats=$4 elbo best
  shift 4
  expect_exit 0 . train --data "$table" --model "$table" --out "$table" --seed 1 --quiet "$@"
  expect_exit 0 '"elbo"' eval "$table" --json
  elbo=$(json_value stdout elbo)
  expect_exit 0 . dataset "$table" --split test --out "$table.npy"
  best=$(rows "$table.npy" 512 "$width" | "$baseline")
  printf '%s: -elbo %s, without dependence %s\n' "$table" "$elbo" "$best"
  check "$table is explained" less "-($elbo)" "$best - $nats"
}
explains genes 48 independent 4 --epochs 20 --lr 3e-3
explains baskets 60 one_multinomial 8 --epochs 20 --lr 3e-3
explains sentences 20 independent 12 --epochs 20 --lr 3e-3

# What comes out is what went in: tokens, and counts.
expect_exit 0 . sample sentences --count 20 --out drawn.npy
check 'tokens' test "$(npy_shape drawn.npy)" = '(20,20)'
check 'tokens are integers from 0 to 26' test "$(rows drawn.npy 20 20 | tr -s ' ' '\n' | grep -vcE '^$|^([0-9]|1[0-9]|2[0-6])$')" = 0
expect_exit 0 . reconstruct sentences --count 200 --out again.npy
kept=$(paste <(rows sentences.npy 512 20 | head -n 200 | tr -s ' ' '\n') <(rows again.npy 200 20 | tr -s ' ' '\n') |
  awk 'NF == 2 { n++; same += $1 == $2 } END { print same / n }')
check "most letters come back: $kept" less 0.6 "$kept"
expect_exit 0 . encode genes --out codes.npy
check 'codes' test "$(npy_shape codes.npy)" = '(512,6)'
expect_exit 0 . reconstruct genes --count 3 --out means.npy
refuses 2 'cannot be a PNG' sample sentences --out drawn.png
refuses 2 'is for pictures' eval sentences --binarize dynamic
refuses 2 '1 to 1000000' train --data genes:0 --model genes --out x

# Integers of any width, in any shape, are the numbers that they are.
tokens() { for token in "$@"; do byte "$token"; head -c 7 /dev/zero; done; }
cat >tokens.json <<'JSON'
{"input": [2, 3, 1], "latent": 2, "likelihood": "categorical", "classes": 4,
 "encoder": [{"type": "embedding", "out": 3}], "decoder": [{"type": "linear", "out": 24}]}
JSON
tokens 0 1 2 3 0 1 2 3 0 1 2 3 | npy t.npy '<i8' '(2, 2, 3)'
expect_exit 0 . train --data t.npy --model tokens.json --out tokens --steps 2 --batch 1
printf '\x00\x01\x02\x03\x00\x01\x02\x03\x00\x01\x02\x03' | npy u.npy '|u1' '(2, 2, 3)'
expect_exit 0 . train --data u.npy --model tokens.json --out tokens2 --steps 2 --batch 1
same tokens/model.safetensors tokens2/model.safetensors
tokens 0 1 2 3 0 1 2 3 4 1 2 3 | npy v.npy '<i8' '(2, 2, 3)'
refuses 4 'v: sample 0 holds 4 at position 2.*tokens: integers from 0 to 3' eval tokens --data v.npy
sed 's/"categorical", "classes": 4/"poisson"/; s/24/6/; s/"embedding", "out": 3/"flatten"/' tokens.json >counts.json
expect_exit 0 . train --data v.npy --model counts.json --out counts --steps 2 --batch 1
{ tokens 0 1 2 3 0 1 2 3 4; printf '\xff\xff\xff\xff\xff\xff\xff\xff'; tokens 1 2; } | npy w.npy '<i8' '(2, 2, 3)'
refuses 4 'w: sample 0 holds -1 at position 3, a poisson likelihood takes counts' train --data w.npy --model counts.json --out x
sed 's/"poisson"/"gaussian"/' counts.json >real.json
refuses 4 'such integers are counts or tokens' train --data w.npy --model real.json --out x
refute 'nothing of what was refused' test -e x
finish
