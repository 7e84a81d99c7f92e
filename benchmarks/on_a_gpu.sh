#!/usr/bin/env bash
# All that needs a GPU, in at most 14 minutes, each part with a limit of its own: the tests, every model's step and peak
# at its recipe, and the verdict on the recipes. Writes one log a part into the folder given, and goes on after a failure.
#
#     bash benchmarks/on_a_gpu.sh results [python3]
set -u
cd "$(dirname "$0")/.."
out=${1:?give a folder for the logs}
python=${2:-python3}
mkdir -p "$out"
status=0

part() { # part NAME SECONDS COMMAND...
    local name=$1 seconds=$2
    shift 2
    timeout "$seconds" "$@" > "$out/$name.log" 2>&1 || { echo "$name: status $?"; status=1; }
    tail -n 3 "$out/$name.log"
}

part tests 360 "$python" -m pytest tests/gpu -v
part ctrgcn 60 "$python" benchmarks/models.py --device cuda --clips 64 --models ctrgcn --precisions fp32 bf16
part msg3d 90 "$python" benchmarks/models.py --device cuda --clips 16 --frames 300 --models msg3d --precisions fp32 bf16
part others 210 "$python" benchmarks/models.py --device cuda --clips 16 --precisions fp32 bf16 --pairs 3 \
    --models stgcn hypergcn blockgcn protogcn skateformer freqmixformer
part recipes 120 "$python" benchmark_models.py --device cuda:0 --steps 20
exit $status
