#!/bin/sh
# What can be asked with curl alone: a stream, an answer as data, a response that is cancelled.
#   sh ask.sh [http://127.0.0.1:8088]
set -eu
url=${1:-http://127.0.0.1:8088}

# -f: an error of the server is one of this script; -N: what comes is shown as it comes.
ask() {
  path=$1
  shift
  curl -fsSN "$url$path" -H "authorization: Bearer ${MLX_SERVING_API_KEY:-none}" "$@"
}
json='content-type: application/json'

echo '# Models'
ask /v1/models | sed 's/.*"id":"\([^"]*\)".*/\1/'
echo

echo '# A chat, streamed: a line of JSON for each step'
ask /v1/chat/completions -H "$json" -d '{
  "messages": [{"role": "user", "content": "Why is the sky blue?"}],
  "stream": true, "stream_options": {"include_usage": true}
}'

echo '# Data: the schema is kept while it is made'
ask /v1/chat/completions -H "$json" -d '{
  "messages": [{"role": "user", "content": "What do I pack for Oslo on the first of May? Answer as data."}],
  "response_format": {"type": "json_schema", "json_schema": {"name": "packing", "schema": {
    "type": "object", "required": ["items", "leaving"], "additionalProperties": false,
    "properties": {
      "items": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 5},
      "leaving": {"type": "string", "format": "date"}
    }
  }}}
}' | sed -E 's/.*"content":"(([^"\\]|\\.)*)".*/\1/; s/\\"/"/g'
echo

echo '# A response in the background: asked for, cancelled, read'
id=$(ask /v1/responses -H "$json" -d '{"input": "Tell me a long story.", "background": true}' |
  sed 's/.*"id":"\(resp_[^"]*\)".*/\1/')
ask "/v1/responses/$id/cancel" -X POST -o /dev/null
ask "/v1/responses/$id" | sed 's/^[^[]*"status":"\([a-z_]*\)".*/\1/'
echo
