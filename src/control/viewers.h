#pragma once
/* Who may look at what this program knows of others: traffic, requests, traces, configuration. Who
 * asks shows a token that is meant for this alone (TokenReview, audience VIEWERS_AUDIENCE); whether
 * he may, the API server says (SubjectAccessReview of a resource of the group VIEWERS_GROUP, which
 * nothing stores: roles name it).
 *
 * Answers are kept for ten seconds, a thousand of them, by a digest of the token: never the token.
 * At most 64 are asked at a time, and 200 in a second: who comes when there are more is told so. */

#include "kube/client.h"

#define VIEWERS_AUDIENCE "fairlead-view"
#define VIEWERS_GROUP    "view.fairlead.dev"

struct viewers;

struct view {
    const char *verb, *resource; /* "get", "traffic"; constant */
    struct str ns;               /* empty: all namespaces */
};

struct viewers_stats {
    uint64_t allowed, unknown, forbidden, busy; /* who asked; busy: could not be looked at */
};

/* status: 200: he may; 401: nobody knows who it is; 403; 429; 503: the API server does not answer.
 * text says why, and what to do; borrowed. */
typedef void viewers_fn(int status, const char *text, void *user);

/* The client is borrowed. */
struct viewers *viewers_new(struct kube_client *c);
void viewers_free(struct viewers *v); /* NULL is allowed; all checks are over or cancelled */

struct viewers_check;

/* authorization: "Bearer TOKEN", .p NULL: none. NULL: it has answered already. */
struct viewers_check *viewers_ask(struct viewers *v, struct str authorization,
                                  const struct view *what, viewers_fn *fn, void *user);
void viewers_cancel(struct viewers_check *k); /* without an answer; NULL is allowed */
struct viewers_stats viewers_get_stats(const struct viewers *v);
