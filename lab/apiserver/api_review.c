/* Reviews: questions about who one is and what one may do. Nothing is stored. */
#include "lab/apiserver/api_priv.h"

static json_t *user_info(const struct api_user *u)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < u->n_groups; i++)
        json_array_append_new(groups, json_string(u->groups[i]));
    return json_pack("{s:s,s:o}", "username", u->name ? u->name : "", "groups", groups);
}

static json_t *review_token(struct api_request *r, const json_t *body)
{
    const char *token = json_at_str(body, "spec.token");
    struct api_user user = {0};
    AUTO_JSON json_t *meant = NULL;
    if (str_empty(token) ||
        !api_authenticate_token(r->server, str_from(token), json_at(body, "spec.audiences"), &user,
                                &meant)) {
        api_user_done(&user);
        return json_pack("{s:b,s:{},s:s}", "authenticated", 0, "user", "error",
                         "invalid bearer token");
    }
    json_t *status = json_pack("{s:b,s:o}", "authenticated", 1, "user", user_info(&user));
    if (meant)
        json_object_set(status, "audiences", meant);
    api_user_done(&user);
    return status;
}

/* ---- what one may do ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_key_str(o, key);
    return text ? text : "";
}

/* A LocalSubjectAccessReview is about its own namespace. */
static bool is_allowed(struct api_request *r, const json_t *spec, const struct api_user *u)
{
    const json_t *of = json_object_get(spec, "resourceAttributes"),
                 *path = json_object_get(spec, "nonResourceAttributes");
    const char *sub = text_of(of, "subresource"), *ns = text_of(of, "namespace");
    AUTO_CHARS char *resource = xasprintf("%s%s%s", text_of(of, "resource"), *sub ? "/" : "", sub);
    struct api_ask a = {.verb = text_of(path ? path : of, "verb"),
                        .group = text_of(of, "group"),
                        .resource = resource,
                        .name = text_of(of, "name"),
                        .ns = *r->ns ? r->ns : ns,
                        .path = path ? text_of(path, "path") : NULL};
    return api_rbac_allows(r->server, u, &a);
}

static json_t *review_access(struct api_request *r, const json_t *body)
{
    const json_t *spec = json_object_get(body, "spec");
    bool self = api_kind_is(r->kind, "SelfSubjectAccessReview");
    struct api_user other = {0};
    size_t i;
    json_t *group;
    if (!self) {
        other.name = xstrdup(text_of(spec, "user"));
        other.impersonated = true; /* nobody is taken for one of the lab's own by his name */
        json_array_foreach(json_object_get(spec, "groups"), i, group)
            api_user_add_group(&other, str_from(json_string_value(group)));
    }
    const struct api_user *u = self ? &r->user : &other;
    bool allowed = is_allowed(r, spec, u);
    json_t *status = json_pack("{s:b}", "allowed", allowed);
    if (allowed && !api_rbac_holds(u))
        json_put_str(status, "reason", "the lab holds its own certificates and tokens to no roles");
    api_user_done(&other);
    return status;
}

static json_t *review_rules(struct api_request *r, const json_t *body)
{
    const char *ns = json_at_str(body, "spec.namespace");
    if (!api_rbac_holds(&r->user))
        return json_pack("{s:[{s:[s],s:[s],s:[s]}],s:[{s:[s],s:[s]}],s:b}", "resourceRules",
                         "verbs", "*", "apiGroups", "*", "resources", "*", "nonResourceRules",
                         "verbs", "*", "nonResourceURLs", "*", "incomplete", 0);
    AUTO_JSON json_t *rules = api_rbac_rules(r->server, &r->user, ns ? ns : "");
    json_t *of_resources = json_array(), *of_paths = json_array(), *rule;
    size_t i;
    json_array_foreach(rules, i, rule)
        json_array_append(json_object_get(rule, "nonResourceURLs") ? of_paths : of_resources, rule);
    return json_pack("{s:o,s:o,s:b}", "resourceRules", of_resources, "nonResourceRules", of_paths,
                     "incomplete", 0);
}

static json_t *status_of(struct api_request *r, const json_t *body)
{
    if (api_kind_is(r->kind, "SelfSubjectReview"))
        return json_pack("{s:o}", "userInfo", user_info(&r->user));
    if (api_kind_is(r->kind, "TokenReview"))
        return review_token(r, body);
    return api_kind_is(r->kind, "SelfSubjectRulesReview") ? review_rules(r, body)
                                                          : review_access(r, body);
}

void api_review(struct api_request *r)
{
    AUTO_JSON json_t *body = NULL;
    if (api_read_body(r, r->kind, &body) < 0)
        return;
    json_put_str(body, "kind", r->kind->kind);
    json_put_str(body, "apiVersion", api_kind_group_version(r->kind));
    json_object_set_new(body, "status", status_of(r, body));
    if (!json_at(body, "metadata"))
        json_object_set_new(body, "metadata", json_object());
    api_reply_object(r, 201, body);
}
