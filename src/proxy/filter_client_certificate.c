/* A client shows a certificate, or is told so after the handshake, as ingress-nginx does. The TLS
 * context has asked for it and let everybody in; what counts is said here, and told to the endpoint
 * in fields that the client cannot write. A connection for another name has been asked by another
 * context: it does not count. */
#include <errno.h>

#include <fairlead/filters/http/v1/client_certificate.pb-c.h>

#include "codec/regex.h"
#include "codec/url.h"
#include "proxy/filter_table.h"
#include "proxy/header_ops.h"

typedef Fairlead__Filters__Http__V1__ClientCertificate pb_certificate;

struct client_certificate {
    enum {
        REQUIRED,
        OPTIONAL,
        OPTIONAL_NO_CA,
    } verify;
    struct regex *subject; /* NULL: any */
    struct str error_page; /* empty: none */
    bool forward;
};

struct certificate_state {
    struct http_header location;
};

static void regex_done(void *regex)
{
    regex_free(regex);
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_certificate *m = (const pb_certificate *)message;
    struct client_certificate *x = *ret = arena_alloc(c->a, sizeof(*x));
    AUTO_DONE(buf) struct buf pattern = {0};
    if (!x)
        return -ENOMEM;
    if ((unsigned)m->verify > OPTIONAL_NO_CA)
        return pb_path_fail(c->path, c->err, -EINVAL, "verify: no such value");
    x->verify = (unsigned)m->verify;
    x->forward = m->forward_certificate;
    x->error_page = arena_str(c->a, str_from(m->error_page));
    if (!x->error_page.p)
        return -ENOMEM;
    if (!http_is_value(x->error_page))
        return pb_path_fail(c->path, c->err, -EINVAL, "error_page: may not stand in a field");
    if (!*m->subject_pattern)
        return 0;
    buf_addf(&pattern, ".*(?:%s).*", m->subject_pattern);
    struct err err = {0};
    int r = regex_new(buf_str(&pattern), &x->subject, &err);
    if (r < 0)
        return pb_path_fail(c->path, c->err, r, "subject_pattern: %s", err_text(&err));
    r = arena_defer(c->a, regex_done, x->subject);
    if (r < 0)
        regex_free(x->subject);
    return r;
}

/* ---- requests ---- */

static enum filter_result refuse(struct filter_call *c, enum reason reason)
{
    const struct client_certificate *x = c->route ? c->route : c->config;
    struct certificate_state *s = c->state;
    c->answer.reason = (uint8_t)reason;
    if (reason != REASON_CLIENT_CERTIFICATE || !x->error_page.n)
        return FILTER_ANSWERED;
    s->location = (struct http_header){STR("location"), x->error_page};
    c->answer.status = 302;
    c->answer.body = STR("");
    c->answer.fields = &s->location;
    c->answer.n_fields = 1;
    return FILTER_ANSWERED;
}

static struct str host_of(const struct http_head *h)
{
    struct str host =
        h->authority.p ? h->authority : http_field_value(http_head_find(h, HTTP_NAME_HOST));
    const char *colon = host.n && *host.p != '[' ? memchr(host.p, ':', host.n) : NULL;
    return colon ? str_sub(host, 0, (size_t)(colon - host.p)) : host;
}

/* False: no memory: then the endpoint must not be asked. value .p NULL: the client's own goes, and
 * none comes. */
static bool tell(struct filter_call *c, const char *name, struct str value)
{
    struct arena *a = http_stream_arena(c->down);
    struct header_name n = {HTTP_NAME_OTHER, str_from(name)};
    for (struct http_field *f; (f = head_find(c->head, n));)
        f->name_n = 0;
    if (!value.n)
        return true;
    struct str kept = arena_str(a, value);
    return kept.p && http_is_value(kept) && head_add(c->head, a, n, kept);
}

static bool tell_certificate(struct filter_call *c, struct tls_session *tls)
{
    const struct client_certificate *x = c->route ? c->route : c->config;
    AUTO_DONE(buf) struct buf pem = {0};
    AUTO_DONE(buf) struct buf text = {.cap = 32 * 1024};
    if (x->forward && tls_session_peer_pem(tls, &pem))
        url_encode(buf_str(&pem), &text);
    return !text.failed && tell(c, "ssl-client-cert", buf_str(&text));
}

static bool tell_all(struct filter_call *c, struct tls_session *tls, const struct tls_peer *peer)
{
    AUTO_DONE(buf) struct buf verify = {0};
    if (!peer)
        buf_addf(&verify, "NONE");
    else if (peer->verified)
        buf_addf(&verify, "SUCCESS");
    else
        buf_addf(&verify, "FAILED:%s", peer->why);
    return tell(c, "ssl-client-verify", buf_str(&verify)) &&
           tell(c, "ssl-client-subject-dn", peer ? peer->subject : STR("")) &&
           tell(c, "ssl-client-issuer-dn", peer ? peer->issuer : STR("")) &&
           tell_certificate(c, tls);
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct client_certificate *x = c->route ? c->route : c->config;
    struct tls_session *tls = conn_tls(http_conn_conn(http_stream_conn(c->down)));
    if (!tls)
        return refuse(c, REASON_CLIENT_CERTIFICATE);
    if (!str_eq_nocase(tls_session_server_name(tls), host_of(c->head)))
        return refuse(c, REASON_MISDIRECTED);
    const struct tls_peer *peer = tls_session_peer(tls);
    bool good = peer ? peer->verified || x->verify == OPTIONAL_NO_CA : x->verify != REQUIRED;
    if (!good)
        return refuse(c, REASON_CLIENT_CERTIFICATE);
    if (x->subject && !regex_matches_all(x->subject, peer ? peer->subject : STR("")))
        return refuse(c, REASON_CLIENT_SUBJECT);
    return tell_all(c, tls, peer) ? FILTER_CONTINUE : refuse(c, REASON_NO_MEMORY);
}

const struct filter_type filter_client_certificate = {
    .name = "fairlead.filters.http.client_certificate",
    .message = &fairlead__filters__http__v1__client_certificate__descriptor,
    .route_message = &fairlead__filters__http__v1__client_certificate__descriptor,
    .compile = compile,
    .compile_route = compile,
    .state_bytes = sizeof(struct certificate_state),
    .on_request = on_request,
};
