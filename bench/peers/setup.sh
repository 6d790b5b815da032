#!/bin/sh
# Makes the Python environment of the peers in build/peers (about 6 GB: PyTorch's packages bring their CUDA libraries).
# Usage: sh bench/peers/setup.sh      PYTHON=python3.11 picks an interpreter; 3.10 or later
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "setup.sh: $python is older than 3.10; set PYTHON" >&2; exit 1; }
"$python" -c 'import ensurepip' 2>/dev/null || { echo "setup.sh: $python cannot make environments; install python3-venv" >&2; exit 1; }
mkdir -p build
[ -x build/peers/bin/python ] || "$python" -m venv build/peers
build/peers/bin/python -m pip install --quiet --upgrade pip
build/peers/bin/python -m pip install --quiet -r bench/peers/requirements.txt
build/peers/bin/python -c 'import onnxruntime, open_clip, openvino, tokenizers, torch, transformers
print("peers: torch", torch.__version__, "onnxruntime", onnxruntime.__version__, "openvino", openvino.__version__)'
echo "now: build/peers/bin/python bench/peers/run.py"
