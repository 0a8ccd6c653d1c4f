#pragma once
/* What operators of formats tell of a client's connection, and a line in a log for a connection. */

#include "codec/format.h"
#include "net/conn.h"
#include "proxy/worker.h"

/* Addresses, TLS and who the peer is. */
bool conn_value(const struct format_piece *p, struct buf *to, const struct conn *c);

/* What a line of a connection says, kept while it lives. */
struct conn_log {
    uint64_t begin_us; /* monotonic */
    int64_t begin_real_us;
    struct conn_names names;
    struct ip direct_peer;
    uint16_t direct_peer_port;
    const struct conn *conn; /* NULL: gone, or there was none */
    char *server_name;       /* NULL: none */
    const char *tls_version, *tls_cipher;
    uint64_t received_bytes, sent_bytes;
    uint8_t reason;      /* enum reason */
    char *upstream_host; /* NULL: none */
    char *cluster;       /* NULL: none */
};

/* Of a socket; what `names` (may be NULL) does not say is asked of it. */
void conn_log_begin_fd(struct conn_log *l, int fd, const struct conn_names *names,
                       struct str server_name);
/* Of a connection that is open. */
void conn_log_begin(struct conn_log *l, const struct conn *c, struct str server_name);
/* What is known once the handshake is done. */
void conn_log_opened(struct conn_log *l, const struct conn *c);
void conn_log_write(const struct conn_log *l, struct worker *w, struct access_log *const *logs,
                    size_t n);
void conn_log_done(struct conn_log *l);
