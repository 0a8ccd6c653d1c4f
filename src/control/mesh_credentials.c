#include "control/mesh_credentials.h"

#include "model/destination_rule.h"

struct mesh_credentials mesh_credentials_find(const struct auth_objects *all,
                                              const struct traffic_tls *t, const char *ns)
{
    bool own = t->mode == TRAFFIC_TLS_MUTUAL;
    struct mesh_credentials c = {0};
    if (!t->credential_name || (!own && t->mode != TRAFFIC_TLS_SIMPLE))
        return c;
    AUTO_CHARS char *key = xasprintf("%s/%s", ns ? ns : "", t->credential_name),
                    *ca = xasprintf("%s" DESTINATION_CA_SUFFIX, key);
    const struct auth_secret *s = ns ? map_find_cstr(&all->secrets, key) : NULL,
                             *trusted = ns ? auth_objects_ca(all, ca) : NULL;
    if (own && s && *s->cert)
        c.shown = s;
    if (!t->unverified)
        c.trusted = trusted ? trusted : ns ? auth_objects_ca(all, key) : NULL;
    c.closed = !ns || (own && !c.shown) || (!t->unverified && !c.trusted);
    return c;
}
