#!/usr/bin/env bash
# What a user does first: start the given command, ask once, let it drain; it must end with 0.
#
#   .github/smoke.sh npm start -- --port 0
set -euo pipefail

seconds_max=1200
output=$(mktemp)
"$@" >"$output" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$output"' EXIT

url=""
until url=$(sed -n 's/^mlx-serving ready on //p' "$output") && [ -n "$url" ]; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "smoke: it ended before it was ready" >&2
    exit 1
  fi
  if [ "$SECONDS" -gt "$seconds_max" ]; then
    echo "smoke: it was not ready after $seconds_max s" >&2
    exit 1
  fi
  sleep 1
done
echo "smoke: ready after $SECONDS s on $url"

curl --fail --silent --show-error --max-time 300 --retry 30 --retry-delay 2 "$url/ready" >/dev/null
answer=$(curl --fail --silent --show-error --max-time 300 "$url/v1/chat/completions" \
  --header 'content-type: application/json' \
  --data '{"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 16}')
# shellcheck disable=SC2016
node --eval 'const { choices, usage } = JSON.parse(process.argv[1]);
if (!choices[0].message.content || !(usage.completion_tokens > 0)) process.exit(1);
console.log(`smoke: ${JSON.stringify(choices[0].message.content)}`);' "$answer"

curl --fail --silent --show-error --request POST "$url/admin/drain" >/dev/null
wait "$server"
echo "smoke: drained, and ended with 0"
