/* Who is asking: client certificate (CN = user, O = groups), static bearer tokens, service account
 * tokens (ES256 JWTs signed by the cluster's key, meant for this server). What they may do is for
 * api_rbac.c to say. Secrets are compared in constant time and never logged. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/time.h"
#include "codec/base64.h"
#include "kube/schema_tables.h"
#include "lab/apiserver/api_priv.h"

static bool by_certificate(struct conn *c, struct api_user *ret)
{
    AUTO_DONE(buf) struct buf cn = {0};
    AUTO_DONE(buf) struct buf orgs = {0};
    struct str rest;
    if (!conn_peer_cert(c, &cn, &orgs) || !cn.n)
        return false;
    ret->name = str_dup(buf_str(&cn));
    rest = buf_str(&orgs);
    while (rest.p)
        api_user_add_group(ret, str_cut(rest, '\n', &rest));
    return true;
}

/* The token file of kube-apiserver: token,user,uid,"group1,group2" */
static bool by_static_token(const struct api_server *s, struct str token, struct api_user *ret)
{
    struct str rest = str_from(s->config.tokens), found = {0};
    while (rest.p) {
        struct str fields, line = str_cut(rest, '\n', &rest);
        struct str have = str_trim(str_cut(line, ',', &fields));
        if (have.n && tls_secret_eq(have, token))
            found = fields; /* no early exit: the time must not tell which line it was */
    }
    if (!found.p)
        return false;
    ret->name = str_dup(str_trim(str_cut(found, ',', &found)));
    (void)str_cut(found, ',', &found);
    struct str groups = str_trim(found);
    if (groups.n >= 2 && groups.p[0] == '"')
        groups = str_sub(groups, 1, groups.n - 1);
    while (groups.p)
        api_user_add_group(ret, str_trim(str_cut(groups, ',', &groups)));
    return true;
}

static bool account_lives(struct api_server *s, const json_t *claims)
{
    const json_t *k = json_object_get(claims, "kubernetes.io");
    const char *ns = json_at_str(k, "namespace"), *name = json_at_str(k, "serviceaccount.name");
    const char *uid = json_at_str(k, "serviceaccount.uid"), *pod = json_at_str(k, "pod.name");
    if (!ns || !name)
        return false;
    struct object *sa = store_find(
        s->store, (uint32_t)api_kind_find(STR(""), STR("v1"), STR("serviceaccounts")), ns, name);
    if (!sa || !streq(sa->uid, uid))
        return false;
    if (!pod)
        return true;
    struct object *o =
        store_find(s->store, (uint32_t)api_kind_find(STR(""), STR("v1"), STR("pods")), ns, pod);
    return o && streq(o->uid, json_at_str(k, "pod.uid"));
}

static bool list_has(const json_t *list, const char *text)
{
    json_t *item;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       item) if (streq(json_string_value(item), text)) return true;
    return false;
}

/* The claims of a token that we signed, that is in its time and whose account lives; NULL = none. A
 * new reference. Says nothing of whom the token is meant for. */
static json_t *account_claims(struct api_server *s, struct str token)
{
    struct str rest, payload_text, sig_text;
    struct str head = str_cut(token, '.', &rest);
    payload_text = str_cut(rest, '.', &sig_text);
    AUTO_DONE(buf) struct buf payload = {0};
    AUTO_DONE(buf) struct buf sig = {0};
    AUTO_JSON json_t *claims = NULL;
    if (!s->config.sa_key.n || !sig_text.p || base64url_decode(payload_text, &payload) < 0 ||
        base64url_decode(sig_text, &sig) < 0 || sig.n != 64)
        return NULL;
    struct str signed_part = str_of(head.p, head.n + 1 + payload_text.n);
    if (tls_es256_verify(buf_str(&s->config.sa_key), signed_part, (const uint8_t *)sig.p) < 0 ||
        json_parse(buf_str(&payload), 16384, NULL, &claims, NULL) < 0)
        return NULL;
    if (!streq(json_at_str(claims, "iss"), s->config.sa_issuer) ||
        json_at_int(claims, "exp", 0) <= time_real_s() ||
        json_at_int(claims, "nbf", 0) > time_real_s() + 60 || !account_lives(s, claims))
        return NULL;
    return TAKE(claims);
}

/* audiences NULL: the token must be meant for this server. *ret_for: those of the audiences that it
 * is meant for; a new reference. */
static bool by_account_token(struct api_server *s, struct str token, const json_t *audiences,
                             struct api_user *ret, json_t **ret_for)
{
    AUTO_JSON json_t *claims = account_claims(s, token);
    AUTO_JSON json_t *meant = json_array();
    AUTO_JSON json_t *own = json_pack("[s]", s->config.sa_issuer);
    json_t *item;
    size_t i;
    json_array_foreach(json_array_size(audiences) ? (json_t *)(uintptr_t)audiences : own, i,
                       item) if (list_has(json_object_get(claims, "aud"), json_string_value(item)))
        json_array_append(meant, item);
    if (!claims || !json_array_size(meant))
        return false;
    const char *sub = json_at_str(claims, "sub");
    const char *ns = json_at_str(json_object_get(claims, "kubernetes.io"), "namespace");
    AUTO_CHARS char *group = xasprintf("system:serviceaccounts:%s", ns);
    ret->name = xstrdup(sub ? sub : "");
    api_user_add_group(ret, STR("system:serviceaccounts"));
    api_user_add_group(ret, str_from(group));
    *ret_for = TAKE(meant);
    return true;
}

bool api_authenticate_token(struct api_server *s, struct str token, const json_t *audiences,
                            struct api_user *ret, json_t **ret_for)
{
    AUTO_JSON json_t *meant = NULL;
    if (by_account_token(s, token, audiences, ret, &meant)) {
        if (ret_for)
            *ret_for = TAKE(meant);
        return true;
    }
    return !json_array_size(audiences) && by_static_token(s, token, ret);
}

int api_authenticate(struct api_server *s, struct http_exchange *x, struct api_user *ret)
{
    struct str auth = http_exchange_header(x, "authorization");
    bool known;
    *ret = (struct api_user){0};
    if (auth.p) {
        /* A token that is wrong is an error, even beside a good certificate. */
        if (!(auth.n > 7 && str_eq_nocase(str_sub(auth, 0, 7), STR("bearer "))))
            return -EACCES;
        struct str token = str_trim(str_sub(auth, 7, auth.n));
        known = api_authenticate_token(s, token, NULL, ret, NULL);
    } else {
        known = by_certificate(http_exchange_conn(x), ret);
    }
    if (!known)
        return -EACCES;
    api_user_add_group(ret, STR("system:authenticated"));
    return 0;
}

/* {name, uid} of the pod the token shall live with; *ret NULL: none asked for. False: answered. */
static bool read_bound_object(struct api_request *r, const json_t *ref, json_t **ret)
{
    const char *kind = json_key_str(ref, "kind"), *name = json_key_str(ref, "name"),
               *uid = json_key_str(ref, "uid");
    if (!ref)
        return true;
    if (!streq(kind, "Pod") || str_empty(name)) {
        api_status(r, 422, "Invalid", NULL,
                   "TokenRequest is invalid: spec.boundObjectRef: Invalid value: this server binds "
                   "tokens to Pods, by name");
        return false;
    }
    const struct object *pod = store_find(
        r->server->store, (uint32_t)api_kind_find(STR(""), STR("v1"), STR("pods")), r->ns, name);
    AUTO_JSON json_t *details = json_pack("{s:s,s:s}", "name", name, "kind", "pods");
    if (!pod) {
        api_status(r, 404, "NotFound", details, "pods \"%s\" not found", name);
        return false;
    }
    AUTO_JSON json_t *tree = object_tree(pod);
    if (!streq(json_at_str(tree, "spec.serviceAccountName"), r->name)) {
        AUTO_CHARS char *account = xstrdup(r->name);
        api_status(r, 400, "BadRequest", NULL,
                   "cannot bind token for serviceaccount \"%s\" to pod running with different "
                   "serviceaccount name.",
                   account);
        return false;
    }
    if (!str_empty(uid) && !streq(uid, pod->uid)) {
        api_status(r, 409, "Conflict", details,
                   "the UID in the bound object reference (%s) does not match the UID in record. "
                   "The object might have been deleted and then recreated",
                   uid);
        return false;
    }
    *ret = json_pack("{s:s,s:s}", "name", pod->name, "uid", pod->uid);
    return true;
}

/* False: answered. */
static bool check_expiration(struct api_request *r, int64_t seconds)
{
    struct api_causes causes = {0};
    if (seconds < 600)
        api_cause_add(&causes, "FieldValueInvalid", "spec.expirationSeconds",
                      "Invalid value: %lld: may not specify a duration less than 10 minutes",
                      (long long)seconds);
    else if (seconds > (int64_t)1 << 32)
        api_cause_add(&causes, "FieldValueInvalid", "spec.expirationSeconds",
                      "Invalid value: %lld: may not specify a duration larger than 2^32 seconds",
                      (long long)seconds);
    bool good = !causes.n;
    if (!good)
        api_invalid_as(r, "authentication.k8s.io", "TokenRequest", "", &causes);
    api_causes_done(&causes);
    return good;
}

/* {"alg":…,"kid":…}: the key is named as /openid/v1/jwks names it. */
static int write_head(struct api_request *r, struct buf *token, struct err *reterr)
{
    AUTO_DONE(buf) struct buf head = {0};
    AUTO_DONE(buf) struct buf kid = {0};
    uint8_t point[64], id[32];
    int code = tls_es256_public(buf_str(&r->server->config.sa_key), point, id, reterr);
    if (code < 0)
        return code;
    base64url_encode(str_of((const char *)id, sizeof(id)), &kid);
    buf_addf(&head, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", buf_cstr(&kid));
    base64url_encode(buf_str(&head), token);
    return 0;
}

/* serviceaccounts/token (TokenRequest, authentication.k8s.io/v1). */
void api_token_request(struct api_request *r)
{
    struct object *sa = store_find(r->server->store, r->kind_index, r->ns, r->name);
    AUTO_JSON json_t *body = NULL;
    AUTO_DONE(buf) struct buf token = {0};
    AUTO_DONE(buf) struct buf payload = {0};
    struct err err = {0};
    char expires[21];
    uint8_t sig[64];
    if (!r->server->config.sa_key.n) {
        api_status(r, 501, "NotImplemented", NULL,
                   "the server was started without --service-account-key-file");
        return;
    }
    AUTO_JSON json_t *bound = NULL;
    if (api_read_message(r, &schema_token_request, &body) < 0)
        return;
    int64_t seconds = json_at_int(body, "spec.expirationSeconds", 3600), now = time_real_s();
    if (!check_expiration(r, seconds) ||
        !read_bound_object(r, json_at(body, "spec.boundObjectRef"), &bound))
        return;
    seconds = MIN(seconds, (int64_t)86400 * 365);
    json_t *audiences = json_at(body, "spec.audiences");
    AUTO_JSON json_t *aud = json_array_size(audiences)
                                ? json_incref(audiences)
                                : json_pack("[s]", r->server->config.sa_issuer);
    AUTO_CHARS char *sub = xasprintf("system:serviceaccount:%s:%s", r->ns, r->name);
    AUTO_JSON json_t *claims =
        json_pack("{s:O,s:I,s:I,s:s,s:I,s:s,s:{s:s,s:{s:s,s:s}}}", "aud", aud, "exp",
                  (json_int_t)(now + seconds), "iat", (json_int_t)now, "iss",
                  r->server->config.sa_issuer, "nbf", (json_int_t)now, "sub", sub, "kubernetes.io",
                  "namespace", r->ns, "serviceaccount", "name", r->name, "uid", sa->uid);
    if (bound)
        json_object_set(json_object_get(claims, "kubernetes.io"), "pod", bound);
    json_write(&payload, claims);
    if (write_head(r, &token, &err) < 0) {
        api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
        return;
    }
    buf_add_char(&token, '.');
    base64url_encode(buf_str(&payload), &token);
    if (tls_es256_sign(buf_str(&r->server->config.sa_key), buf_str(&token), sig, &err) < 0) {
        api_status(r, 500, "InternalError", NULL, "%s", err_text(&err));
        return;
    }
    buf_add_char(&token, '.');
    base64url_encode(str_of(sig, sizeof(sig)), &token);
    time_format_rfc3339(now + seconds, expires);
    AUTO_JSON json_t *answer =
        json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:I,s:O},s:{s:s,s:s}}", "kind", "TokenRequest",
                  "apiVersion", "authentication.k8s.io/v1", "metadata", "name", r->name,
                  "namespace", r->ns, "spec", "expirationSeconds", (json_int_t)seconds, "audiences",
                  aud, "status", "token", buf_cstr(&token), "expirationTimestamp", expires);
    api_reply_object(r, 201, answer);
}
