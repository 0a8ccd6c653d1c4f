/* Labels are kept as "KEY\0VALUE\0", in the order in which they came. */
#include "proxy/socket_match.h"

#include <errno.h>

#include "base/vec.h"

#define METADATA "envoy.transport_socket_match"

struct socket_match {
    struct buf labels;
    struct upstream_tls *tls; /* NULL: plain */
    uint8_t proxy;            /* the version of the PROXY protocol before it; 0: none */
};

struct socket_matches {
    VEC(struct socket_match) v;
};

static void add_word(struct buf *b, const char *word)
{
    buf_add(b, word, strlen(word) + 1);
}

/* False: some of it is no text. */
static bool add_labels(const Google__Protobuf__Struct *m, struct buf *ret)
{
    bool all = true;
    for (size_t i = 0; m && i < m->n_fields; i++) {
        const Google__Protobuf__Value *v = m->fields[i]->value;
        if (!v || v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
            all = false;
            continue;
        }
        add_word(ret, m->fields[i]->key);
        add_word(ret, v->string_value);
    }
    return all;
}

int socket_labels_read(const Envoy__Config__Core__V3__Metadata *m, struct buf *ret)
{
    for (size_t i = 0; m && i < m->n_filter_metadata; i++)
        if (streq(m->filter_metadata[i]->key, METADATA))
            add_labels(m->filter_metadata[i]->value, ret);
    return ret->failed || ret->n > SOCKET_LABELS_BYTES_MAX ? -E2BIG : 0;
}

static struct str next_word(struct str *rest)
{
    struct str word = str_of(rest->p, strlen(rest->p));
    *rest = str_sub(*rest, word.n + 1, rest->n);
    return word;
}

static bool has(struct str labels, struct str key, struct str value)
{
    while (labels.n) {
        struct str k = next_word(&labels), v = next_word(&labels);
        if (str_eq(k, key))
            return str_eq(v, value);
    }
    return false;
}

static bool fits(const struct socket_match *m, struct str labels)
{
    struct str rest = buf_str(&m->labels);
    while (rest.n) {
        struct str key = next_word(&rest), value = next_word(&rest);
        if (!has(labels, key, value))
            return false;
    }
    return true;
}

bool socket_matches_find(const struct socket_matches *m, struct str labels,
                         struct upstream_tls **ret)
{
    VEC_FOREACH (one, &m->v)
        if (fits(one, labels)) {
            *ret = one->tls;
            return true;
        }
    return false;
}

bool socket_matches_next(const struct socket_matches *m, size_t *at, struct upstream_tls **ret)
{
    if (!m || *at >= m->v.n)
        return false;
    *ret = m->v.v[(*at)++].tls;
    return true;
}

static int compile_one(struct compile *c,
                       const Envoy__Config__Cluster__V3__Cluster__TransportSocketMatch *m,
                       struct socket_match *to)
{
    size_t mark = c->path.n;
    if (!add_labels(m->match, &to->labels))
        return COMPILE_FAIL(c, "match: only values that are texts are implemented");
    if (to->labels.failed || to->labels.n > SOCKET_LABELS_BYTES_MAX)
        return COMPILE_FAIL(c, "match: longer than %d bytes", SOCKET_LABELS_BYTES_MAX);
    if (!m->transport_socket)
        return COMPILE_FAIL(c, "transport_socket must be set");
    pb_path_field(&c->path, "transport_socket");
    int r = upstream_tls_compile(c, m->transport_socket, &to->tls, &to->proxy);
    if (r == 0)
        pb_path_back(&c->path, mark);
    return r;
}

int socket_matches_compile(struct compile *c, const Envoy__Config__Cluster__V3__Cluster *m,
                           struct socket_matches **ret)
{
    *ret = NULL;
    if (!m->n_transport_socket_matches)
        return 0;
    size_t mark = pb_path_field(&c->path, "transport_socket_matches");
    if (m->n_transport_socket_matches > SOCKET_MATCHES_MAX)
        return COMPILE_FAIL(c, "more than %d", SOCKET_MATCHES_MAX);
    struct socket_matches *all = NEW(struct socket_matches);
    for (size_t i = 0; i < m->n_transport_socket_matches; i++) {
        size_t at = c->path.n;
        pb_path_index(&c->path, i);
        int r = compile_one(c, m->transport_socket_matches[i], vec_add(&all->v));
        if (r < 0) {
            socket_matches_free(all);
            return r;
        }
        pb_path_back(&c->path, at);
    }
    pb_path_back(&c->path, mark);
    *ret = all;
    return 0;
}

int socket_matches_proxy(const struct socket_matches *m)
{
    int version = m->v.v[0].proxy;
    VEC_FOREACH (one, &m->v)
        version = one->proxy == version ? version : -1;
    return version;
}

void socket_matches_free(struct socket_matches *m)
{
    if (!m)
        return;
    VEC_FOREACH (one, &m->v) {
        buf_done(&one->labels);
        upstream_tls_free(one->tls);
    }
    vec_done(&m->v);
    free(m);
}
