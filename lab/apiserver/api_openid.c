/* How others check the tokens of service accounts: the issuer's document and its key (OpenID
 * Connect Discovery 1.0, RFC 7517). Reads the configuration only. */
#include "codec/base64.h"
#include "lab/apiserver/api_priv.h"

static void reply_typed(struct api_request *r, const char *type, const json_t *object)
{
    AUTO_DONE(buf) struct buf b = {0};
    const struct http_header headers[] = {
        {STR("Content-Type"), str_from(type)},
        {STR("Cache-Control"), STR("public, max-age=3600")},
        {STR("Audit-Id"), str_from(r->audit_id)},
        {STR("Date"), str_from(r->date)},
    };
    json_write(&b, object);
    http_exchange_reply(r->exchange, 200, headers, ARRAY_LEN(headers), buf_str(&b));
    api_request_free(r);
}

static void configuration(struct api_request *r)
{
    char ip[IP_TEXT_BYTES];
    const struct api_config *c = &r->server->config;
    const char *open = c->advertise_ip.family == AF_INET6 ? "[" : "", *close = *open ? "]" : "";
    AUTO_CHARS char *keys = xasprintf("https://%s%s%s:%u/openid/v1/jwks", open,
                                      ip_format(&c->advertise_ip, ip), close, c->port);
    AUTO_JSON json_t *o =
        json_pack("{s:s,s:s,s:[s],s:[s],s:[s]}", "issuer", c->sa_issuer, "jwks_uri", keys,
                  "response_types_supported", "id_token", "subject_types_supported", "public",
                  "id_token_signing_alg_values_supported", "ES256");
    reply_typed(r, "application/json", o);
}

static json_t *coded(const uint8_t *p, size_t n)
{
    AUTO_DONE(buf) struct buf b = {0};
    base64url_encode(str_of((const char *)p, n), &b);
    return json_stringn(b.p, b.n);
}

static void keys(struct api_request *r)
{
    uint8_t point[64], id[32];
    struct err err = {0};
    json_t *list = json_array();
    AUTO_JSON json_t *o = json_pack("{s:o}", "keys", list);
    if (r->server->config.sa_key.n) {
        if (tls_es256_public(buf_str(&r->server->config.sa_key), point, id, &err) < 0) {
            api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
            return;
        }
        json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:s,s:s,s:o,s:o}", "use", "sig", "kty",
                                              "EC", "kid", coded(id, sizeof(id)), "crv", "P-256",
                                              "alg", "ES256", "x", coded(point, 32), "y",
                                              coded(point + 32, 32)));
    }
    reply_typed(r, "application/jwk-set+json", o);
}

bool api_openid(struct api_request *r, struct str path)
{
    if (!str_is(http_exchange_method(r->exchange), "GET"))
        return false;
    if (str_is(path, "/.well-known/openid-configuration"))
        configuration(r);
    else if (str_is(path, "/openid/v1/jwks"))
        keys(r);
    else
        return false;
    return true;
}
