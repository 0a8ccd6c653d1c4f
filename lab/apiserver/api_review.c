/* Reviews: questions about who one is and what one may do. The lab allows everything to every
 * authenticated user, so the answers are short; they are real for identities (SelfSubjectReview,
 * TokenReview). Nothing is stored. */
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

static json_t *status_of(struct api_request *r, const json_t *body)
{
    if (streq(r->kind->kind, "SelfSubjectReview"))
        return json_pack("{s:o}", "userInfo", user_info(&r->user));
    if (streq(r->kind->kind, "TokenReview"))
        return review_token(r, body);
    if (streq(r->kind->kind, "SelfSubjectRulesReview"))
        return json_pack("{s:[{s:[s],s:[s],s:[s]}],s:[{s:[s],s:[s]}],s:b}", "resourceRules",
                         "verbs", "*", "apiGroups", "*", "resources", "*", "nonResourceRules",
                         "verbs", "*", "nonResourceURLs", "*", "incomplete", 0);
    return json_pack("{s:b,s:s}", "allowed", 1, "reason",
                     "the lab allows everything to every authenticated user");
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
