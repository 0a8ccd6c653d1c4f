/* By=…;Hash=…;Cert="…";Subject="…";URI=…;DNS=… as Envoy writes it. A name that holds what separates
 * the parts is quoted, so that a certificate cannot pretend to more. */
#include "proxy/client_cert.h"

#include "base/buf.h"

enum { VALUE_BYTES_MAX = 32 * 1024 };

void client_cert_compile(
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct client_cert_config *ret)
{
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager__SetCurrentClientCertDetails
        *set = m->set_current_client_cert_details;
    *ret = (struct client_cert_config){.mode = (uint8_t)m->forward_client_cert_details};
    if (!set)
        return;
    ret->subject = set->subject && set->subject->value;
    ret->cert = set->cert;
    ret->dns = set->dns;
    ret->uri = set->uri;
}

static void add_name(struct buf *to, const char *key, struct str value)
{
    bool quoted = false;
    for (size_t i = 0; i < value.n; i++)
        quoted = quoted || memchr(",;=\"\\", value.p[i], 5);
    buf_addf(to, ";%s=", key);
    if (quoted)
        buf_add_char(to, '"');
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\')
            buf_add_char(to, '\\');
        buf_add_char(to, value.p[i]);
    }
    if (quoted)
        buf_add_char(to, '"');
}

static void add_encoded(struct buf *to, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        uint8_t ch = (uint8_t)s.p[i];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= '0' && ch <= '9') || ch == '-' || ch == '.' || ch == '_' || ch == '~';
        if (plain) {
            buf_add_char(to, (char)ch);
        } else {
            buf_add_char(to, '%');
            buf_add_char(to, hex[ch >> 4]);
            buf_add_char(to, hex[ch & 15]);
        }
    }
}

static void add_current(struct buf *to, const struct client_cert_config *c, struct tls_session *s,
                        const struct tls_peer *peer)
{
    AUTO_DONE(buf) struct buf own = {0};
    AUTO_DONE(buf) struct buf pem = {0};
    size_t begin = to->n;
    if (tls_session_own_uri(s, &own))
        add_name(to, "By", buf_str(&own));
    add_name(to, "Hash", peer->sha256);
    if (c->cert && tls_session_peer_pem(s, &pem)) {
        buf_add_cstr(to, ";Cert=\"");
        add_encoded(to, buf_str(&pem));
        buf_add_char(to, '"');
    }
    if (c->subject) { /* RFC 2253 escapes quotes itself */
        buf_add_cstr(to, ";Subject=\"");
        buf_add_str(to, peer->subject);
        buf_add_char(to, '"');
    }
    if (c->uri)
        VEC_FOREACH (uri, &peer->uris)
            add_name(to, "URI", *uri);
    if (c->dns)
        VEC_FOREACH (dns, &peer->dns)
            add_name(to, "DNS", *dns);
    memmove(to->p + begin, to->p + begin + 1, to->n - begin - 1); /* the first separator */
    to->n--;
}

/* What came, all lines of it. */
static void add_received(struct buf *to, const struct http_head *h)
{
    bool any = to->n > 0;
    for (uint16_t i = 0; i < h->n; i++) {
        const struct http_field *f = &h->fields[i];
        if (f->id != HTTP_NAME_X_FORWARDED_CLIENT_CERT || !f->name_n || !f->value_n)
            continue;
        if (any)
            buf_add_char(to, ',');
        any = true;
        buf_add_str(to, http_field_value(f));
    }
}

struct str client_cert_value(const struct client_cert_config *c, const struct http_head *h,
                             struct tls_session *s, struct arena *a)
{
    AUTO_DONE(buf) struct buf value = {.cap = VALUE_BYTES_MAX};
    const struct tls_peer *shown = s ? tls_session_peer(s) : NULL,
                          *peer = shown && shown->verified ? shown : NULL;
    enum client_cert_mode mode = (enum client_cert_mode)c->mode;
    if (mode == CLIENT_CERT_ALWAYS_FORWARD_ONLY ||
        (peer && (mode == CLIENT_CERT_FORWARD_ONLY || mode == CLIENT_CERT_APPEND_FORWARD)))
        add_received(&value, h);
    if (peer && (mode == CLIENT_CERT_APPEND_FORWARD || mode == CLIENT_CERT_SANITIZE_SET)) {
        if (value.n)
            buf_add_char(&value, ',');
        add_current(&value, c, s, peer);
    }
    if (value.failed || !value.n || !http_is_value(buf_str(&value)))
        return (struct str){NULL, 0};
    return arena_str(a, buf_str(&value));
}
