#pragma once
/* A connection to the control plane for whoever calls it: an endpoint of its cluster, spoken to as
 * that cluster says, and the token that says who we are. */

#include "net/grpc_client.h"
#include "proxy/store.h"

/* NULL: *ret_why says what is missing. */
struct grpc_channel *control_channel_new(struct loop *l, const struct store *s, const char *cluster,
                                         const char *authority, const struct grpc_channel_ops *ops,
                                         void *user, const char **ret_why);
/* "authorization: Bearer …" of that file, read anew each time: tokens of pods are exchanged in
 * their place. value holds the text. False: it cannot be read, as the log says. */
bool control_token_read(const char *file, struct grpc_metadata *ret, struct buf *value);
