#!/bin/bash
# seed: gives a fresh control service a consumer, two streams and two senders, and the gate its token.
#
# It may run again, also after it was interrupted: what is there stays. No secret is printed, as this
# goes to the container's log; each is in a file of its own in a volume.
set -euo pipefail

consumer=acme

# issue FILE OPTION COMMAND...: runs a command that writes a secret to the file its option names. Under
# another name first, so that a file that is there is whole. What was issued and never written down is
# known to nobody.
issue() {
    local file=$1 option=$2
    shift 2
    [[ -e $file ]] && return
    rm -f "$file.new"
    "$@" "$option" "$file.new" >/dev/null
    mv "$file.new" "$file"
}

# stream ID POLICY
stream() {
    mpgate streams get "$1" --consumer "$consumer" >/dev/null 2>&1 ||
        mpgate streams create "$1" --consumer "$consumer" --environment production --upstream-secret "$2" >/dev/null
}

# sender NAME STREAM
sender() {
    issue "/run/operator/$1.secret" --secret-file mpgate keys create --consumer "$consumer" --sender "$1" --stream "$2"
}

mpgate consumers get "$consumer" >/dev/null 2>&1 || mpgate consumers create "$consumer" >/dev/null
stream G-SHOP000001 none
stream G-CLUB000001 'replace(GA4_API_SECRET)'
sender billing G-SHOP000001
sender crm G-CLUB000001
issue /run/mpgate/gateway-token --token-to mpgate principals create --role gateway

compose=${MPGATE_COMPOSE:-docker-compose} control=${MPGATE_CONTROL_SERVICE:-control}
cat <<TEXT
There are a consumer ($consumer), two streams and two senders: billing sends to G-SHOP000001, crm to G-CLUB000001.

Their secrets are not shown here, as this is a log. An event of billing's:

  secret=\$($compose exec -T $control cat /run/operator/billing.secret)
  curl -i "http://127.0.0.1:$MPGATE_PORT/mp/collect?measurement_id=G-SHOP000001&api_secret=\$secret" \\
    -H 'content-type: application/json' -d '{"client_id":"1.2","events":[{"name":"page_view"}]}'

What reached the collector:  http://127.0.0.1:$MPGATE_COLLECTOR_PORT/events
The keys:                    $compose exec $control mpgate keys list --consumer $consumer
Revoke one:                  $compose exec $control mpgate keys delete KEY --consumer $consumer
TEXT
