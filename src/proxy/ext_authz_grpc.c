/* envoy.service.auth.v3.Authorization/Check: the question of a request, and what its answer changes
 * of it. A status of gRPC's, a message that cannot be read, or one that asks for what is not done
 * is no answer. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/rand.h"
#include "base/time.h"
#include "codec/grpc.h"
#include "proxy/duration.h"
#include "proxy/ext_authz_priv.h"
#include "proxy/filter_field.h"

#define PATH "/envoy.service.auth.v3.Authorization/Check"

enum { TIMEOUT_MS = 200 }; /* Envoy's */

/* ---- configuration ---- */

static int compile_metadata(struct filter_compile *c,
                            Envoy__Config__Core__V3__HeaderValue *const *m, size_t n,
                            struct authz *ret)
{
    ret->n_add = n;
    ret->add = arena_alloc(c->a, (n + 1) * sizeof(*ret->add));
    ret->add_values = arena_alloc(c->a, (n + 1) * sizeof(*ret->add_values));
    if (!ret->add || !ret->add_values)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct str name = arena_str(c->a, str_from(m[i]->key));
        ret->add_values[i] = arena_str(c->a, str_from(m[i]->value));
        if (!name.p || !ret->add_values[i].p)
            return -ENOMEM;
        if (!http_is_token(name) || !http_is_value(ret->add_values[i]) ||
            str_starts(name, STR("grpc-")))
            return pb_path_fail(c->path, c->err, -EINVAL, "initial_metadata[%zu]: no field", i);
        ret->add[i] = (struct header_name){(uint16_t)http_name_find(name), name};
    }
    return 0;
}

int ext_authz_compile_grpc(struct filter_compile *c, const Envoy__Config__Core__V3__GrpcService *m,
                           struct authz *ret)
{
    if (m->target_specifier_case !=
        ENVOY__CONFIG__CORE__V3__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC)
        return pb_path_fail(c->path, c->err, -EINVAL, "envoy_grpc must be set");
    ret->timeout_ms = duration_ms(m->timeout, TIMEOUT_MS);
    ret->cluster = arena_str(c->a, str_from(m->envoy_grpc->cluster_name));
    ret->authority = arena_str(c->a, str_from(m->envoy_grpc->authority));
    if (!ret->cluster.p || !ret->authority.p)
        return -ENOMEM;
    if (!ret->cluster.n)
        return pb_path_fail(c->path, c->err, -EINVAL, "envoy_grpc.cluster_name must be set");
    return compile_metadata(c, m->initial_metadata, m->n_initial_metadata, ret);
}

/* ---- the question ---- */

struct asking {
    const struct authz *z;
    struct arena *a;
    struct authz_field *fields;
    size_t n;
    bool failed;
};

/* Those of one name are one text, in their order. */
static void add_field(struct asking *x, struct str name, struct str value)
{
    const struct authz *z = x->z;
    if ((z->allowed.n && !ext_authz_is_among(&z->allowed, name)) ||
        ext_authz_is_among(&z->forbidden, name))
        return;
    for (size_t i = 0; i < x->n; i++) {
        struct authz_field *f = &x->fields[i];
        if (!str_eq(f->name, name))
            continue;
        char *both = arena_alloc_raw(x->a, f->value.n + 1 + value.n);
        x->failed = x->failed || !both;
        if (!both)
            return;
        memcpy(both, f->value.p, f->value.n);
        both[f->value.n] = ',';
        memcpy(both + f->value.n + 1, value.p, value.n);
        f->value = str_of(both, f->value.n + 1 + value.n);
        return;
    }
    x->fields[x->n++] = (struct authz_field){name, value};
}

static struct str lower(struct asking *x, struct str s)
{
    struct str copy = arena_str(x->a, s);
    x->failed = x->failed || !copy.p;
    for (size_t i = 0; copy.p && i < copy.n; i++)
        if (copy.p[i] >= 'A' && copy.p[i] <= 'Z')
            ((char *)(uintptr_t)copy.p)[i] |= 0x20;
    return copy;
}

static void add_fields(struct asking *x, const struct http_head *h, struct authz_question *q)
{
    enum { PSEUDO = 4 };
    x->fields = arena_alloc(x->a, (h->n + PSEUDO) * sizeof(*x->fields));
    if (!x->fields) {
        x->failed = true;
        return;
    }
    add_field(x, STR(":authority"), q->host);
    add_field(x, STR(":method"), q->method);
    add_field(x, STR(":path"), q->path);
    add_field(x, STR(":scheme"), q->scheme);
    for (uint16_t i = 0; i < h->n && !x->failed; i++) {
        const struct http_field *f = &h->fields[i];
        if (f->name_n && f->id != HTTP_NAME_HOST)
            add_field(x, lower(x, str_of(f->name, f->name_n)), http_field_value(f));
    }
    q->fields = x->fields;
    q->n_fields = x->n;
}

/* A URI, else a DNS name, else the subject. */
static struct str peer_principal(struct tls_session *tls)
{
    const struct tls_peer *peer = tls ? tls_session_peer(tls) : NULL;
    if (!peer || !peer->verified)
        return STR("");
    return peer->uris.n ? peer->uris.v[0] : peer->dns.n ? peer->dns.v[0] : peer->subject;
}

static void add_peers(struct asking *x, struct conn *conn, struct authz_question *q)
{
    struct tls_session *tls = conn_tls(conn);
    AUTO_DONE(buf) struct buf own = {0};
    if (conn_peer_addr(conn, &q->source.ip, &q->source.port) < 0)
        q->source.ip.family = 0;
    if (conn_local_addr(conn, &q->destination.ip, &q->destination.port) < 0)
        q->destination.ip.family = 0;
    q->source.principal = peer_principal(tls);
    if (tls && (tls_session_own_uri(tls, &own) || tls_session_own_subject(tls, &own)))
        q->destination.principal = arena_str(x->a, buf_str(&own));
}

static struct str protocol_of(const struct http_conn *hc, const struct http_head *h)
{
    return http_conn_version(hc) == 2 ? STR("HTTP/2")
           : h->minor                 ? STR("HTTP/1.1")
                                      : STR("HTTP/1.0");
}

static bool encode(struct filter_call *c, const struct authz *z, const struct body_rule *body,
                   struct chain *to)
{
    const struct http_head *h = c->head;
    struct http_conn *hc = http_stream_conn(c->down);
    struct conn *conn = http_conn_conn(hc);
    struct asking x = {.z = z, .a = http_stream_arena(c->down)};
    AUTO_DONE(buf) struct buf message = {0};
    AUTO_DONE(buf) struct buf text = {0};
    struct authz_question q = {.now_us = time_real_us(),
                               .id = rand_u64(),
                               .method = h->method,
                               .path = h->path,
                               .host = h->authority,
                               .scheme = conn_tls(conn) ? STR("https") : STR("http"),
                               .protocol = protocol_of(hc, h),
                               .size = h->content_length};
    if (!q.host.p)
        q.host = http_field_value(http_head_find(h, HTTP_NAME_HOST));
    if (q.size < 0)
        q.size = -1;
    add_peers(&x, conn, &q);
    add_fields(&x, h, &q);
    if (body) {
        void *room = c->body->n ? buf_reserve(&text, c->body->n) : NULL;
        if (room) {
            chain_copy(c->body, room, c->body->n);
            text.n += c->body->n;
        }
        q.body = text.n ? buf_str(&text) : STR("");
        q.raw = body->raw;
        q.size = (int64_t)text.n;
    }
    authz_question_encode(&q, &message);
    if (x.failed || message.failed || text.failed)
        return false;
    grpc_add(to, buf_str(&message));
    return true;
}

static bool add_head(struct http_head *h, struct arena *a, struct str name, struct str value)
{
    struct header_name n = {(uint16_t)http_name_find(name), name};
    return head_add(h, a, n, value);
}

bool ext_authz_make_check(struct filter_call *c, const struct authz *z,
                          const struct body_rule *body, struct filter_question *q)
{
    struct arena *a = http_stream_arena(c->down);
    struct http_head *h = &q->head;
    char timeout[24];
    /* At most eight digits. */
    int n = z->timeout_ms < 100000000
                ? snprintf(timeout, sizeof(timeout), "%llum", (unsigned long long)z->timeout_ms)
                : 0;
    struct str after = arena_str(a, str_of(timeout, (size_t)n));
    bool ok = after.p && encode(c, z, body, q->message);
    h->method = STR("POST");
    h->minor = 1;
    h->path = h->target = STR(PATH);
    ok = ok && add_head(h, a, STR("host"), z->authority.n ? z->authority : z->cluster) &&
         add_head(h, a, STR("te"), STR("trailers")) &&
         add_head(h, a, STR("content-type"), STR("application/grpc"));
    if (ok && n && z->timeout_ms)
        ok = add_head(h, a, STR("grpc-timeout"), after);
    for (size_t i = 0; i < z->n_add && ok; i++)
        ok = head_add(h, a, z->add[i], z->add_values[i]);
    q->cluster = z->cluster.p;
    q->timeout_ms = z->timeout_ms;
    q->on_answer = ext_authz_on_check;
    return ok;
}

/* ---- the answer ---- */

static struct header_name name_of(const struct http_header *f)
{
    return (struct header_name){(uint16_t)http_name_find(f->name), f->name};
}

static void take_out(struct http_head *h, struct header_name name)
{
    for (struct http_field *f; (f = head_find(h, name));)
        f->name_n = 0;
}

static bool change(struct http_head *h, struct arena *a, const struct authz_change *by)
{
    struct header_name name = name_of(&by->field);
    bool there = head_find(h, name) != NULL;
    const struct http_field as_field = {.id = name.id, .name = name.text.p, .name_n = 1};
    if (filter_field_is_of_one_hop(&as_field))
        return true; /* they say how a message is framed */
    if ((by->way == AUTHZ_APPEND_TO || by->way == AUTHZ_SET_IF_PRESENT) && !there)
        return true;
    if (by->way == AUTHZ_ADD_IF_ABSENT && there)
        return true;
    if (by->way == AUTHZ_SET || by->way == AUTHZ_SET_IF_PRESENT)
        take_out(h, name);
    return head_add(h, a, name, by->field.value);
}

static enum filter_result allow(struct filter_call *c, const struct authz_answer *by)
{
    struct authz_state *s = c->state;
    struct arena *a = http_stream_arena(c->down);
    bool ok = true;
    for (size_t i = 0; i < by->n_removed; i++)
        take_out(c->head,
                 (struct header_name){(uint16_t)http_name_find(by->removed[i]), by->removed[i]});
    for (size_t i = 0; i < by->n_fields && ok; i++)
        ok = change(c->head, a, &by->fields[i]);
    if (!ok)
        return ext_authz_on_error(c);
    s->changes = by->answer;
    s->n_changes = by->n_answer;
    stats_inc(c->stats, HTTP_STAT_AUTHZ_OK);
    return FILTER_CONTINUE;
}

static enum filter_result deny(struct filter_call *c, const struct authz_answer *by)
{
    struct http_header *fields =
        arena_alloc(http_stream_arena(c->down), (by->n_fields + 1) * sizeof(*fields));
    size_t n = 0;
    for (size_t i = 0; i < by->n_fields && fields; i++) {
        const struct http_field as_field = {.id = name_of(&by->fields[i].field).id, .name_n = 1};
        if (!filter_field_is_of_one_hop(&as_field))
            fields[n++] = by->fields[i].field;
    }
    stats_inc(c->stats, HTTP_STAT_AUTHZ_DENIED);
    c->answer.reason = REASON_AUTHZ_DENIED;
    c->answer.status = by->status;
    c->answer.body = by->body.n ? by->body : STR("");
    c->answer.fields = fields;
    c->answer.n_fields = n;
    return FILTER_ANSWERED;
}

/* Is it an answer of gRPC that is good? Its one message. */
static bool take_message(const struct filter_call *c, const struct http_head *answer,
                         struct str body, struct str *ret)
{
    const struct http_head *last = c->trailers ? c->trailers : answer;
    AUTO_DONE(buf) struct buf why = {0};
    int code = GRPC_UNKNOWN;
    uint32_t n;
    if (!answer || answer->status != 200 || grpc_status_read(last, &code, &why) < 0 || code ||
        body.n < 5 || body.p[0])
        return false;
    const uint8_t *p = (const uint8_t *)body.p;
    n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    *ret = str_sub(body, 5, body.n);
    return ret->n == n;
}

void ext_authz_on_check(struct filter_call *c, const struct http_head *answer, struct str body)
{
    struct authz_state *s = c->state;
    struct authz_answer by;
    struct str message;
    s->asked = NULL;
    if (!take_message(c, answer, body, &message) ||
        authz_answer_decode(message, http_stream_arena(c->down), &by) < 0)
        c->go_on(c, ext_authz_on_error(c));
    else
        c->go_on(c, by.allows ? allow(c, &by) : deny(c, &by));
}

void ext_authz_change_answer(const struct filter_call *c, struct http_head *answer)
{
    const struct authz_state *s = c->state;
    for (size_t i = 0; i < s->n_changes; i++)
        IGNORE_RESULT(change(answer, http_stream_arena(c->down), &s->changes[i]));
}
