#pragma once
/* Two TLS sessions joined by chains in memory, with certificates of a CA of their own. No sockets,
 * nothing waits. Groups of tests begin with group_up and end with group_down. */

#include <errno.h>

#include "base/assert.h"
#include "net/tls.h"
#include "test.h"

#define NAMES(...)                                                                                 \
    (const struct tls_name[])                                                                      \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define DNS(text)                                                                                  \
    {                                                                                              \
        TLS_NAME_DNS, STR(text)                                                                    \
    }
#define URI(text)                                                                                  \
    {                                                                                              \
        TLS_NAME_URI, STR(text)                                                                    \
    }
#define MATCH(...)   &(const struct tls_name_match){__VA_ARGS__}, .n_peer_names = 1
#define NAMED(x)     buf_str(&(x).cert), buf_str(&(x).key)
#define CERTIFIED(x) .cert_pem = buf_str(&(x).cert), .key_pem = buf_str(&(x).key)

struct pair {
    struct buf cert, key;
};

static struct pair ca, other_ca, server_cert, client_cert;

static inline void pair_done(struct pair *p)
{
    buf_done(&p->cert);
    buf_done(&p->key);
}

static inline void issue_by(const struct pair *by, struct pair *ret,
                            const struct tls_cert_request *r)
{
    struct err err = {0};
    if (tls_cert_issue(r, by ? buf_str(&by->cert) : (struct str){0},
                       by ? buf_str(&by->key) : (struct str){0}, &ret->cert, &ret->key, &err) < 0)
        fail_msg("%s", err_text(&err));
}

/* A server's certificate of our CA. */
static inline void issue(struct pair *ret, const char *cn, const struct tls_name *names, size_t n)
{
    const struct tls_cert_request r = {
        .common_name = cn, .names = names, .n_names = n, .server = true, .client = true, .days = 2};
    issue_by(&ca, ret, &r);
}

static inline int group_up(void **state)
{
    (void)state;
    const struct tls_cert_request r = {.common_name = "ca", .is_ca = true, .days = 2};
    issue_by(NULL, &ca, &r);
    issue_by(NULL, &other_ca, &r);
    issue(&server_cert, "server", NAMES(DNS("one.test")), 1);
    issue(&client_cert, "client", NAMES(URI("spiffe://lab/ns/a/sa/b"), DNS("client.test")), 2);
    return 0;
}

static inline int group_down(void **state)
{
    (void)state;
    pair_done(&ca);
    pair_done(&other_ca);
    pair_done(&server_cert);
    pair_done(&client_cert);
    return 0;
}

/* ---- two sessions ---- */

struct world {
    struct tls_context *server_context, *client_context;
    struct tls_session *server, *client;
    struct chain wire[2][2]; /* [who][0: in, 1: out]; 0 is the client */
    size_t step;             /* bytes delivered at once; 0: all */
    int code[2];             /* of the handshakes */
};

static inline void contexts(struct world *w, struct tls_config s, struct tls_config c)
{
    struct err err = {0};
    if (!s.cert_pem.n && !s.n_certificates)
        s.cert_pem = buf_str(&server_cert.cert), s.key_pem = buf_str(&server_cert.key);
    if (!c.ca_pem.n)
        c.ca_pem = buf_str(&ca.cert);
    if (tls_context_new_server(&s, &w->server_context, &err) < 0 ||
        tls_context_new_client(&c, &w->client_context, &err) < 0)
        fail_msg("%s", err_text(&err));
}

static inline void sessions(struct world *w, const struct tls_session_options *o)
{
    static const struct tls_session_options none;
    w->server = tls_session_new(w->server_context, &none);
    w->client = tls_session_new(w->client_context, o);
    assert_non_null(w->server);
    assert_non_null(w->client);
    tls_session_set_wires(w->client, &w->wire[0][0], &w->wire[0][1]);
    tls_session_set_wires(w->server, &w->wire[1][0], &w->wire[1][1]);
}

static inline void sessions_end(struct world *w)
{
    tls_session_free(w->server);
    tls_session_free(w->client);
    w->server = w->client = NULL;
    for (int i = 0; i < 4; i++)
        chain_done(&w->wire[i / 2][i % 2]);
}

static inline void world_done(struct world *w)
{
    sessions_end(w);
    tls_context_unref(w->server_context);
    tls_context_unref(w->client_context);
}

/* Something was delivered. */
static inline bool deliver(struct world *w)
{
    bool moved = false;
    for (int i = 0; i < 2; i++) {
        struct chain *out = &w->wire[i][1];
        size_t n = w->step ? MIN(w->step, out->n) : out->n;
        moved = moved || n;
        chain_move(&w->wire[!i][0], out, n);
    }
    return moved;
}

/* 0 if both sides are done. */
static inline int shake(struct world *w)
{
    w->code[0] = w->code[1] = -EAGAIN;
    do {
        if (w->code[0] == -EAGAIN)
            w->code[0] = tls_session_handshake(w->client);
        if (w->code[1] == -EAGAIN)
            w->code[1] = tls_session_handshake(w->server);
    } while (deliver(w));
    return w->code[0] ? w->code[0] : w->code[1];
}

static inline int meet(struct world *w, const char *name)
{
    sessions(w, &(struct tls_session_options){.server_name = name});
    return shake(w);
}

static inline void must_meet(struct world *w, const char *name)
{
    if (meet(w, name) < 0)
        fail_msg("client: %s; server: %s", tls_session_error(w->client),
                 tls_session_error(w->server));
}

static inline void says(const char *text, const char *part)
{
    if (!str_contains(str_from(text), str_from(part)))
        fail_msg("\"%s\" does not say \"%s\"", text, part);
}

/* From one side to the other; what arrived is compared. */
static inline void carry(struct world *w, bool to_server, size_t n)
{
    struct tls_session *from = to_server ? w->client : w->server;
    struct tls_session *to = to_server ? w->server : w->client;
    struct chain plain = {0}, got = {0};
    char *sent = xmalloc(n), *copy = xmalloc(n);
    for (size_t i = 0; i < n; i++)
        sent[i] = (char)(i * 31 + i / 251);
    chain_add(&plain, str_of(sent, n));
    while (got.n < n) {
        if (plain.n)
            assert_true(tls_session_write(from, &plain) > 0);
        deliver(w);
        ssize_t r = tls_session_read(to, &got, 70000);
        assert_true(r > 0 || r == -EAGAIN);
    }
    chain_copy(&got, copy, n);
    assert_memory_equal(copy, sent, n);
    chain_done(&got);
    free(sent);
    free(copy);
}
