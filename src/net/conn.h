#pragma once
/* A byte-stream connection on a loop: TCP or Unix, plain or TLS, client or server. What was
 * received waits in conn_in(); the owner takes or consumes what it understands. What is to be sent
 * queues when the socket is full; the owner watches conn_queued(). */

#include "base/addr.h"
#include "base/chain.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

struct conn_ops {
    /* Connected, and the TLS handshake done. Servers: also called. May be NULL. */
    void (*on_open)(struct conn *c, void *user);
    /* New bytes in conn_in(c), or the end of the stream (see conn_eof), or conn_resume() found
     * bytes that wait. */
    void (*on_data)(struct conn *c, void *user);
    /* The queue has emptied after having held something. May be NULL. */
    void (*on_drain)(struct conn *c, void *user);
    /* Over: code 0 = orderly, else negative errno; text says more. The conn is freed after this
     * returns. */
    void (*on_close)(struct conn *c, int code, const char *text, void *user);
};

/* Of a connection whose owner takes it over at once (conn_set_ops). */
extern const struct conn_ops conn_no_ops;

/* How a peer that vanishes without a word is noticed; 0: as the system has it. */
struct conn_keepalive {
    uint32_t idle_s, interval_s, probes;
};

struct conn_options {
    struct tls_context *tls; /* NULL = plain; the conn takes its own reference */
    const struct tls_session_options *tls_options; /* NULL = none; used by the call only */
    size_t in_bytes_max; /* reading pauses when conn_in holds this much; 0 = 256 KiB */
    const struct conn_keepalive *keepalive; /* NULL: within 40 s */
    /* What goes out before all else, before TLS, too: the PROXY protocol. Copied. */
    struct str preface;
    const struct ip *from; /* whence to connect, if it is of the family; NULL: as the route says */
};

/* Takes over a connected fd: an accepted one, or one of a pair. */
struct conn *conn_new_accepted(struct loop *l, int fd, const struct conn_options *o,
                               const struct conn_ops *ops, void *user);
/* Starts connecting; failures arrive at on_close (never from inside this call). */
struct conn *conn_connect(struct loop *l, const struct sockaddr_storage *to, socklen_t to_len,
                          const struct conn_options *o, const struct conn_ops *ops, void *user);

/* Hands the connection to another owner (protocol upgrade); on_data follows if bytes wait. */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *user);

struct chain *conn_in(struct conn *c);
bool conn_is_open(const struct conn *c);   /* connected, the handshake done */
bool conn_eof(const struct conn *c);       /* the peer has finished sending */
bool conn_truncated(const struct conn *c); /* TLS: and did not say so; what came may be a part */

void conn_write(struct conn *c, struct str s);             /* copies */
void conn_write_bytes(struct conn *c, struct bytes *b);    /* shares */
void conn_write_chain(struct conn *c, struct chain *from); /* moves all of it */
/* Room for what is written next: fill it, then call conn_wake. */
struct chain *conn_out(struct conn *c);
void conn_wake(struct conn *c);
size_t conn_queued(const struct conn *c); /* bytes not yet taken by the socket */
void conn_pause(struct conn *c);          /* on_data comes no more */
void conn_resume(struct conn *c);         /* reads again; on_data follows if bytes wait */
void conn_set_in_bytes_max(struct conn *c, size_t n); /* who took it over reads other messages */
/* Half-close after the queue is flushed; reading goes on. */
void conn_finish(struct conn *c);
/* Flush, then close; on_close(0) follows. */
void conn_close_after_flush(struct conn *c);
/* Close now; on_close is NOT called; c is gone. */
void conn_free(struct conn *c);
/* Close now with a reset, so that the peer cannot take what it got for the whole. */
void conn_reset(struct conn *c);

struct loop *conn_loop(const struct conn *c);
/* NULL: plain. */
struct tls_session *conn_tls(const struct conn *c);
/* The subject's CN and O (groups) of a verified client certificate; false if there is none. */
bool conn_peer_cert(struct conn *c, struct buf *ret_cn, struct buf *ret_orgs_lines);
int conn_peer_addr(const struct conn *c, struct ip *ret, uint16_t *ret_port) NODISCARD;
/* The peer of the socket, whoever that speaks for. */
int conn_direct_peer_addr(const struct conn *c, struct ip *ret, uint16_t *ret_port) NODISCARD;
/* Somebody who knows better has said what our address is. */
bool conn_is_redirected(const struct conn *c);
int conn_local_addr(const struct conn *c, struct ip *ret, uint16_t *ret_port) NODISCARD;

/* What somebody who knows better has said (PROXY protocol, redirection): told instead of the
 * socket's own. A family 0 leaves the socket's. */
struct conn_names {
    struct ip peer, local;
    uint16_t peer_port, local_port;
};
void conn_set_names(struct conn *c, const struct conn_names *n); /* copies */
