#!/usr/bin/env bash
# Makes the weights: `make weights DATA=… [IMAGENET=…]` runs it. A run that was stopped goes on, a finished one is kept.
#
#   scripts/make-weights.sh BIN DATA OUTPUT [IMAGENET]
#
# BIN is the environment's bin folder, DATA holds the data sources, OUTPUT gets the weights; `runs` keeps every training.
# IMAGENET is VGG-16's convolutions as safetensors; torchvision's are downloaded without it.
set -euo pipefail
BIN=$1 DATA=$2 OUTPUT=$3 IMAGENET=${4:-}

mkdir -p runs
if [ ! -e runs/vgg16_imagenet.safetensors ]; then
  if [ -n "$IMAGENET" ]; then
    cp "$IMAGENET" runs/vgg16_imagenet.safetensors
  else
    "$BIN/python" -c "from torchvision.models import vgg16; from safetensors.torch import save_file; \
save_file(vgg16(weights='IMAGENET1K_V1').features.state_dict(), 'runs/vgg16_imagenet.safetensors')"
  fi
fi

# Training frees and takes memory all the time. glibc gives it back to the system by default, which takes more time than
# computing; here it keeps its pages, and large ones.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:\
glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456
train() {
  [ -e "runs/$1/summary.json" ] && { echo "runs/$1 is finished"; return; }
  "$BIN/jcs" train "$1" --config "configs/$1.yaml" --data "$DATA" -o "runs/$1" --cache runs/cache --resume
}
for task in encoder lungs segmenter backbone classifier; do train "$task"; done

"$BIN/jcs" export --classifier runs/classifier --segmenter runs/segmenter --lungs runs/lungs -o "$OUTPUT"
"$BIN/jcs" quantise --weights "$OUTPUT" --data "$DATA" --cache runs/cache
"$BIN/jcs" calibrate --weights "$OUTPUT" --data "$DATA"
"$BIN/jcs" calibrate --weights "$OUTPUT" --data "$DATA" --only intervals --between 0.05 0.95
