#!/bin/sh
# Classify images with the service, with curl: sh examples/client.sh serving/static/ship.png
set -eu
service=${SERVICE:-http://127.0.0.1:8000}
for path; do
    # --fail-with-body prints the problem, whose detail says what to do, and exits with an error;
    # --retry waits for Retry-After while the service's queue is full.
    curl --silent --show-error --fail-with-body --retry 5 \
        ${API_KEY:+--header "X-API-Key: $API_KEY"} \
        --form "image=@$path" "$service/predict?top_k=1"
    echo
done
