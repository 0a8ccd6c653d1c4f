/* It is not read: creating it is enough, 409 says that it is there. Asked again every ten minutes,
 * and sooner if it could not be said. */
#include "control/agent_key.h"

#include "base/log.h"
#include "base/rand.h"
#include "codec/base64.h"

enum {
    KEY_BYTES = 32,
    RETRY_MS = 5 * 1000,
    AGAIN_MS = 10 * 60 * 1000,
};

struct agent_key {
    struct kube_client *client;
    char *namespace_;
    struct kube_call *call; /* under way */
    struct loop_timer *timer;
    bool leads;
};

static void on_made(const struct kube_result *r, void *user)
{
    struct agent_key *k = user;
    bool is_there = kube_ok(r) || r->status == 409;
    k->call = NULL;
    if (!is_there)
        log_warn("the Secret for agents' heartbeats cannot be made",
                 kv_s("secret", AGENT_KEY_SECRET), kv_s("cause", r->message));
    else if (r->status != 409)
        log_info("the Secret for agents' heartbeats is made", kv_s("secret", AGENT_KEY_SECRET));
    loop_timer_start(k->timer, is_there ? AGAIN_MS : RETRY_MS);
}

static void on_timer(void *user)
{
    struct agent_key *k = user;
    uint8_t bytes[KEY_BYTES];
    AUTO_DONE(buf) struct buf text = {0};
    if (!k->leads || k->call)
        return;
    rand_bytes(bytes, sizeof(bytes));
    base64_encode(str_of(bytes, sizeof(bytes)), &text);
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/secrets", k->namespace_);
    AUTO_JSON json_t *secret =
        json_pack("{s:s,s:s,s:{s:s},s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Secret", "metadata",
                  "name", AGENT_KEY_SECRET, "type", "Opaque", "data", "key", buf_cstr(&text));
    k->call = kube_call(k->client, "POST", path, NULL, secret, on_made, k);
}

void agent_key_set_leads(struct agent_key *k, bool leads)
{
    k->leads = leads;
    if (leads)
        loop_timer_start(k->timer, 0);
    else
        loop_timer_stop(k->timer);
}

struct agent_key *agent_key_new(struct kube_client *c, const char *namespace_)
{
    struct agent_key *k = NEW(struct agent_key);
    k->client = c;
    k->namespace_ = xstrdup(namespace_);
    k->timer = loop_timer_new(kube_client_loop(c), on_timer, k);
    return k;
}

void agent_key_free(struct agent_key *k)
{
    if (!k)
        return;
    if (k->call)
        kube_call_cancel(k->call);
    loop_timer_free(k->timer);
    free(k->namespace_);
    free(k);
}
