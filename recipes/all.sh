#!/bin/sh
# Rebuild the shipped model from nothing: clips, autoencoder, transformer, and the two writers, which learn from the same
# clips; then put it where `ozora generate` finds it, and let it learn to need few steps.
# Stopped, it goes on where it was when it is called again. Usage: recipes/all.sh [FOLDER], in an environment with
# ozora[world,train] installed.
set -eu
cd "$(dirname "$0")/.."
runs=${1:-runs/mini}
ozora train recipes/mini.py --out "$runs" --resume
rm -rf src/ozora/models/mini
mkdir -p src/ozora/models
cp -r "$runs/mini" src/ozora/models/mini
for writer in captioner expander; do
    ozora train "recipes/$writer.py" --out "$runs" --resume
    cp -r "$runs/$writer" "src/ozora/models/mini/$writer"
done
ozora train recipes/few_steps.py --out "$runs" --resume
cp "$runs/few-steps/leaps.safetensors" src/ozora/models/mini/
ozora evaluate mini --out "$runs/report"
