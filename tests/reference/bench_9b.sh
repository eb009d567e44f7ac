#!/bin/sh
# The 9B shape in bf16, q8 and q4 on a GPU, transformers beside it on the same card.
#
#   tests/reference/bench_9b.sh GLYPH PYTHON OUT
#
# GLYPH is the binary built with --features cuda; PYTHON has torch and transformers, or is - to leave transformers out,
# when any python3 makes the table; OUT gets a JSON and a log of each part and table.md. SHAPE, DEVICE, PROMPT and
# SECONDS_EACH change what is measured and how long a part may take (the first, with transformers, twice as long):
# SHAPE=mini DEVICE=cpu tries the script on any machine. A part that fails does not stop the others; the script then
# ends with 1.
set -u
glyph=${1:?the binary} python=${2:?a Python, or - for none} out=${3:?a directory}
shape=${SHAPE:-9b} device=${DEVICE:-cuda} prompt=${PROMPT:-2048} seconds=${SECONDS_EACH:-600}
mkdir -p "$out"
# What another run has left there is no row of this one.
rm -f "$out/bf16.json" "$out/f32.json" "$out/q8.json" "$out/q4.json"
began=$(date +%s)
say() { echo "[$(($(date +%s) - began)) s] $*" >&2; }

# Name, time limit, then options of glyph.
part() {
    name=$1 limit=$2
    shift 2
    say "$name: $*"
    timeout -k 5 "$limit" "$glyph" bench model --shape "$shape" --device "$device" --prompt-tokens "$prompt" --json "$@" \
        2>"$out/$name.log" >"$out/$name.json"
    code=$?
    sed "s/^/    /" "$out/$name.log" >&2
    say "$name ended with $code"
    [ "$code" = 0 ] || failed=1
}
failed=0

{ command -v nvidia-smi && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv; } >"$out/card.txt" 2>&1
"$glyph" --version >>"$out/card.txt"
cat "$out/card.txt" >&2
half=bf16
[ "$device" = cpu ] && half=f32
# The options of the part that transformers stands beside.
set -- --dtype "$half"
if [ "$python" = - ]; then
    python=python3
else
    set -- "$@" --python "$python"
fi
part "$half" "$((2 * seconds))" "$@"
part q8 "$seconds" --dtype "$half" --quantize q8
part q4 "$seconds" --dtype "$half" --quantize q4
"$python" "$(dirname "$0")/bench_table.py" "$out" >"$out/table.md" || failed=1
cat "$out/table.md"
say "done; see $out"
exit "$failed"
