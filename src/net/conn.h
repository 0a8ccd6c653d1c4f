#pragma once
/* A byte-stream connection on a loop: TCP or Unix, plain or TLS, client or server. Received bytes
 * gather in conn->in; the owner consumes what it understands. Sent bytes queue when the socket is
 * full; the owner watches conn_queued(). */

#include "base/bytes.h"
#include "net/loop.h"
#include "net/tls.h"

struct conn;

struct conn_ops {
    /* Connected, and the TLS handshake done. Servers: also called. May be NULL. */
    void (*on_open)(struct conn *c, void *user);
    /* New bytes in conn_in(c); consume with buf_consume. Also called once more at end of stream
     * (see conn_eof). */
    void (*on_data)(struct conn *c, void *user);
    /* The queue has emptied below the low watermark after having been above it. May be NULL. */
    void (*on_drain)(struct conn *c, void *user);
    /* Over: code 0 = orderly, else negative errno; text says more. The conn is freed after this
     * returns. */
    void (*on_close)(struct conn *c, int code, const char *text, void *user);
};

struct conn_options {
    struct tls_context *tls; /* NULL = plain; the conn takes its own reference */
    const char *server_name; /* client: SNI and the name (or IP) to verify */
    size_t in_bytes_max;     /* reading pauses when conn_in holds this much; 0 = 256 KiB */
};

/* Takes over a connected (accepted) fd. */
struct conn *conn_new_accepted(struct loop *l, int fd, const struct conn_options *o,
                               const struct conn_ops *ops, void *user);
/* Starts connecting; failures arrive at on_close (never from inside this call). */
struct conn *conn_connect(struct loop *l, const struct sockaddr_storage *to, socklen_t to_len,
                          const struct conn_options *o, const struct conn_ops *ops, void *user);

/* Hands the connection to another owner (protocol upgrade). */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *user);

struct buf *conn_in(struct conn *c);
bool conn_eof(const struct conn *c); /* the peer has finished sending */

void conn_write(struct conn *c, struct str s);          /* copies */
void conn_write_bytes(struct conn *c, struct bytes *b); /* shares */
size_t conn_queued(const struct conn *c);               /* bytes not yet taken by the socket */
void conn_pause(struct conn *c);                        /* stop reading */
void conn_resume(struct conn *c); /* read again; on_data follows if bytes are there */
void conn_set_in_bytes_max(struct conn *c, size_t n); /* who took it over reads other messages */
/* Half-close after the queue is flushed; reading goes on. */
void conn_finish(struct conn *c);
/* Flush, then close; on_close(0) follows. */
void conn_close_after_flush(struct conn *c);
/* Close now; on_close is NOT called; c is gone. */
void conn_free(struct conn *c);

/* Who is there. The subject's CN and O (groups) of a verified client certificate; false if there is
 * none. */
bool conn_peer_cert(struct conn *c, struct buf *ret_cn, struct buf *ret_orgs_lines);
int conn_peer_addr(struct conn *c, struct ip *ret, uint16_t *ret_port) NODISCARD;
int conn_local_addr(struct conn *c, struct ip *ret, uint16_t *ret_port) NODISCARD;

/* [::], which takes IPv4 too, or 0.0.0.0 where the kernel has no IPv6. */
struct ip listener_any(void);
/* A listening socket; on_accept owns the fd. Backlog 1024, SO_REUSEADDR. */
struct listener;
int listener_new(struct loop *l, const struct ip *ip, uint16_t port,
                 void (*on_accept)(int fd, void *user), void *user, struct listener **ret,
                 struct err *reterr) NODISCARD;
void listener_free(struct listener *l);
uint16_t listener_port(const struct listener *l);
