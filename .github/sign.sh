#!/usr/bin/env bash
# Writes SHA256SUMS over the files of a folder, and its signature SHA256SUMS.sig beside it.
#
#   .github/sign.sh FOLDER PRIVATE_KEY     of ssh-keygen -t ed25519
set -euo pipefail

key=$(realpath "$2")
cd "$1"
rm -f SHA256SUMS SHA256SUMS.sig
files=(*)
if [ ! -e "${files[0]}" ]; then
  echo "sign: there is nothing to sign in $1" >&2
  exit 1
fi
shasum --algorithm 256 -- "${files[@]}" >SHA256SUMS
ssh-keygen -Y sign -q -n file -f "$key" SHA256SUMS
