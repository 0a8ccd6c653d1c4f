#!/usr/bin/env bash
# shellcheck disable=SC1091,SC2154 # what envoy.lib sets
# Guess: what a custom response's redirect adds to the request is, as its description has it, added before the redirect: %REQ(:PATH)% and
# %REQ(:AUTHORITY)% tell an error service what was asked for.
# Seen: host and path are replaced first and the headers made after that, so both name the error page itself. %REQ(:METHOD)% is still the original's,
# because the method becomes GET later.
set -euo pipefail
. "$(dirname "$0")/envoy.lib"
type=type.googleapis.com
added() { echo "{header: {key: x-asked-$1, value: \"%REQ($2)%\"}}"; }
policy="{\"@type\": $type/envoy.extensions.http.custom_response.redirect_policy.v3.RedirectPolicy, uri: \"http://errors.test/page\", \
request_headers_to_add: [$(added method :METHOD), $(added host :AUTHORITY), $(added path :PATH)]}"
input="{name: status, typed_config: {\"@type\": $type/envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput}}"
matcher="{matcher_list: {matchers: [{predicate: {single_predicate: {input: $input, value_match: {exact: \"404\"}}}, \
on_match: {action: {name: action, typed_config: $policy}}}]}}"
printf 'HTTP/1.1 200 X\r\ncontent-length: 5\r\nconnection: close\r\n\r\nsorry' >"$dir/answer"
start_upstream
start_envoy '[{match: {path: /page}, route: {cluster: upstream}}, {match: {prefix: /}, direct_response: {status: 404}}]' "$upstream" \
    "{name: custom, typed_config: {\"@type\": $type/envoy.extensions.filters.http.custom_response.v3.CustomResponse, custom_response_matcher: $matcher}}"
answer=$(ask "PUT /cart/7?x=y HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" | tr -d '\r')
echo "asked: PUT shop.test /cart/7?x=y; answered: $(tail -1 <<<"$answer"). The error service got:"
got=$(tr -d '\r' <"$dir/got" | grep -iE '^(GET|host|x-asked)')
echo "$got"
grep -q "^sorry$" <<<"$answer" && grep -q "^x-asked-method: PUT$" <<<"$got" &&
    grep -q "^x-asked-host: errors.test$" <<<"$got" && grep -q "^x-asked-path: /page$" <<<"$got"
