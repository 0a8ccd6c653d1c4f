#pragma once
/* The webhook that puts proxies beside pods as they are created: HTTPS, /inject, called by the API
 * server (MutatingWebhookConfiguration, deploy/mesh). And what such a pod needs of its namespace:
 * the ConfigMap that says whom its proxy trusts, told when the first pod of it comes. */

#include "kube/client.h"
#include "model/inject.h"
#include "net/tls.h"

/* MutatingWebhookConfigurations whose caBundle is kept up, where they are: who asks for it, and
 * everywhere. */
#define INJECTOR_CONFIGURATION "fairlead-sidecar-injector"
#define INJECTOR_EVERYWHERE    "fairlead-sidecar-injector-everywhere"

struct injector;

struct injector_stats {
    uint64_t injected, refused, passed, unreadable; /* reviews */
};

/* Options are borrowed. It serves once it has a certificate. */
struct injector *injector_new(struct kube_client *c, const struct ip *ip, uint16_t port,
                              const struct inject_options *o);
/* ProxyConfigs, which must outlive it. */
struct proxy_settings_table;
void injector_set_settings(struct injector *i, const struct proxy_settings_table *t);
void injector_free(struct injector *i); /* NULL is allowed */
/* A certificate for the API server, and the root that it is below (PEM); from now on. */
void injector_set_trust(struct injector *i, struct tls_context *tls, struct str root);
/* It has served, and the API server has been told by which root it is known. */
bool injector_is_ready(const struct injector *i);
uint16_t injector_port(const struct injector *i); /* 0: it does not serve yet */
void injector_get_stats(const struct injector *i, struct injector_stats *ret);
