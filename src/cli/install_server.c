/* Objects on the server: where they are, whose they are, how they are applied. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "cli/install.h"
#include "codec/url.h"

#define MANAGED_BY    "app.kubernetes.io/managed-by"
#define RELEASE_NAME  "meta.helm.sh/release-name"
#define RELEASE_SPACE "meta.helm.sh/release-namespace"

int install_call(struct install *in, const char *method, const char *path, const char *type,
                 const json_t *body, struct kube_reply *ret)
{
    struct err err = {0};
    if (kube_call_wait(in->session.client, method, path, type, body, ret, &err) < 0) {
        kube_reply_done(ret);
        return cli_unreachable(&in->session, &err);
    }
    return 0;
}

json_t *install_get(struct install *in, const char *path)
{
    struct kube_reply reply;
    struct err err = {0};
    json_t *found = NULL;
    if (kube_call_wait(in->session.client, "GET", path, NULL, NULL, &reply, &err) == 0 &&
        reply.status == 200)
        found = json_incref(reply.object);
    kube_reply_done(&reply);
    return found;
}

int install_refused(const char *what, const struct kube_reply *reply)
{
    const char *message = json_at_str(reply->object, "message");
    return program_fail(EXIT_FAILED,
                        reply->status == 403 ? "whoever installs needs the rights of cluster-admin"
                                             : NULL,
                        "%s: %s", what, message ? message : "the server answered with an error");
}

const struct kube_resource *install_resource(struct install *in, const json_t *object)
{
    const char *api_version = json_key_str(object, "apiVersion"),
               *kind = json_key_str(object, "kind");
    VEC_FOREACH (k, &in->kinds)
        if (streq(k->api_version, api_version) && streq(k->kind, kind))
            return k->known ? &k->resource : NULL;
    struct install_kind *k = vec_add(&in->kinds);
    struct err err = {0};
    k->api_version = xstrdup(api_version);
    k->kind = xstrdup(kind);
    k->known =
        kube_resource_of_kind(in->session.client, api_version, kind, &k->resource, &err) == 0;
    return k->known ? &k->resource : NULL;
}

char *install_path(struct install *in, const json_t *object)
{
    const struct kube_resource *r = install_resource(in, object);
    const char *ns = json_at_str(object, "metadata.namespace");
    return r ? kube_resource_path(r, ns ? ns : CHART_NAMESPACE,
                                  json_at_str(object, "metadata.name"))
             : NULL;
}

char *install_name(const json_t *object)
{
    AUTO_DONE(buf) struct buf b = {0};
    const char *api_version = json_key_str(object, "apiVersion"), *slash = strchr(api_version, '/'),
               *ns = json_at_str(object, "metadata.namespace");
    for (const char *c = json_key_str(object, "kind"); *c; c++)
        buf_add_char(&b, (char)tolower((unsigned char)*c));
    if (slash)
        buf_addf(&b, ".%.*s", (int)(slash - api_version), api_version);
    buf_addf(&b, "/%s", json_at_str(object, "metadata.name"));
    if (ns && !streq(ns, CHART_NAMESPACE))
        buf_addf(&b, " in %s", ns);
    return buf_take_cstr(&b);
}

/* ---- whose it is ---- */

static json_t *map_of(json_t *object, const char *path)
{
    if (!json_is_object(json_at(object, path)))
        json_put(object, path, json_object());
    return json_at(object, path);
}

void install_own(json_t *object)
{
    json_object_set_new(map_of(object, "metadata.labels"), MANAGED_BY, json_string("Helm"));
    json_t *a = map_of(object, "metadata.annotations");
    json_object_set_new(a, RELEASE_NAME, json_string(CHART_RELEASE));
    json_object_set_new(a, RELEASE_SPACE, json_string(CHART_NAMESPACE));
}

bool install_is_ours(const json_t *live)
{
    const json_t *a = json_at(live, "metadata.annotations");
    return streq(json_key_str(a, RELEASE_NAME), CHART_RELEASE) &&
           streq(json_key_str(a, RELEASE_SPACE), CHART_NAMESPACE);
}

int install_apply_object(struct install *in, const char *path, const json_t *object, bool dry_run,
                         struct kube_reply *ret)
{
    AUTO_CHARS char *target = xasprintf("%s?fieldManager=" INSTALL_MANAGER "&force=true%s", path,
                                        dry_run ? "&dryRun=All" : "");
    return install_call(in, "PATCH", target, "application/apply-patch+yaml", object, ret);
}
