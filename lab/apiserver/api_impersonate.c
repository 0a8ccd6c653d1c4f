/* A caller who asks to be another (Impersonate-User, Impersonate-Group; kubectl --as): if he may,
 * the other takes his place and is held to roles. Owns nothing. */
#include "lab/apiserver/api_priv.h"

static const char user_header[] = "impersonate-user", group_header[] = "impersonate-group";

/* A service account has the groups of one, if no others are named. */
static void add_usual_groups(struct api_user *u)
{
    struct str rest, name = str_from(u->name);
    if (str_starts(name, STR("system:serviceaccount:"))) {
        struct str ns = str_cut(str_sub(name, 22, name.n), ':', &rest);
        AUTO_CHARS char *of = xasprintf("system:serviceaccounts:" STR_FMT, STR_ARG(ns));
        api_user_add_group(u, STR("system:serviceaccounts"));
        api_user_add_group(u, str_from(of));
    }
}

/* May the caller be a user or group of that name? */
static bool may_be(struct api_request *r, const char *what, struct str name)
{
    AUTO_CHARS char *text = str_dup(name);
    struct api_ask a = {
        .verb = "impersonate", .group = "", .resource = what, .name = text, .ns = ""};
    if (api_rbac_allows(r->server, &r->user, &a))
        return true;
    AUTO_JSON json_t *details = json_pack("{s:s,s:s}", "name", text, "kind", what);
    api_status(r, 403, "Forbidden", details,
               "%s \"%s\" is forbidden: User \"%s\" cannot impersonate resource \"%s\" in API "
               "group \"\" at the cluster scope",
               what, text, r->user.name, what);
    return false;
}

bool api_impersonate(struct api_request *r)
{
    struct http_header headers[HTTP_FIELDS_MAX];
    size_t n = http_head_list(http_exchange_head(r->exchange), headers, HTTP_FIELDS_MAX);
    struct api_user u = {.impersonated = true};
    bool good = true, asks = false;
    for (size_t i = 0; i < n && good; i++) {
        struct str name = headers[i].name, value = headers[i].value;
        if (name.n < 12 || !str_eq_nocase(str_sub(name, 0, 12), STR("impersonate-")))
            continue;
        asks = true;
        if (str_eq_nocase(name, str_from(user_header)) && !u.name) {
            good = may_be(r, "users", value);
            u.name = str_dup(value);
        } else if (str_eq_nocase(name, str_from(group_header))) {
            good = may_be(r, "groups", value);
            api_user_add_group(&u, value);
        } else {
            good = false;
            api_status(r, 400, "BadRequest", NULL, "header " STR_FMT " is not understood here",
                       STR_ARG(name));
        }
    }
    if (good && asks && str_empty(u.name)) {
        good = false;
        api_status(r, 400, "BadRequest", NULL,
                   "requested groups without impersonating a user: set Impersonate-User");
    }
    if (!good || !asks) {
        api_user_done(&u);
        return good;
    }
    if (!u.n_groups)
        add_usual_groups(&u);
    api_user_add_group(&u, STR("system:authenticated"));
    api_user_done(&r->user);
    r->user = u;
    return true;
}
