# An object store with an Iceberg REST catalog: SeaweedFS, on 127.0.0.1 only. Sourced, never run.
# shellcheck shell=bash

storage_pid=

storage_answers() {
    python3 - "$1" <<'PYTHON'
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=2)
except urllib.error.HTTPError:
    pass  # an answer, if only "you are nobody": the server is up
PYTHON
}

storage_launch() {
    local dir=$1 s3=$2 rest=$3 master=$4 volume=$5 filer=$6 admin=$7
    mkdir -p "$dir/data" "$dir/home"
    # The default address is every interface: both flags are needed to stay on this machine.
    HOME=$dir/home "$venv/bin/weed" mini -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
        -master.port="$master" -master.volumeSizeLimitMB=128 -volume.port="$volume" -filer.port="$filer" \
        -admin.port="$admin" -admin.ui=false -webdav=false \
        -s3.port="$s3" -s3.port.iceberg="$rest" -s3.port.lance=0 -s3.config="$dir/s3.json" \
        -s3.iam.config="$dir/iam.json" -s3.iceberg.credentialRole=arn:aws:iam::role/Tables \
        -bucket=lake -tableBucket=warehouse >"$dir/server.log" 2>&1 &
    storage_pid=$!
}

# The role in whose name the catalog hands out keys to the files of a table.
storage_roles() {
    cat <<JSON
{"sts": {"tokenDuration": "1h", "maxSessionLength": "12h", "issuer": "lakewright-tests", "signingKey": "$1"},
 "policy": {"defaultEffect": "Deny", "storeType": "memory"},
 "roles": [{"roleName": "Tables", "roleArn": "arn:aws:iam::role/Tables", "attachedPolicies": ["Tables"],
            "trustPolicy": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"Federated": "iceberg-catalog"},
                 "Action": ["sts:AssumeRoleWithCredentials", "sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"]}]}}],
 "policies": [{"name": "Tables", "document": {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": ["s3:*", "s3tables:*"], "Resource": ["*"]},
                {"Effect": "Allow", "Action": ["sts:ValidateSession"], "Resource": ["*"]}]}}]}
JSON
}

# storage_start DIR: the store and the catalog in DIR, or a note and status 1.
storage_start() {
    local dir=$1 secret attempt s3 rest master volume filer admin
    [[ -x $venv/bin/weed ]] || return 1
    mkdir -p "$dir"
    secret=$(openssl rand -hex 12)
    cat >"$dir/s3.json" <<JSON
{"identities": [{"name": "lakewright", "credentials": [{"accessKey": "lakewright", "secretKey": "$secret"}],
                 "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
    storage_roles "$(openssl rand -base64 32)" >"$dir/iam.json"
    for attempt in 1 2 3; do
        read -r s3 rest master volume filer admin < <(python3 "$services/free_ports.py" 6)
        note "starting SeaweedFS: S3 on 127.0.0.1:$s3, Iceberg REST on 127.0.0.1:$rest (attempt $attempt)"
        storage_launch "$dir" "$s3" "$rest" "$master" "$volume" "$filer" "$admin"
        if wait_until 60 "S3" "$storage_pid" storage_answers "http://127.0.0.1:$s3/" &&
            wait_until 60 "the REST catalog" "$storage_pid" storage_answers "http://127.0.0.1:$rest/v1/config"; then
            storage_export "$s3" "$rest" "$secret"
            return
        fi
        show_log "$dir/server.log"
        storage_stop
        rm -rf "$dir/data"
    done
    return 1
}

storage_export() {
    local s3=$1 rest=$2 secret=$3
    export LAKEWRIGHT_TEST_S3_ENDPOINT="http://127.0.0.1:$s3"
    export LAKEWRIGHT_TEST_S3_ACCESS_KEY=lakewright
    export LAKEWRIGHT_TEST_S3_SECRET_KEY="$secret"
    export LAKEWRIGHT_TEST_S3_BUCKET=lake
    export LAKEWRIGHT_TEST_REST_CATALOG="http://127.0.0.1:$rest"
    export LAKEWRIGHT_TEST_REST_WAREHOUSE=s3://warehouse
    # The catalog's own token, good for an hour: longer than the suite takes.
    LAKEWRIGHT_TEST_REST_TOKEN=$(
        "$venv/bin/python" - "$LAKEWRIGHT_TEST_REST_CATALOG" "$LAKEWRIGHT_TEST_S3_ACCESS_KEY" "$secret" <<'PYTHON'
import json, sys, urllib.parse, urllib.request
uri, key, secret = sys.argv[1:]
form = {"grant_type": "client_credentials", "client_id": key, "client_secret": secret}
body = urllib.parse.urlencode(form).encode()
with urllib.request.urlopen(f"{uri}/v1/oauth/tokens", body, timeout=30) as answer:
    print(json.load(answer)["access_token"])
PYTHON
    ) && export LAKEWRIGHT_TEST_REST_TOKEN
}

storage_stop() {
    [[ -n $storage_pid ]] || return 0
    kill "$storage_pid" 2>/dev/null || true
    wait "$storage_pid" 2>/dev/null || true
    storage_pid=
}
