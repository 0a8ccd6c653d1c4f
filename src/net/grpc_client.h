#pragma once
/* gRPC calls over one HTTP/2 connection. Connecting again after its end is the caller's matter. */

#include "codec/grpc.h"
#include "net/http_stream.h"

struct grpc_channel;
struct grpc_call;

struct grpc_channel_config {
    struct sockaddr_storage to;
    socklen_t to_bytes;
    const struct ip *from;   /* as conn_options has it */
    struct tls_context *tls; /* offers "h2"; NULL = plain, prior knowledge */
    const struct tls_session_options *tls_options;
    const char *authority;
    uint64_t connect_timeout_ms; /* 0 = 10 s */
    size_t message_bytes_max;    /* of what is received; 0 = 64 MiB */
};

struct grpc_channel_ops {
    void (*on_open)(struct grpc_channel *c, void *user);
    /* Over, after all of its calls; it is gone when this returns. */
    void (*on_close)(struct grpc_channel *c, int code, const char *text, void *user);
};

/* Copies what it needs of the configuration. Callbacks never come from inside this call. */
struct grpc_channel *grpc_channel_new(struct loop *l, const struct grpc_channel_config *config,
                                      const struct grpc_channel_ops *ops, void *user);
/* At once; calls and channel say nothing any more. NULL is allowed. */
void grpc_channel_free(struct grpc_channel *c);

struct grpc_metadata {
    struct str name; /* lower case */
    struct str value;
};

struct grpc_call_ops {
    /* Borrowed until this returns. */
    void (*on_message)(struct grpc_call *call, struct str message, void *user);
    /* Over: an enum grpc_code and its text; the call is gone when this returns. */
    void (*on_over)(struct grpc_call *call, int code, const char *text, void *user);
};

/* Both directions stream. path: "/package.Service/Method". NULL: the channel takes no call (not
 * open, or as many as the peer allows). */
struct grpc_call *grpc_call_new(struct grpc_channel *c, const char *path,
                                const struct grpc_metadata *metadata, size_t n_metadata,
                                const struct grpc_call_ops *ops, void *user);
void grpc_call_send(struct grpc_call *call, struct str message); /* copies */
size_t grpc_call_queued(const struct grpc_call *call);           /* bytes not yet on their way */
void grpc_call_finish(struct grpc_call *call);                   /* nothing more will be sent */
void grpc_call_cancel(struct grpc_call *call);                   /* without a callback */
