#!/usr/bin/env bash
# The complete workflow with curl: upload a model and data, prune, wait, download the files, infer.
set -euo pipefail
shopt -s inherit_errexit

usage() {
    cat <<'END'
Usage: examples/curl.sh [--help] MODEL.pt2 DATA.npz IMAGE.png [FOLDER]

Uploads a model and a data set, prunes the model to half of its multiply-accumulates, waits, downloads
the files into FOLDER (default: pruned), and classifies an image with the dense and the pruned network.

Needs curl 7.76 or newer, python3 (it reads JSON) and a running service:
  SECATEUR_URL   its address (default: http://127.0.0.1:8000)
  SECATEUR_KEY   an API key; `secateur serve` prints one
Optional:
  CONFIG         how to prune, as JSON (default: {"selection": {"mode": "budget", "macs": 0.5}})
  PREPROCESS     preprocessing as JSON, such as {"mean": [0.5], "std": [0.5]} (default: {})
END
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
    usage
    exit 0
fi
if [ $# -lt 3 ] || [ $# -gt 4 ]; then
    usage >&2
    exit 2
fi
model_file=$1 data_file=$2 image=$3 folder=${4:-pruned}
url=${SECATEUR_URL:-http://127.0.0.1:8000}
config=${CONFIG:-'{"selection": {"mode": "budget", "macs": 0.5}}'}
preprocess=${PREPROCESS:-'{}'}
if [ -z "${SECATEUR_KEY:-}" ]; then
    echo "curl.sh: SECATEUR_KEY is not set; secateur serve prints a key" >&2
    exit 2
fi

# api OPTION… URL: print the response. On an error, also print its body, which contains the reason.
api() {
    local body
    if ! body=$(curl -sS --fail-with-body -H "Authorization: Bearer $SECATEUR_KEY" "$@"); then
        echo "curl.sh: the request failed: ${*: -1} $body" >&2
        return 1
    fi
    echo "$body"
}

# field NAME…: print the value under these keys in the JSON on standard input.
field() {
    python3 -c '
import json, sys
found = json.load(sys.stdin)
for name in sys.argv[1:]:
    found = found[int(name) if isinstance(found, list) else name]
print(found if isinstance(found, str) else json.dumps(found))' "$@"
}

# quoted TEXT: percent-encode TEXT for a URL's query.
quoted() {
    python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "$1"
}

# upload KIND FILE QUERY: upload a file, wait for its validation and print the id.
upload() {
    local kind=$1 file=$2 query=$3 item id
    item=$(api -H 'Content-Type: application/octet-stream' --data-binary "@$file" \
        "$url/v1/$kind?filename=$(quoted "$(basename "$file")")$query")
    id=$(field id <<<"$item")
    while [ "$(field status <<<"$item")" = validating ]; do
        sleep 0.5
        item=$(api "$url/v1/$kind/$id")
    done
    if [ "$(field status <<<"$item")" != ready ]; then
        echo "curl.sh: $file was rejected: $(field error <<<"$item")" >&2
        return 1
    fi
    echo "$id"
}

model=$(upload models "$model_file" "")
echo "model: $model"
data=$(upload datasets "$data_file" "&preprocess=$(quoted "$preprocess")")
echo "data set: $data"

# With the same Idempotency-Key, a repeated request creates only one job.
job=$(api -H 'Content-Type: application/json' -H "Idempotency-Key: curl-$$-$(date +%s)" \
    -d "{\"model\": \"$model\", \"dataset\": \"$data\", \"config\": $config}" "$url/v1/jobs")
id=$(field id <<<"$job")
echo "job: $id"
# Each request returns when the job changes, or after 30 seconds.
until [[ "$(field status <<<"$job")" =~ ^(succeeded|failed|cancelled|expired)$ ]]; do
    job=$(api "$url/v1/jobs/$id?wait=30")
    echo "$(field status <<<"$job") $(field stage <<<"$job")"
    sleep 0.2
done
if [ "$(field status <<<"$job")" != succeeded ]; then
    echo "curl.sh: the job ended: $(field error <<<"$job")" >&2
    exit 1
fi
for network in dense retrained; do
    echo "$network: $(field result summary $network macs <<<"$job") MACs," \
        "$(field result summary $network num_parameters <<<"$job") parameters"
done

# Download every file of the result. report.html is the one to read.
mkdir -p "$folder"
field result artifacts <<<"$job" | python3 -c '
import json, sys
for item in json.load(sys.stdin):
    print(item["id"], item["name"])' | while read -r artifact name; do
    api -o "$folder/$name" "$url/v1/artifacts/$artifact/content"
done
echo "files: $folder ($(find "$folder" -type f | wc -l))"

# The pruned model stores the preprocessing, the class names and its dense parent.
pruned=$(field result model <<<"$job")
for variant in base pruned; do
    answer=$(api -F "file=@$image" "$url/infer?model=$pruned&variant=$variant")
    echo "$variant predicts: $(field labels 0 0 label <<<"$answer")" \
        "(class $(field labels 0 0 index <<<"$answer"), $(field labels 0 0 score <<<"$answer"))"
done
