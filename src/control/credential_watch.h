#pragma once
/* Secrets that DestinationRules name for TLS to endpoints: watched as long as one does, and the
 * Services that they are for marked when they change. */

#include "control/auth_objects.h"
#include "control/named_objects.h"
#include "model/mesh_rules.h"

struct credential_watch;

struct credential_watch_options {
    struct named_objects *named;
    struct mesh_rules *rules;
    const struct auth_objects *objects; /* where the contents of those that are named are put */
    const char *gateways;               /* the namespace of gateways */
    /* A rule's Secret is not there, or of no use. */
    void (*on_finding)(const struct destination_rule *d, const struct finding *f, void *user);
    void *user;
};

/* All must outlive it. */
struct credential_watch *credential_watch_new(const struct credential_watch_options *o);
void credential_watch_free(struct credential_watch *w); /* NULL is allowed */
/* A Secret (namespace/name) has come, changed or gone; nothing if no rule names it. */
void credential_watch_changed(struct credential_watch *w, const char *key);
