#include "control/credential_watch.h"

#include "base/mem.h"

struct credential_watch {
    struct credential_watch_options o;
};

static void use(struct credential_watch *w, const char *key, bool used)
{
    if (used)
        named_objects_use(w->o.named, NAMED_SECRET, key);
    else
        named_objects_end_use(w->o.named, NAMED_SECRET, key);
}

static void on_credential(struct str ns, const char *name, bool used, void *user)
{
    struct credential_watch *w = user;
    AUTO_CHARS char *of = str_dup(ns.n ? ns : str_from(w->o.gateways)),
                    *key = xasprintf("%s/%s", of, name),
                    *ca = xasprintf("%s" DESTINATION_CA_SUFFIX, key);
    use(w, key, used);
    use(w, ca, used);
}

/* Both are known, and neither has anything. */
static bool is_missing(const struct credential_watch *w, const char *key)
{
    AUTO_CHARS char *ca = xasprintf("%s" DESTINATION_CA_SUFFIX, key);
    return named_objects_settled(w->o.named, NAMED_SECRET, key) &&
           named_objects_settled(w->o.named, NAMED_SECRET, ca) &&
           !auth_objects_backend(w->o.objects, key, false) && !auth_objects_ca(w->o.objects, ca);
}

static void tell(const struct credential_watch *w, const struct destination_rule *d,
                 const char *key)
{
    AUTO_DONE(findings) struct findings f = {0};
    finding_add(&f, FINDING_ERROR, "CredentialNotUsable", d->o.key,
                "spec.trafficPolicy.tls.credentialName",
                "create it, with ca.crt, and with tls.crt and tls.key for MUTUAL",
                "there is no Secret %s that can be used: what is sent there gets 503", key);
    w->o.on_finding(d, &f.v[0], w->o.user);
}

void credential_watch_changed(struct credential_watch *w, const char *key)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    const struct destination_rule *d;
    mesh_rules_secret_changed(w->o.rules, ns, name);
    if (str_is(ns, w->o.gateways))
        mesh_rules_secret_changed(w->o.rules, STR(""), name);
    for (size_t at = 0; (d = mesh_rules_next_destination_rule(w->o.rules, &at));)
        for (size_t i = 0; i < d->n_credentials; i++) {
            const char *of = d->selector ? d->o.ns : w->o.gateways;
            AUTO_CHARS char *own = xasprintf("%s/%s", of, d->credentials[i]);
            if (str_is(ns, of) && destination_rule_has_credential(d, name) && is_missing(w, own))
                tell(w, d, own);
        }
}

struct credential_watch *credential_watch_new(const struct credential_watch_options *o)
{
    struct credential_watch *w = NEW(struct credential_watch);
    w->o = *o;
    mesh_rules_set_credential_observer(o->rules, on_credential, w);
    return w;
}

void credential_watch_free(struct credential_watch *w)
{
    if (!w)
        return;
    mesh_rules_set_credential_observer(w->o.rules, NULL, NULL);
    free(w);
}
