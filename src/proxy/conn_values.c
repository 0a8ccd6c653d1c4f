/* The values of a connection. Those of TLS are asked of the session while there is one. */
#include "proxy/conn_values.h"
#include "proxy/format_time.h"

#include "base/time.h"
#include "proxy/reasons.h"

static bool add(struct buf *to, struct str s)
{
    buf_add_str(to, s);
    return s.n > 0;
}

static bool add_number(struct buf *to, uint64_t n)
{
    buf_addf(to, "%llu", (unsigned long long)n);
    return true;
}

enum part { BOTH, ADDRESS, PORT };

static bool add_address(struct buf *to, struct ip ip, uint16_t port, enum part part)
{
    char text[IP_TEXT_BYTES];
    if (!ip.family)
        return false;
    ip = ip_unmapped(&ip);
    if (part != PORT)
        buf_addf(to, part == BOTH && ip.family == AF_INET6 ? "[%s]" : "%s", ip_format(&ip, text));
    if (part != ADDRESS)
        buf_addf(to, part == BOTH ? ":%u" : "%u", port);
    return true;
}

static bool add_all(struct buf *to, const struct str *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(to, ',');
        buf_add_str(to, v[i]);
    }
    return n > 0;
}

static bool peer_value(const struct format_piece *p, struct buf *to, struct tls_session *s)
{
    const struct tls_peer *peer = tls_session_peer(s);
    if (!peer)
        return false;
    switch ((int)p->op) {
    case FORMAT_DOWNSTREAM_PEER_URI_SAN:
        return add_all(to, peer->uris.v, peer->uris.n);
    case FORMAT_DOWNSTREAM_PEER_DNS_SAN:
        return add_all(to, peer->dns.v, peer->dns.n);
    case FORMAT_DOWNSTREAM_PEER_SUBJECT:
        return add(to, peer->subject);
    case FORMAT_DOWNSTREAM_PEER_ISSUER:
        return add(to, peer->issuer);
    case FORMAT_DOWNSTREAM_PEER_SERIAL:
        return add(to, peer->serial);
    case FORMAT_DOWNSTREAM_PEER_FINGERPRINT_256:
        return add(to, peer->sha256);
    default:
        return false;
    }
}

static bool tls_value(const struct format_piece *p, struct buf *to, struct tls_session *s)
{
    switch ((int)p->op) {
    case FORMAT_DOWNSTREAM_TLS_VERSION:
        return add(to, str_from(tls_session_version(s)));
    case FORMAT_DOWNSTREAM_TLS_CIPHER:
        return add(to, str_from(tls_session_cipher(s)));
    case FORMAT_REQUESTED_SERVER_NAME:
        return add(to, tls_session_server_name(s));
    case FORMAT_DOWNSTREAM_LOCAL_URI_SAN:
        return tls_session_own_uri(s, to);
    case FORMAT_DOWNSTREAM_LOCAL_SUBJECT:
        return tls_session_own_subject(s, to);
    default:
        return peer_value(p, to, s);
    }
}

/* 1: an address, added; 0: an address that is not known; -1: something else. */
static int address_value(int op, struct buf *to, const struct conn_names *n,
                         const struct ip *direct, uint16_t direct_port)
{
    switch (op) {
    case FORMAT_DOWNSTREAM_REMOTE_ADDRESS:
        return add_address(to, n->peer, n->peer_port, BOTH);
    case FORMAT_DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT:
        return add_address(to, n->peer, n->peer_port, ADDRESS);
    case FORMAT_DOWNSTREAM_REMOTE_PORT:
        return add_address(to, n->peer, n->peer_port, PORT);
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS:
        return add_address(to, *direct, direct_port, BOTH);
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT:
        return add_address(to, *direct, direct_port, ADDRESS);
    case FORMAT_DOWNSTREAM_DIRECT_REMOTE_PORT:
        return add_address(to, *direct, direct_port, PORT);
    case FORMAT_DOWNSTREAM_LOCAL_ADDRESS:
        return add_address(to, n->local, n->local_port, BOTH);
    case FORMAT_DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT:
        return add_address(to, n->local, n->local_port, ADDRESS);
    case FORMAT_DOWNSTREAM_LOCAL_PORT:
        return add_address(to, n->local, n->local_port, PORT);
    default:
        return -1;
    }
}

/* Addresses of a connection; family 0: unknown. */
static void names_of(const struct conn *c, struct conn_names *n, struct ip *direct,
                     uint16_t *direct_port)
{
    if (conn_peer_addr(c, &n->peer, &n->peer_port) < 0)
        n->peer.family = 0;
    if (conn_local_addr(c, &n->local, &n->local_port) < 0)
        n->local.family = 0;
    if (conn_direct_peer_addr(c, direct, direct_port) < 0)
        direct->family = 0;
}

bool conn_value(const struct format_piece *p, struct buf *to, const struct conn *c)
{
    struct conn_names n = {0};
    struct ip direct = {0};
    uint16_t direct_port = 0;
    names_of(c, &n, &direct, &direct_port);
    int r = address_value(p->op, to, &n, &direct, direct_port);
    if (r >= 0)
        return r;
    return conn_tls(c) && tls_value(p, to, conn_tls(c));
}

/* ---- lines ---- */

static void begin(struct conn_log *l, struct str server_name)
{
    *l = (struct conn_log){.begin_us = time_mono_us(), .begin_real_us = time_real_us()};
    if (server_name.n)
        l->server_name = str_dup(server_name);
}

static void from_sockaddr(int r, const struct sockaddr_storage *sa, struct ip *ip, uint16_t *port)
{
    if (r < 0 || ip_from_sockaddr((const struct sockaddr *)sa, ip, port) < 0)
        ip->family = 0;
}

void conn_log_begin_fd(struct conn_log *l, int fd, const struct conn_names *names,
                       struct str server_name)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    begin(l, server_name);
    if (names)
        l->names = *names;
    from_sockaddr(getpeername(fd, (struct sockaddr *)&sa, &len), &sa, &l->direct_peer,
                  &l->direct_peer_port);
    if (!l->names.peer.family) {
        l->names.peer = l->direct_peer;
        l->names.peer_port = l->direct_peer_port;
    }
    len = sizeof(sa);
    if (!l->names.local.family)
        from_sockaddr(getsockname(fd, (struct sockaddr *)&sa, &len), &sa, &l->names.local,
                      &l->names.local_port);
}

void conn_log_begin(struct conn_log *l, const struct conn *c, struct str server_name)
{
    begin(l, server_name);
    names_of(c, &l->names, &l->direct_peer, &l->direct_peer_port);
}

void conn_log_opened(struct conn_log *l, const struct conn *c)
{
    struct tls_session *s = conn_tls(c);
    if (!s)
        return;
    l->tls_version = tls_session_version(s);
    l->tls_cipher = tls_session_cipher(s);
    if (!l->server_name && tls_session_server_name(s).n)
        l->server_name = str_dup(tls_session_server_name(s));
}

static bool log_value(const struct format_piece *p, struct buf *to, void *user)
{
    const struct conn_log *l = user;
    int r = address_value(p->op, to, &l->names, &l->direct_peer, l->direct_peer_port);
    if (r >= 0)
        return r;
    switch ((int)p->op) {
    case FORMAT_START_TIME:
        format_time(p, l->begin_real_us, to);
        return true;
    case FORMAT_DURATION:
        return add_number(to, (time_mono_us() - l->begin_us) / 1000);
    case FORMAT_RESPONSE_CODE:
        return add_number(to, 0);
    case FORMAT_RESPONSE_CODE_DETAILS:
        return add(to, reason_row((enum reason)l->reason)->details);
    case FORMAT_RESPONSE_FLAGS:
        return add(to, reason_row((enum reason)l->reason)->flag);
    case FORMAT_BYTES_RECEIVED:
        return add_number(to, l->received_bytes);
    case FORMAT_BYTES_SENT:
        return add_number(to, l->sent_bytes);
    case FORMAT_UPSTREAM_HOST:
    case FORMAT_UPSTREAM_REMOTE_ADDRESS:
        return add(to, str_from(l->upstream_host));
    case FORMAT_UPSTREAM_CLUSTER:
        return add(to, str_from(l->cluster));
    case FORMAT_REQUESTED_SERVER_NAME:
        return add(to, str_from(l->server_name));
    case FORMAT_DOWNSTREAM_TLS_VERSION:
        return add(to, str_from(l->tls_version));
    case FORMAT_DOWNSTREAM_TLS_CIPHER:
        return add(to, str_from(l->tls_cipher));
    default:
        return l->conn && conn_tls(l->conn) && tls_value(p, to, conn_tls(l->conn));
    }
}

void conn_log_write(const struct conn_log *l, struct worker *w, struct access_log *const *logs,
                    size_t n)
{
    for (size_t i = 0; i < n; i++)
        access_log_writer_add(worker_log_writer(w, logs[i]), log_value, (void *)(uintptr_t)l, NULL);
}

void conn_log_done(struct conn_log *l)
{
    free(l->server_name);
    free(l->upstream_host);
    free(l->cluster);
}
