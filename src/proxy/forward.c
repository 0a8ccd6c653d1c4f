/* Heads on their way: one pass over the fields, by a table of what their numbers mean here. */
#include "proxy/forward.h"

enum hop {
    HOP_KEEP = 0,
    HOP_DROP,
    HOP_CONNECTION, /* names more that are to go */
    HOP_TE,         /* only `trailers` goes through */
    HOP_UPGRADE,
};

/* Transfer-Encoding and Content-Length are framed anew by whoever sends. */
static const uint8_t request_hops[_HTTP_NAME_MAX] = {
    [HTTP_NAME_KEEP_ALIVE] = HOP_DROP,
    [HTTP_NAME_PROXY_CONNECTION] = HOP_DROP,
    [HTTP_NAME_UPGRADE] = HOP_UPGRADE,
    [HTTP_NAME_EXPECT] = HOP_DROP,
    [HTTP_NAME_CONNECTION] = HOP_DROP, /* those it names have gone: forward_drop_named() */
    [HTTP_NAME_TE] = HOP_TE,
    [HTTP_NAME_X_FORWARDED_CLIENT_CERT] = HOP_DROP, /* client_cert.c brings what may go on */
    /* What only trusted clients may ask for; none is. */
    [HTTP_NAME_X_ENVOY_RETRY_ON] = HOP_DROP,
    [HTTP_NAME_X_ENVOY_RETRY_GRPC_ON] = HOP_DROP,
    [HTTP_NAME_X_ENVOY_MAX_RETRIES] = HOP_DROP,
    [HTTP_NAME_X_ENVOY_UPSTREAM_RQ_TIMEOUT_MS] = HOP_DROP,
    [HTTP_NAME_X_ENVOY_UPSTREAM_RQ_PER_TRY_TIMEOUT_MS] = HOP_DROP,
    [HTTP_NAME_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS] = HOP_DROP,
    [HTTP_NAME_X_ENVOY_FORCE_TRACE] = HOP_DROP,
};

static const uint8_t answer_hops[_HTTP_NAME_MAX] = {
    [HTTP_NAME_KEEP_ALIVE] = HOP_DROP,
    [HTTP_NAME_PROXY_CONNECTION] = HOP_DROP,
    [HTTP_NAME_UPGRADE] = HOP_UPGRADE,
    [HTTP_NAME_CONNECTION] = HOP_CONNECTION,
};

static void drop_named(struct http_head *h, struct str names)
{
    while (names.p) {
        struct str name = str_trim(str_cut(names, ',', &names));
        if (!name.n || str_eq_nocase(name, STR("close")) || str_eq_nocase(name, STR("keep-alive")))
            continue;
        for (uint16_t i = 0; i < h->n; i++) {
            struct http_field *f = &h->fields[i];
            bool same = str_eq_nocase(str_of(f->name, f->name_n), name);
            /* What frames or addresses the message is not for the sender to take out. */
            if (same && f->id != HTTP_NAME_HOST && f->id != HTTP_NAME_CONTENT_LENGTH &&
                f->id != HTTP_NAME_TRANSFER_ENCODING && f->id != HTTP_NAME_TE &&
                f->id != HTTP_NAME_UPGRADE)
                f->name_n = 0;
        }
    }
}

static void pass(struct http_head *h, const uint8_t hops[_HTTP_NAME_MAX], bool keep_upgrade)
{
    for (uint16_t i = 0; i < h->n; i++) {
        struct http_field *f = &h->fields[i];
        enum hop hop = hops[f->id];
        if (hop == HOP_KEEP || !f->name_n || (hop == HOP_UPGRADE && keep_upgrade))
            continue;
        struct str value = http_field_value(f);
        bool trailers = hop == HOP_TE && http_has_token(value, "trailers");
        f->name_n = 0;
        if (hop == HOP_CONNECTION)
            drop_named(h, value);
        if (trailers) {
            f->name_n = 2;
            f->value = "trailers";
            f->value_n = 8;
        }
    }
}

void forward_drop_named(struct http_head *h)
{
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].id == HTTP_NAME_CONNECTION && h->fields[i].name_n)
            drop_named(h, http_field_value(&h->fields[i]));
}

void forward_set_host(struct http_head *h, struct str host)
{
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].id == HTTP_NAME_HOST && h->fields[i].name_n) {
            h->fields[i].value = host.p;
            h->fields[i].value_n = (uint32_t)host.n;
            return;
        }
    IGNORE_RESULT(http_head_add(h, HTTP_NAME_HOST, host)); /* there is room to spare */
}

void forward_request(struct http_head *h, bool keep_upgrade)
{
    pass(h, request_hops, keep_upgrade);
    if (h->authority.p && h->path.n) {
        forward_set_host(h, h->authority); /* it replaces Host (RFC 9112 section 3.2.2) */
        h->target = h->path;
    }
    h->close = false;
}

void forward_answer(struct http_head *h, bool keep_upgrade)
{
    pass(h, answer_hops, keep_upgrade);
}
