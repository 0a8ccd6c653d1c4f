/* Discovery: from a word or a manifest's kind to a path. Asks one group version at a time and keeps
 * nothing: a command asks once. */
#include "kube/discovery.h"

#include <errno.h>
#include <stdio.h>

#include "codec/url.h"

static bool names_match(const json_t *item, const char *word)
{
    json_t *n;
    size_t i;
    const char *kind = json_key_str(item, "kind");
    if (streq(json_key_str(item, "name"), word) ||
        (*word && streq(json_key_str(item, "singularName"), word)))
        return true;
    if (kind && str_eq_nocase(str_from(kind), str_from(word)))
        return true;
    json_array_foreach(json_object_get(item, "shortNames"), i,
                       n) if (streq(json_string_value(n), word)) return true;
    return false;
}

/* Looks through one group version; 1 = found. */
static int search_group(struct kube_client *c, const char *group_version, const char *word,
                        bool by_kind, struct kube_resource *ret, struct err *reterr)
{
    AUTO_CHARS char *path =
        xasprintf("%s/%s", strchr(group_version, '/') ? "/apis" : "/api", group_version);
    struct kube_reply reply;
    json_t *item;
    size_t i;
    int found = 0, r = kube_call_wait(c, "GET", path, NULL, NULL, &reply, reterr);
    json_array_foreach(json_at(reply.object, "resources"), i, item)
    {
        const char *name = json_key_str(item, "name");
        if (found || !name || strchr(name, '/') ||
            (by_kind ? !streq(json_key_str(item, "kind"), word) : !names_match(item, word)))
            continue;
        snprintf(ret->plural, sizeof(ret->plural), "%s", name);
        snprintf(ret->kind, sizeof(ret->kind), "%s", json_key_str(item, "kind"));
        snprintf(ret->group_version, sizeof(ret->group_version), "%s", group_version);
        ret->namespaced = json_is_true(json_object_get(item, "namespaced"));
        found = 1;
    }
    kube_reply_done(&reply);
    return r < 0 ? r : found;
}

int kube_resource_find(struct kube_client *c, const char *word, struct kube_resource *ret,
                       struct err *reterr)
{
    struct kube_reply groups;
    struct str group, plain = str_cut(str_from(word), '.', &group);
    AUTO_CHARS char *name = str_dup(plain);
    json_t *g;
    size_t i;
    int r = group.p ? 0 : search_group(c, "v1", name, false, ret, reterr);
    if (r != 0)
        return r < 0 ? r : 0;
    r = kube_call_wait(c, "GET", "/apis", NULL, NULL, &groups, reterr);
    int found = 0;
    json_array_foreach(json_at(groups.object, "groups"), i, g)
    {
        if (found || r < 0 || (group.p && !str_is(group, json_key_str(g, "name"))))
            continue;
        found = search_group(c, json_at_str(g, "preferredVersion.groupVersion"), name, false, ret,
                             reterr);
    }
    kube_reply_done(&groups);
    if (r < 0 || found < 0)
        return r < 0 ? r : found;
    return found ? 0
                 : err_set(reterr, -ENOENT, NULL, "the server doesn't have a resource type \"%s\"",
                           word);
}

int kube_resource_of_kind(struct kube_client *c, const char *api_version, const char *kind,
                          struct kube_resource *ret, struct err *reterr)
{
    int r = search_group(c, api_version, kind, true, ret, reterr);
    if (r == 0)
        return err_set(reterr, -ENOENT, NULL, "no matches for kind \"%s\" in version \"%s\"", kind,
                       api_version);
    return r < 0 ? r : 0;
}

char *kube_resource_path(const struct kube_resource *r, const char *ns, const char *name)
{
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "%s/%s", strchr(r->group_version, '/') ? "/apis" : "/api", r->group_version);
    if (r->namespaced && ns) {
        buf_add_cstr(&b, "/namespaces/");
        url_encode(str_from(ns), &b);
    }
    buf_addf(&b, "/%s", r->plural);
    if (name) {
        buf_add_char(&b, '/');
        url_encode(str_from(name), &b);
    }
    return buf_take_cstr(&b);
}
