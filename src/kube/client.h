#pragma once
/* API client on a loop: one call = one request = one JSON answer. Used by controllers, nodes, agent
 * and CLI alike. */

#include "codec/json.h"
#include "kube/config.h"
#include "net/http_client.h"

struct kube_client;
struct kube_call;

/* Copies what it needs of the config. */
int kube_client_new(struct loop *l, const struct kube_config *config, const char *user_agent,
                    struct kube_client **ret, struct err *reterr) NODISCARD;
void kube_client_free(struct kube_client *c); /* open calls end without a callback */

struct kube_result {
    int code;            /* 0 = an HTTP answer came; negative errno: no connection, timeout, … */
    int status;          /* HTTP */
    json_t *object;      /* parsed answer (may be a Status); borrowed; NULL if not JSON */
    struct str body;     /* raw */
    const char *reason;  /* Status.reason or "" */
    const char *message; /* Status.message, or what went wrong; never NULL */
};
static inline bool kube_ok(const struct kube_result *r)
{
    return r->code == 0 && r->status >= 200 && r->status < 300;
}

/* fn may be NULL (fire and forget). body may be NULL; it is encoded at once and stays the caller's.
 * content_type NULL = application/json; patches: application/merge-patch+json,
 * application/strategic-merge-patch+json, application/json-patch+json. Deadline 30 s. Never calls
 * back from inside. */
typedef void kube_call_fn(const struct kube_result *r, void *user);
struct kube_call *kube_call(struct kube_client *c, const char *method, const char *path,
                            const char *content_type, const json_t *body, kube_call_fn *fn,
                            void *user);
void kube_call_cancel(struct kube_call *call);

/* Same, waiting on a private turn of the loop: for start-up and the CLI only. Free with
 * kube_reply_done. */
struct kube_reply {
    int status;
    json_t *object;
    struct buf body;
};
int kube_call_wait(struct kube_client *c, const char *method, const char *path,
                   const char *content_type, const json_t *body, struct kube_reply *ret,
                   struct err *reterr) NODISCARD;
void kube_reply_done(struct kube_reply *r);

struct http_client *kube_client_http(struct kube_client *c); /* for streams: logs, exec */
struct loop *kube_client_loop(struct kube_client *c);
