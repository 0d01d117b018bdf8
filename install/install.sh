#!/bin/sh
# Installs occlupose on a bare Debian 12 (bookworm) or newer, as root: Python, PyTorch for the CPU, occlupose in
# /opt/occlupose, and the command occlupose; then checks the installation. The Dockerfile runs the same.
#
#     sh install/install.sh SOURCE        # a clone, a wheel or an sdist
#
# TORCH_INDEX is where pip finds PyTorch's CPU build. All variables of pip work.
set -eu
source=${1:?give a clone, a wheel or an sdist of occlupose}
index=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --no-install-recommends python3 python3-venv ca-certificates > /dev/null
rm -rf /var/lib/apt/lists/*

python3 -m venv /opt/occlupose
/opt/occlupose/bin/pip install --quiet --no-cache-dir ${index:+--index-url "$index"} torch
/opt/occlupose/bin/pip install --quiet --no-cache-dir "$source"
ln -sf /opt/occlupose/bin/occlupose /usr/local/bin/occlupose
occlupose doctor
