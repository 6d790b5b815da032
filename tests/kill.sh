#!/bin/sh
# kill -9 at random places of every verb that writes: what is there under a final name is whole, and the same command finishes the work.
#   kill.sh CLIPX [N] [VERB...]     N kills of each verb (100); VERB: some of the names below, default all
#   KILL_BY=full                    a disk of random size that is too small, in place of a kill (needs leave to mount one)
#   KILL_SEED=S                     other places (default 1)     KILL_KEEP=1 keeps the folder of a failure
# A place is before one system call of those by which a run changes files: strace sends SIGKILL there. The calls are those of a run that
# nobody interrupted, each of which is as likely. Where strace is missing or may not trace, it is a random time. After a kill
#   - every file under its final name is absent, as it was before, or, byte for byte, as the uninterrupted run writes it;
#   - the same command (train: with --resume latest where there is a checkpoint) exits with 0 and leaves the files of the uninterrupted run, with its bytes,
#     no temporary file, no lock of a folder.
# A full disk also is an error that names the file, with exit code 1, after which nothing temporary is there.
# Every second kill meets the results of an earlier run with other options, where a verb replaces those.
# A file of metrics is appended to, and has times in it, as the report and the events have: they are compared without.
set -eu
clipx=$(realpath "$1") n=${2:-100}
shift $(($# < 2 ? $# : 2))
wanted=$*
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
unset CLIPX_MODEL || true
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
finish() {
  status=$?
  if mountpoint -q full 2> /dev/null; then umount full; fi
  if [ "$status" -ne 0 ] && [ "${KILL_KEEP:-}" ]; then echo "kept: $work"; else rm -rf "$work"; fi
}
trap finish EXIT
trap 'exit 130' INT TERM
cd "$work"

# ---- small data

# texts: as many lines of words as asked for, of one seed
texts() { awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed); split("a the red blue cat dog photo drawing of in on house tree New York sun", w, " ")
  for (i = 0; i < n; ++i) { s = "a"; for (k = 0; k < 3 + rand() * 6; ++k) s = s " " w[1 + int(rand() * 16)]; print s " " i } }'; }
# image FILE NUMBER: 40 x 32 pixels of this folder's documents
image() { { printf 'P6 40 32 255\n'; cat "$here"/docs/*.md | tail -c "+$((1 + $2 * 997))" | head -c 3840; } > "$1"; }
mkdir images old-images
for i in 0 1 2 3 4 5 6 7 8 9 10 11; do image "images/$i.ppm" "$i"; done
for i in 20 21 22; do image "old-images/$i.ppm" "$i"; done
texts 400 1 > texts.txt
texts 400 5 > earlier.txt
texts 30000 6 > many.txt  # more than 1 MiB of counts
texts 30 2 > few.txt
texts 30 3 > other.txt
printf 'New_York\t400\nthe_sun\t90\n' > titles.tsv
for shard in 0 1 2; do
  mkdir sample
  for i in 0 1 2 3 4 5 6 7; do
    k=$((shard * 8 + i))
    image "sample/$k.jpg" $((k % 20))
    sed -n "$((k + 1))p" texts.txt > "sample/$k.txt"
    printf '{"url": "http://x/%d"}' "$k" > "sample/$k.json"
  done
  (cd sample && tar --format=ustar --sort=name --owner=0 --group=0 --mtime=@0 -cf "../pool-$shard.tar" -- *)
  rm -r sample
done
(cd images && tar --format=ustar --owner=0 --group=0 --mtime=@0 -cf ../eval.tar --transform 's/ppm$/jpg/' 3.ppm)
"$clipx" tokenizer train --captions texts.txt --size 540 --out words > log 2>&1 || { cat log; exit 1; }
cp -r words config
cat > config/open_clip_config.json << 'JSON'
{"model_cfg": {"embed_dim": 24, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
 "text_cfg": {"context_length": 16, "vocab_size": 540, "width": 64, "heads": 1, "layers": 1}}}
JSON
# A data set that takes batches of 8: 24 pairs.
training="--train-data pool-{0..2}.tar --model config --batch-size 8 --epochs 2 --warmup 1 --lr 1e-3 --threads 2 --workers 2 --logs out
  --save-frequency 0.34 --keep-last 100 --log-every-n-steps 1 --ema 0.9 --hold-out 10 --seed 3 --name run"
# shellcheck disable=SC2086  # lists of words, here and below
"$clipx" train ${training%--logs*} --logs made --name model > log 2>&1 || { cat log; exit 1; }
cp -r made/model/model model
"$clipx" curate queries --text texts.txt --unigram-min 5 --bigram-pmi 2 --out queries.txt > /dev/null
"$clipx" curate match --queries queries.txt --data texts.txt --out matched > /dev/null
cat > pipeline.json << 'JSON'
{"data": "pool-{0..2}.tar", "out": "out", "samples_per_shard": 5, "steps": [{"step": "filter", "basic": {"min_side": 10, "min_words": 2}},
 {"step": "dedup"}, {"step": "semantic", "cosine": 0.9999, "cells": 2}, {"step": "decontaminate", "against": "eval.tar"},
 {"step": "balance", "queries": "queries.txt", "t": 50}]}
JSON

# ---- the verbs: each writes to out, a file or a folder

verbs="convert embed embed-texts preprocess tokenizer ngrams queries match balance filter dedup decontaminate run train resume"
# command VERB: its arguments.  earlier VERB: those of an earlier run whose results it replaces; none where it replaces none
command_of() {
  case $1 in
    convert) echo "convert --model model --layout hf --out out" ;;
    embed) echo "embed --images images --model model --out out/e.npy" ;;
    embed-texts) echo "embed --texts few.txt --model model --out out/e.npy" ;;
    preprocess) echo "preprocess images --model model --out out/e.npy" ;;
    tokenizer) echo "tokenizer train --captions texts.txt --size 540 --out out" ;;
    ngrams) echo "ngrams --train-data many.txt --min-count 2 --max-n 3 --memory 1 --out out/ngrams.tsv" ;;
    queries) echo "curate queries --text many.txt --titles titles.tsv --unigram-min 5 --bigram-pmi 2 --memory 1 --out out/q" ;;
    match) echo "curate match --queries queries.txt --data pool-{0..2}.tar few.txt --matches --threads 2 --out out" ;;
    balance) echo "curate balance --counts matched/counts.tsv --t 30 --data pool-{0..2}.tar few.txt --threads 2 --out out" ;;
    filter) echo "curate filter --data pool-{0..2}.tar --min-words 6 --samples-per-shard 5 --threads 2 --out out" ;;
    dedup) echo "curate dedup --data pool-{0..2}.tar --samples-per-shard 5 --threads 2 --out out" ;;
    decontaminate) echo "curate decontaminate --data pool-{0..2}.tar --against eval.tar --samples-per-shard 5 --threads 2 --out out" ;;
    run) echo "curate run pipeline.json --model model --threads 2" ;;
    train) echo "train $training" ;;
    resume) echo "train $training --resume latest" ;;
  esac
}
earlier() {
  case $1 in
    convert) echo "convert --model model --layout hf --dtype bf16 --out out" ;;
    embed | preprocess) command_of "$1" | sed 's| images | old-images |' ;;
    embed-texts) command_of "$1" | sed 's/few/other/' ;;
    tokenizer) echo "tokenizer train --captions earlier.txt --size 540 --out out" ;;
    ngrams | queries) command_of "$1" | sed 's/many.txt/texts.txt/' ;;
    match) command_of "$1" | sed 's/few/other/' ;;
    balance) command_of "$1" | sed 's/--t 30/--t 20/' ;;
    filter) command_of "$1" | sed 's/words 6/words 5/; s/shard 5/shard 3/' ;;
    dedup | decontaminate) command_of "$1" | sed 's/shard 5/shard 3/' ;;
    run) command_of "$1" | sed 's/pipeline/earlier/' ;;
  esac
}
sed 's/"samples_per_shard": 5/"samples_per_shard": 3/; s/"t": 50/"t": 40/' pipeline.json > earlier.json

# prepared VERB which: out as the command finds it
prepared() {
  rm -rf out
  if [ "$2" ] && [ -d before ]; then cp -rp before out; else mkdir out; fi
}
# again VERB: the command after a kill
again() {
  case $1 in
    train) if ls out/run/checkpoints/*.safetensors > /dev/null 2>&1; then command_of resume; else command_of train; fi ;;
    *) command_of "$1" ;;
  esac
}
# Metrics without the times, the report and the events without what they are drawn from.
seen() {  # folder: what is compared
  (cd "$1" && find . -type f ! -name '*.tmp.*' ! -name .clipx.lock ! -name 'events.*' ! -name report.html ! -name loss.svg \
    ! -name out.log ! -name params.txt ! -path '*/state/*' ! -path '*.state/*' | sort)
}
same() {  # file file: equal
  case $1 in
    */metrics.jsonl)
      # an evaluation is written again if the kill came between it and the next checkpoint
      for f in "$1" "$2"; do sed 's/"\(pairs_per_second\|data_wait\)":[^,}]*//g' "$f" | uniq > "$f.plain"; done
      if cmp -s "$1.plain" "$2.plain"; then r=0; else r=1; fi
      rm -f "$1.plain" "$2.plain"
      return $r ;;
    *) cmp -s "$1" "$2" ;;
  esac
}
failures=0
wrong() {
  failures=$((failures + 1))
  echo "WRONG: $verb, kill $kill ($place): $1"
  if [ "${KILL_KEEP:-}" ]; then exit 1; fi
}

# ---- places

calls=openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,fallocate,mkdir,rmdir,flock,link,linkat,copy_file_range
by=${KILL_BY:-kill}
tracing=
if command -v strace > /dev/null 2>&1 && strace -qq -f -e trace=none true > /dev/null 2>&1; then tracing=1; fi
if [ "$by" = full ]; then
  tracing=
  mkdir full
  { mount -t tmpfs -o size=64k none full && umount full; } 2> /dev/null || { echo "skipped: no disk can be mounted"; exit 77; }
fi
random() { awk -v seed="$((${KILL_SEED:-1} * 100003 + kill * 101 + $(echo "$verb" | cksum | cut -d' ' -f1) % 1000))" -v n="$1" \
  'BEGIN { srand(seed); rand(); print 1 + int(rand() * n) }'; }
# Lists each call that changes files, as NAME K: the K-th of that name in its thread.
list_calls() {
  # shellcheck disable=SC2046
  strace -f -qq -e "trace=$calls" -o trace "$clipx" $(command_of "$verb") > /dev/null 2>&1 || true
  # opening for reading, writing to the terminal, and what comes before the first file is opened for writing, change nothing
  awk '{ name = $2; sub(/\(.*/, "", name); if (name !~ /^[a-z0-9_]+$/ || /resumed>/) next; k = ++count[$1 " " name]
         if (name == "openat" && /O_(WRONLY|RDWR|CREAT)/ && !/\/dev\/|\/sys\//) began = 1
         if (name == "write" && $2 ~ /^write\([12],/) next
         if (name == "openat" && !/O_(WRONLY|RDWR|CREAT)/) next
         if (name == "mkdir") began = 1
         if (began) print name, k }' trace > places
}
# Runs the command on a disk that is too small for its results; the files come back to the folder.
filled_run() {
  room=$(du -sk whole | cut -f1)
  place="$(random "$room") of $room KiB free"
  mkdir -p full
  mount -t tmpfs -o "size=$(($(du -sk out | cut -f1) + ${place%% *}))k" none full
  cp -rp out/. full
  if [ $((kill % 3)) -eq 0 ]; then
    place="no room"
    dd if=/dev/zero of=full/filler bs=4k 2> /dev/null || true
  fi
  mv out full.at
  ln -s full out
  # shellcheck disable=SC2046
  if "$clipx" $(command_of "$verb") > log 2>&1; then code=0; else code=$?; fi
  rm -rf out full.at full/filler
  cp -rp full out
  umount full
}
check_after_full() {
  if [ "$code" -eq 0 ]; then
    case $verb in train | resume) grep -q "no checkpoint at step" log || check_after_rest ;; *) check_after_rest ;; esac
    return
  fi
  [ "$code" -eq 1 ] || wrong "exit code $code: $(tail -2 log | tr '\n' ' ')"
  grep -q "out.*No space left on device" log || wrong "no error that names a file and the full disk: $(tail -2 log | tr '\n' ' ')"
  find out -name '*.tmp.*' -o -name .clipx.lock > left
  while read -r file; do
    if [ "$old" ] && [ -e "before/${file#out/}" ]; then continue; fi  # of the killed run before, which this one did not reach
    wrong "left over: $file"
  done < left
}
killed_run() {  # runs the command and kills it at a place
  # shellcheck disable=SC2046
  if [ "$tracing" ]; then
    case $((kill % 4)) in 0 | 3) grep -v '^write ' places > some || cp places some ;; *) cp places some ;; esac  # most are writes
    place=$(sed -n "$(random "$(wc -l < some)")p" some)
    strace -f -qq -e "trace=${place% *}" -e "inject=${place% *}:signal=KILL:when=${place#* }" -o /dev/null \
      "$clipx" $(command_of "$verb") > /dev/null 2>&1 || true
  else
    place=$(awk -v t="$took" -v k="$(random 1000)" 'BEGIN { printf "%.3f", t * k / 1000 }')
    timeout -s KILL "$place" "$clipx" $(command_of "$verb") > /dev/null 2>&1 || true
  fi
}

# ---- one verb

check_after_kill() {
  seen out > now
  while read -r file; do
    same "out/$file" "whole/$file" 2> /dev/null && continue
    if [ "$old" ] && cmp -s "out/$file" "before/$file" 2> /dev/null; then continue; fi
    case $file in
      */metrics.jsonl) continue ;;  # appended to, a line at a time
      ./run/checkpoints/*)  # the last is written at the end of an epoch and at that of the run, with another place in the data
        [ "$(stat -c %s "out/$file")" -ne "$(stat -c %s "whole/$file")" ] || continue ;;
      ./run/model/open_clip_model.safetensors)  # of an earlier step: whole, if it can be opened
        if [ ! -e out/run/model/open_clip_config.json ] || "$clipx" classify images/0.ppm --labels a,b --model out/run/model > log 2>&1
        then continue; fi ;;
    esac
    wrong "$file is neither absent, nor as before, nor as it will be"
  done < now
}
check_after_rest() {
  left=$(find out -name '*.tmp.*' -o -name .clipx.lock -o -name '*.part.*' -o -name '*.state' | head -3)
  [ -z "$left" ] || wrong "left over: $left"
  seen out > now
  if ! cmp -s now whole.files; then wrong "other files than those of an uninterrupted run: $(diff now whole.files | head -5 | tr '\n' ' ')"; fi
  while read -r file; do same "out/$file" "whole/$file" || wrong "$file differs from that of an uninterrupted run"; done < now
}
one_verb() {
  verb=$1 kill=0 place=start old=
  rm -rf out whole before
  if [ "$(earlier "$verb")" ]; then
    mkdir out
    # shellcheck disable=SC2046
    "$clipx" $(earlier "$verb") > log 2>&1 || { cat log; wrong "the earlier run failed"; return; }
    mv out before
  fi
  if [ "$verb" = resume ]; then  # a run that was killed behind its first checkpoint
    mkdir out
    # shellcheck disable=SC2046
    "$clipx" $(command_of train) > log 2>&1 &
    until ls out/run/checkpoints/*.safetensors > /dev/null 2>&1; do sleep 0.01; done
    kill -9 $!
    wait $! 2> /dev/null || true
    mv out before
    old=1
  fi
  prepared "$verb" "$old"
  began=$(date +%s.%N)
  # shellcheck disable=SC2046
  "$clipx" $(command_of "$verb") > log 2>&1 || { cat log; wrong "the uninterrupted run failed"; return; }
  took=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }')
  mv out whole
  seen whole > whole.files
  if [ "$tracing" ]; then
    prepared "$verb" "$old"
    list_calls
  fi
  hit=0
  while [ "$kill" -lt "$n" ]; do
    kill=$((kill + 1))
    old=$({ [ $((kill % 2)) -eq 0 ] || [ "$verb" = resume ]; } && [ -d before ] && echo 1 || true)
    prepared "$verb" "$old"
    if [ "$by" = full ]; then
      filled_run
      check_after_full
    else killed_run; fi
    seen out > now
    if ! cmp -s now whole.files || [ "$(find out -name '*.tmp.*' -o -name .clipx.lock | head -1)" ]; then hit=$((hit + 1)); fi
    check_after_kill
    # shellcheck disable=SC2046
    if "$clipx" $(again "$verb") > log 2>&1; then check_after_rest; else wrong "the same command failed: $(tail -2 log | tr '\n' ' ')"; fi
  done
  echo "$verb: $n kills${tracing:+ at $(wc -l < places) places}, $hit with the work undone; $failures wrong so far"
}
for verb in $verbs; do
  case " ${wanted:-$verbs} " in *" $verb "*) one_verb "$verb" ;; esac
done
[ "$failures" -eq 0 ] || { echo "kill: $failures wrong"; exit 1; }
echo "kill: ok"
