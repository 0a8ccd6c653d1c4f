/* The record of releases in the cluster: found, written, superseded, forgotten. */
#include <stdio.h>

#include "cli/install.h"

#define SECRETS  "/api/v1/namespaces/" CHART_NAMESPACE "/secrets"
#define SELECTOR "?labelSelector=owner%3Dhelm,name%3D" CHART_RELEASE

static int64_t version_of(const json_t *secret)
{
    int64_t v = 0;
    const char *text = json_key_str(json_at(secret, "metadata.labels"), "version");
    return text && str_to_i64(str_from(text), &v) == 0 ? v : 0;
}

/* The Secrets of this release; an empty array without the namespace. */
static int list(struct install *in, json_t **ret)
{
    struct kube_reply reply;
    int code = install_call(in, "GET", SECRETS SELECTOR, NULL, NULL, &reply);
    if (code)
        return code;
    json_t *items = json_at(reply.object, "items");
    code = reply.status == 200 ? -1 : install_refused("Secrets of " CHART_NAMESPACE, &reply);
    *ret = code < 0 && json_is_array(items) ? json_incref(items) : json_array();
    kube_reply_done(&reply);
    return code;
}

static int read_release(const json_t *secret, struct release *ret)
{
    struct err err = {0};
    if (release_read(secret, ret, &err) == 0)
        return -1;
    return program_fail(EXIT_FAILED, "delete that Secret if it is of no use", "%s", err_text(&err));
}

/* The newest that is deployed, or that is deployed and was to be superseded. */
static const json_t *deployed_one(const json_t *secrets)
{
    const json_t *found = NULL, *s;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)secrets, i, s)
    {
        const char *status = json_key_str(json_at(s, "metadata.labels"), "status");
        if (streq(status, "deployed") && version_of(s) > version_of(found))
            found = s;
    }
    return found;
}

int install_find_release(struct install *in)
{
    AUTO_JSON json_t *secrets = NULL;
    json_t *s, *last = NULL;
    size_t i;
    int code = list(in, &secrets);
    if (code >= 0)
        return code;
    json_array_foreach(secrets, i, s)
    {
        last = version_of(s) > version_of(last) ? s : last;
        in->oldest = in->oldest ? MIN(in->oldest, version_of(s)) : version_of(s);
    }
    if (!last)
        return -1;
    if ((code = read_release(last, &in->last)) >= 0)
        return code;
    const char *first = json_at_str(in->last.record, "info.first_deployed");
    in->first_deployed = first ? xstrdup(first) : NULL;
    const json_t *there = deployed_one(secrets);
    struct release deployed = {0};
    code = there ? read_release(there, &deployed) : -1;
    /* After a first one that failed, what it has put there. */
    in->deployed = xstrdup(there && code < 0 ? deployed.manifest : in->last.manifest);
    release_done(&deployed);
    return code;
}

int install_take_revision(struct install *in)
{
    AUTO_CHARS char *name = release_secret_name(in->to);
    AUTO_CHARS char *path = xasprintf(SECRETS "/%s", name);
    AUTO_JSON json_t *secret = install_get(in, path);
    struct release r = {0};
    struct err err = {0};
    if (!secret)
        return program_fail(EXIT_FAILED,
                            "fairlead get secrets -n " CHART_NAMESPACE " -l owner=helm",
                            "--to: revision %lld is not kept", (long long)in->to);
    int code = read_release(secret, &r);
    if (code < 0 && chart_parse_manifest(str_from(r.manifest), &in->output.objects, &err) < 0)
        code = program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    if (code < 0) {
        const char *notes = json_at_str(r.record, "info.notes");
        buf_add_cstr(&in->output.manifest, r.manifest);
        buf_add_cstr(&in->output.notes, notes ? notes : "");
        json_decref(in->chosen);
        in->chosen = json_incref(r.config);
    }
    release_done(&r);
    return code;
}

int install_keep(struct install *in, json_t *record, const char *status, const char *description)
{
    struct err err = {0};
    struct kube_reply reply;
    AUTO_CHARS char *name = release_secret_name(json_at_int(record, "version", 1));
    AUTO_CHARS char *path = xasprintf(SECRETS "/%s", name);
    release_set_status(record, status, description);
    AUTO_JSON json_t *secret = release_secret(record, &err);
    if (!secret)
        return program_fail(EXIT_FAILED, NULL, "%s", err_text(&err));
    bool made = str_starts(str_from(status), STR("pending"));
    int code = install_call(in, made ? "POST" : "PUT", made ? SECRETS : path, NULL, secret, &reply);
    if (code)
        return code;
    code = reply.status < 300 ? -1 : install_refused(name, &reply);
    kube_reply_done(&reply);
    return code;
}

static void put_superseded(struct install *in, const json_t *secret)
{
    struct release r = {0};
    struct err err = {0};
    struct kube_reply reply = {0};
    AUTO_CHARS char *path = xasprintf(SECRETS "/%s", json_at_str(secret, "metadata.name"));
    if (release_read(secret, &r, &err) < 0)
        return;
    json_put_str(r.record, "info.status", "superseded");
    AUTO_JSON json_t *changed = release_secret(r.record, &err);
    if (changed && install_call(in, "PUT", path, NULL, changed, &reply) == 0)
        kube_reply_done(&reply);
    release_done(&r);
}

static void drop(struct install *in, const json_t *secret)
{
    struct kube_reply reply;
    AUTO_CHARS char *path = xasprintf(SECRETS "/%s", json_at_str(secret, "metadata.name"));
    if (install_call(in, "DELETE", path, NULL, NULL, &reply) == 0)
        kube_reply_done(&reply);
}

void install_supersede(struct install *in, int64_t version)
{
    AUTO_JSON json_t *secrets = NULL;
    json_t *s;
    size_t i;
    if (list(in, &secrets) >= 0)
        return;
    json_array_foreach(secrets, i, s)
    {
        const char *status = json_key_str(json_at(s, "metadata.labels"), "status");
        if (version_of(s) <= version - RELEASE_HISTORY)
            drop(in, s);
        else if (version_of(s) < version && streq(status, "deployed"))
            put_superseded(in, s);
    }
}

int install_forget(struct install *in)
{
    AUTO_JSON json_t *secrets = NULL;
    json_t *s;
    size_t i;
    int code = list(in, &secrets);
    if (code < 0)
        json_array_foreach(secrets, i, s) drop(in, s);
    return code;
}
