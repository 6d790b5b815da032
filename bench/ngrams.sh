#!/bin/sh
# CLIP and Visual N-Grams (Li et al. 2017), compared as the CLIP paper's table 1 does it, but with the same image tower, pairs, batches
# and steps: trains each loss with each seed, evaluates every set, and prints accuracy as mean +- half the spread over the seeds.
#   sh bench/ngrams.sh CLIPX OUT
# Of the environment, with defaults in brackets: PAIRS (shards of pairs), FIELD (their caption field), EVAL (a folder of evaluation
# sets: NAME/test.tar, NAME/classes.txt, NAME/templates.txt), MODEL (a configuration [bench/ngrams_model.json]), TOKENIZER (CLIP's
# [models/default]), EPOCHS [8], BATCH [256], LR [1e-3], SEEDS ["1 2 3"], MIN_COUNT [20], TRAIN (more options of clipx train).
# What was trained is kept in OUT: the same command goes on where it was stopped.
set -eu
clipx=$1 out=$2
here=$(cd "$(dirname "$0")/.." && pwd)
pairs=${PAIRS:-$here/../shared/data/pairs/train-{0000..0008\}.tar}
field=${FIELD:-captions} eval=${EVAL:-$here/../shared/data/eval} model=${MODEL:-$here/bench/ngrams_model.json}
tokenizer=${TOKENIZER:-$here/models/default} epochs=${EPOCHS:-8} batch=${BATCH:-256} lr=${LR:-1e-3} seeds=${SEEDS:-1 2 3} min=${MIN_COUNT:-20}
mkdir -p "$out"
[ -e "$out/ngrams.tsv" ] ||
  "$clipx" ngrams --train-data "$pairs" --caption-field "$field" --max-n 5 --min-count "$min" --out "$out/ngrams.tsv"

for seed in $seeds; do
  for loss in contrastive ngram-naive ngram-jm; do
    name=$loss-$seed resume=
    [ -e "$out/$name/done" ] && continue
    [ -d "$out/$name/checkpoints" ] && [ "$(ls "$out/$name/checkpoints")" ] && resume="--resume latest"
    case $loss in ngram-*) text="--ngrams $out/ngrams.tsv" ;; *) text="--tokenizer $tokenizer" ;; esac
    # shellcheck disable=SC2086  # several options
    "$clipx" train --train-data "$pairs" --caption-field "$field" --model "$model" --loss "$loss" $text --batch-size "$batch" \
      --epochs "$epochs" --lr "$lr" --warmup 100 --grad-clip-norm 1 --seed "$seed" --logs "$out" --name "$name" $resume ${TRAIN:-}
    touch "$out/$name/done"
  done
done

results=$out/results.tsv
: > "$results"
for set in "$eval"/*/; do
  name=$(basename "$set")
  [ -e "$set/classes.txt" ] || continue
  for seed in $seeds; do
    for loss in contrastive ngram-naive ngram-jm; do
      templates=
      [ "$loss" = contrastive ] && templates="--templates $set/templates.txt"
      # shellcheck disable=SC2086  # several options
      acc=$("$clipx" eval zeroshot --data "$set/test.tar" --classes "$set/classes.txt" $templates --model "$out/$loss-$seed/model" --json |
        sed -n 's/.*"acc1": *\([0-9.e-]*\).*/\1/p')
      printf '%s\t%s\t%s\t%s\n' "$name" "$loss" "$seed" "$acc" >> "$results"
    done
  done
done

echo "Zero-shot accuracy in %, $epochs epochs of $pairs in batches of $batch, seeds $seeds: mean +- half the spread"
awk -F'\t' '{ k = $1 SUBSEP $2; if (!(($1) in seen)) { seen[$1] = 1; order[++sets] = $1 }
              v = 100 * $4; n[k]++; sum[k] += v; if (n[k] == 1 || v < low[k]) low[k] = v; if (n[k] == 1 || v > high[k]) high[k] = v }
            END { print "| | CLIP | Visual N-Grams, naive | Visual N-Grams, Jelinek-Mercer |"; print "| --- | ---: | ---: | ---: |"
                  split("contrastive ngram-naive ngram-jm", losses, " ")
                  for (s = 1; s <= sets; ++s) { row = "| " order[s] " |"
                    for (l = 1; l <= 3; ++l) { k = order[s] SUBSEP losses[l]
                      row = row sprintf(" %.1f +- %.1f |", sum[k] / n[k], (high[k] - low[k]) / 2) }
                    print row } }' "$results"
echo
echo "Published, of models and data of another size (CLIP paper, table 1; ViT-L/14 at 336 pixels): not to be compared with the above"
echo "| | CLIP | Visual N-Grams |"
echo "| --- | ---: | ---: |"
echo "| aYahoo | 98.4 | 72.4 |"
echo "| ImageNet | 76.2 | 11.5 |"
echo "| SUN | 58.5 | 23.0 |"
