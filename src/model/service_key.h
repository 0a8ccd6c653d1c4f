#pragma once
/* Keys of what can be called: "ns/web" is a Service, "ns/.entry/host" one of the hosts of a
 * ServiceEntry of that name. No Service's name begins with a dot. */

#include "base/str.h"

bool service_key_is_entry(const char *key);
struct str service_key_namespace(const char *key);
/* The Service's or the ServiceEntry's own name. */
struct str service_key_name(const char *key);
/* Owned. */
char *service_key_of_entry(const char *ns, const char *entry, const char *host);
/* What it is called by, in full: "web.ns.svc.cluster.local", or the host. Owned. */
char *service_key_host(const char *key);
