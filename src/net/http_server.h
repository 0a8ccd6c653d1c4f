#pragma once
/* A server of whole messages over net/http_stream.h: a request comes when its body is there, a
 * reply or a stream goes out. Limits: body as configured, 64 MiB of large bodies together, idle,
 * head and body timeouts; those of a connection are http1_conn.h's. */

#include "net/http_stream.h"
#include "net/listener.h"

struct http_server;
struct http_exchange;

struct http_server_config {
    struct tls_context *tls;  /* NULL = plain */
    size_t body_bytes_max;    /* larger bodies are answered 413; 0 = 1 MiB */
    uint64_t head_timeout_ms; /* 0 = 10 s */
    uint64_t body_timeout_ms; /* from the head's end; 0 = 30 s */
    uint64_t idle_timeout_ms; /* between requests; 0 = 90 s */
    size_t connections_max;   /* 0 = 16384; more are closed at once */
};

struct http_server_ops {
    /* A complete request. Answer now or later, exactly once. */
    void (*on_request)(struct http_exchange *x, void *user);
    /* The answer of a body over the limit or a malformed request; NULL = a plain-text default.
     * status is 400, 408, 413, 431, 501, 503 or 505; the connection closes after what this writes
     * to body (content type JSON). */
    void (*on_bad_request)(int status, const char *why, struct buf *body, void *user);
};

int http_server_new(struct loop *l, const struct ip *ip, uint16_t port,
                    const struct http_server_config *c, const struct http_server_ops *ops,
                    void *user, struct http_server **ret, struct err *reterr) NODISCARD;
/* At an address or a Unix socket, whose file stays behind. */
int http_server_new_at(struct loop *l, const struct listener_address *at,
                       const struct http_server_config *c, const struct http_server_ops *ops,
                       void *user, struct http_server **ret, struct err *reterr) NODISCARD;
void http_server_free(
    struct http_server *s); /* closes every connection; on_done of open exchanges is called */
/* Of a server over TLS: for connections to come. */
void http_server_set_tls(struct http_server *s, struct tls_context *tls);
uint16_t http_server_port(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);

/* The request; all borrowed until the exchange ends. path is percent-decoded by the caller
 * (codec/url.h). */
struct str http_exchange_method(const struct http_exchange *x);
struct str http_exchange_path(const struct http_exchange *x);  /* raw, without the query */
struct str http_exchange_query(const struct http_exchange *x); /* raw, without '?' */
struct str http_exchange_header(const struct http_exchange *x,
                                const char *name); /* first; .p NULL if absent */
const struct http_head *http_exchange_head(const struct http_exchange *x);
struct str http_exchange_body(const struct http_exchange *x);
struct conn *
http_exchange_conn(struct http_exchange *x); /* for the peer's address and certificate */

/* Called when the exchange is over for any reason (answered, connection lost); x is gone
 * afterwards. */
void http_exchange_set_done(struct http_exchange *x,
                            void (*on_done)(struct http_exchange *x, void *user), void *user);

/* A whole answer. Content-Length is added. HEAD is handled. A header "Connection: close" is obeyed:
 * the connection ends behind the answer. */
void http_exchange_reply(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n, struct str body);
void http_exchange_reply_bytes(struct http_exchange *x, int status,
                               const struct http_header *headers, size_t n, struct bytes *body);

/* A streamed answer: Transfer-Encoding: chunked. */
void http_exchange_start(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n);
void http_exchange_write(struct http_exchange *x, struct str s);
void http_exchange_write_bytes(struct http_exchange *x, struct bytes *b);
size_t http_exchange_queued(const struct http_exchange *x);
/* fn when the queue has emptied, each time. */
void http_exchange_set_drain(struct http_exchange *x,
                             void (*on_drain)(struct http_exchange *x, void *user), void *user);
void http_exchange_finish(struct http_exchange *x);

/* Nobody waits for the answer of a client that has finished sending: its end is this exchange's. */
void http_exchange_end_with_client(struct http_exchange *x);
/* Ends the exchange and its connection at once, whatever is still queued. */
void http_exchange_abort(struct http_exchange *x);

/* 101 Switching Protocols with these headers; the connection is the caller's from now on (x is
 * gone, on_done is not called). Bytes that came after the request are in conn_in(). */
struct conn *http_exchange_upgrade(struct http_exchange *x, const struct http_header *headers,
                                   size_t n);
/* Takes the connection without writing anything, for a tunnel that copies the upstream's own
 * answer. */
struct conn *http_exchange_take_conn(struct http_exchange *x);
