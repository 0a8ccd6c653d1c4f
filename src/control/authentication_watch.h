#pragma once
/* PeerAuthentications, watched from the day that somebody wants them. A cluster without Istio's
 * definitions has none; that they are forbidden, or cannot be had, is no reason to take plain text:
 * then nobody is served. */

#include "kube/client.h"
#include "model/peer_authentication.h"

struct authentication_watch;

struct authentication_watch_ops {
    void (*on_change)(struct str ns, void *user); /* of one in that namespace */
    void (*on_synced)(void *user);
};

struct authentication_watch *authentication_watch_new(struct kube_client *c,
                                                      const char *root_namespace,
                                                      const struct authentication_watch_ops *ops,
                                                      void *user);
void authentication_watch_free(struct authentication_watch *w); /* NULL is allowed */
/* From now on. True: all that there are are known, or that the server knows no such kind. */
bool authentication_watch_want(struct authentication_watch *w);
const struct peer_authentications *authentication_watch_table(const struct authentication_watch *w);
