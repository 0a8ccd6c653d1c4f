#pragma once
/* The last good configuration: what a control plane has sent and was accepted, kept on disk for a
 * start without it. Main thread; files are written by a thread of their own, one at a time. */

#include "net/loop.h"
#include "proxy/last_good_file.h"
#include "proxy/store.h"

struct last_good;

struct last_good_options {
    const char *dir;
    bool no_secrets; /* private keys stay out of it */
};

/* Opens the directory. Where it cannot be used for want of room or leave, that is told and *ret is
 * NULL; -EPERM: others may write there. */
int last_good_new(struct loop *l, struct store *s, const struct last_good_options *o,
                  const Envoy__Config__Core__V3__Node *node, struct last_good **ret,
                  struct err *reterr) NODISCARD;
void last_good_free(struct last_good *g); /* writes what has changed; NULL is allowed */

/* What is on disk, if it is whole, ours, and the store of the bootstrap takes all of it: into the
 * store, and by `hold` to whoever asks the control plane (false: nobody wants it). Otherwise
 * nothing of it. */
void last_good_restore(struct last_good *g, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                       bool (*hold)(enum xds_resource type, const struct xds_item *i, void *user),
                       void *user);

/* Behind store_update(), which has marked what is refused. */
void last_good_update(struct last_good *g, const struct xds_update *u);
/* Nobody needs it any more. */
void last_good_forget(struct last_good *g, enum xds_resource type, struct str name);
