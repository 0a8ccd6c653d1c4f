#pragma once
/* gRPC's server: calls over HTTP/2 connections, both directions stream. Limits: connections, calls
 * a connection (http2_limits), bytes of a message; who sends what is not gRPC is told so by status
 * 415 and the call ends. Time-outs that clients ask for (grpc-timeout) end the call. */

#include "codec/grpc.h"
#include "net/http_stream.h"
#include "net/listener.h"

struct grpc_server;
struct grpc_server_call;

struct grpc_server_config {
    struct tls_context *tls;  /* offers "h2"; NULL = plain, prior knowledge */
    size_t message_bytes_max; /* of what is received; 0 = 16 MiB */
    size_t connections_max;   /* 0 = 16384; more are closed at once */
};

struct grpc_server_ops {
    /* A call has come: set its ops, or end it. */
    void (*on_call)(struct grpc_server_call *call, void *user);
};

struct grpc_server_call_ops {
    /* Borrowed until this returns. */
    void (*on_message)(struct grpc_server_call *call, struct str message, void *user);
    /* The client sends nothing more; the call goes on until it is ended. */
    void (*on_client_end)(struct grpc_server_call *call, void *user);
    /* What was sent is on its way. May be NULL. */
    void (*on_drain)(struct grpc_server_call *call, void *user);
    /* Broken off by the client, its connection or its time-out; the call is gone when this
     * returns. Does not come after grpc_server_call_end(). */
    void (*on_over)(struct grpc_server_call *call, void *user);
};

int grpc_server_new(struct loop *l, const struct ip *ip, uint16_t port,
                    const struct grpc_server_config *config, const struct grpc_server_ops *ops,
                    void *user, struct grpc_server **ret, struct err *reterr) NODISCARD;
/* At once; open calls are told by on_over. NULL is allowed. */
void grpc_server_free(struct grpc_server *s);
/* Of connections from now on. */
void grpc_server_set_tls(struct grpc_server *s, struct tls_context *tls);
uint16_t grpc_server_port(const struct grpc_server *s);
size_t grpc_server_connections(const struct grpc_server *s);

/* "/package.Service/Method"; borrowed. */
struct str grpc_server_call_path(const struct grpc_server_call *call);
/* A field of the request; .p NULL: absent. name: lower case. */
struct str grpc_server_call_metadata(const struct grpc_server_call *call, const char *name);
/* Borrowed: the peer's address and certificate. */
struct conn *grpc_server_call_conn(const struct grpc_server_call *call);
void grpc_server_call_set_ops(struct grpc_server_call *call, const struct grpc_server_call_ops *ops,
                              void *user);
void grpc_server_call_send(struct grpc_server_call *call, struct str message);    /* copies */
void grpc_server_call_move(struct grpc_server_call *call, struct chain *message); /* takes all */
size_t grpc_server_call_queued(const struct grpc_server_call *call); /* not yet on their way */
/* The answer's end; the call is gone for its user, no callback comes any more. text may be NULL. */
void grpc_server_call_end(struct grpc_server_call *call, enum grpc_code code, const char *text);
