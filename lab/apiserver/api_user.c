/* Whom a request comes from: a name and groups, as api_auth.c finds them out. Owns the struct's
 * memory and nothing else; knows no request and no credential. */
#include "lab/apiserver/api_priv.h"

void api_user_done(struct api_user *u)
{
    free(u->name);
    for (size_t i = 0; i < u->n_groups; i++)
        free(u->groups[i]);
    free(u->groups);
    *u = (struct api_user){0};
}

void api_user_add_group(struct api_user *u, struct str group)
{
    struct {
        char **v;
        size_t n, cap;
    } groups = {u->groups, u->n_groups, u->cap_groups};
    if (!group.n)
        return;
    vec_push(&groups, str_dup(group));
    u->groups = groups.v;
    u->n_groups = groups.n;
    u->cap_groups = groups.cap;
}
