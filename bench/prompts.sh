#!/bin/sh
# What prompts are worth (CLIP paper, section 3.1.4): for each evaluation set one table of `clipx eval prompts`, with bare class names,
# a template, a context, and templates averaged as embeddings and as probabilities; then the same for words with two senses
# (bench/polysemy.tsv), without and with a context that tells which.
#   sh bench/prompts.sh CLIPX [MODEL]
# EVAL: a folder of evaluation sets, NAME/test.tar, NAME/classes.txt, NAME/templates.txt [../shared/data/eval].
set -eu
clipx=$1 model=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
eval=${EVAL:-$here/../../shared/data/eval}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

prompts() { "$clipx" eval prompts ${model:+--model "$model"} "$@"; }

for set in "$eval"/*/; do
  name=$(basename "$set")
  [ -e "$set/classes.txt" ] || continue
  case $name in
    caltech101) context="a type of object" ;;
    cifar10) context="a type of animal or vehicle" ;;
    emoji-openmoji) context="a type of emoji" ;;
    *) context=${CONTEXT:-a type of object} ;;
  esac
  printf '\n%s\n' "$name"
  prompts --data "$set/test.tar" --classes "$set/classes.txt" --templates "$set/templates.txt" --context "$context"
done

# The images of each sense, in one shard; line n of words and contexts is label n.
mkdir "$work/shard"
sets=$(sed '/^#/d' "$here/polysemy.tsv" | cut -f 3 | sort -u)
for name in $sets; do
  mkdir "$work/$name"
  tar -xf "$eval/$name/test.tar" -C "$work/$name"
done
label=0
sed '/^#/d' "$here/polysemy.tsv" > "$work/senses"
while IFS="$(printf '\t')" read -r word context name class; do
  echo "$word" >> "$work/words"
  echo "$context" >> "$work/contexts"
  line=$(grep -nxF -- "$class" "$eval/$name/classes.txt" | cut -d: -f 1) ||
    { echo "prompts.sh: $eval/$name/classes.txt has no class \"$class\"" >&2; exit 1; }
  own=$((line - 1))
  keys=$(cd "$work/$name" && { grep -lx -- "$own" ./*.cls || grep -lE "\"cls\": *$own[,}]" ./*.json; } 2> /dev/null) || true
  [ "$keys" ] || { echo "prompts.sh: no images of \"$class\" in $eval/$name" >&2; exit 1; }
  for key in $keys; do
    key=${key#./} key=${key%.*}
    cp "$work/$name/$key.jpg" "$work/shard/$label-$name-$key.jpg"
    echo "$label" > "$work/shard/$label-$name-$key.cls"
  done
  label=$((label + 1))
done < "$work/senses"
(cd "$work/shard" && tar --format=ustar --sort=name -cf ../senses.tar ./*)
printf '\nwords with two senses\n'
prompts --data "$work/senses.tar" --classes "$work/words" --contexts "$work/contexts" --templates "$eval/emoji-openmoji/templates.txt"
