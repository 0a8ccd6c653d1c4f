/* A TokenReview for each stream that is opened. Owns the call under way and nothing that outlives
 * it.
 */
#include "control/callers.h"

#include "base/mem.h"
#include "codec/json.h"

#define ACCOUNT "system:serviceaccount:"

enum { TOKEN_BYTES_MAX = 16384 };

struct callers_check {
    struct loop_call refusal; /* of what need not be asked */
    struct kube_call *call;
    callers_fn *fn;
    void *user;
};

static void answer(struct callers_check *k, bool ok, const char *name, const char *why)
{
    callers_fn *fn = k->fn;
    void *user = k->user;
    free(k);
    fn(ok, name, why, user);
}

struct str callers_account(const char *user, struct str *ret_name)
{
    struct str account = str_from(user);
    *ret_name = STR("");
    if (!str_starts(account, STR(ACCOUNT)))
        return STR("");
    return str_cut(str_sub(account, sizeof(ACCOUNT) - 1, account.n), ':', ret_name);
}

static void on_review(const struct kube_result *r, void *user)
{
    struct callers_check *k = user;
    const json_t *status = r->object ? json_object_get(r->object, "status") : NULL;
    const char *name = json_at_str(status, "user.username");
    json_t *audience;
    size_t i;
    bool meant = false;
    k->call = NULL;
    if (!kube_ok(r)) {
        answer(k, false, NULL, "the API server could not be asked about the token");
        return;
    }
    json_array_foreach(json_object_get(status, "audiences"), i, audience) meant =
        meant || streq(json_string_value(audience), CALLERS_AUDIENCE) ||
        streq(json_string_value(audience), CALLERS_AUDIENCE_ISTIO);
    if (!json_is_true(json_object_get(status, "authenticated")) || !meant || !name)
        answer(k, false, NULL,
               "the token is not valid, or not meant for " CALLERS_AUDIENCE
               " or " CALLERS_AUDIENCE_ISTIO);
    else
        answer(k, true, name, NULL);
}

static void on_refusal(void *user)
{
    answer(user, false, NULL, "needs a token: authorization: Bearer TOKEN");
}

struct callers_check *callers_ask(struct kube_client *c, struct str authorization, callers_fn *fn,
                                  void *user)
{
    struct callers_check *k = NEW(struct callers_check);
    k->fn = fn;
    k->user = user;
    loop_call_init(&k->refusal, on_refusal, k);
    if (authorization.n <= 7 || authorization.n > TOKEN_BYTES_MAX ||
        !str_eq_nocase(str_sub(authorization, 0, 7), STR("bearer "))) {
        loop_defer_soon(kube_client_loop(c), &k->refusal);
        return k;
    }
    AUTO_CHARS char *token = str_dup(str_trim(str_sub(authorization, 7, authorization.n)));
    AUTO_JSON json_t *review =
        json_pack("{s:s,s:s,s:{s:s,s:[s,s]}}", "apiVersion", "authentication.k8s.io/v1", "kind",
                  "TokenReview", "spec", "token", token, "audiences", CALLERS_AUDIENCE,
                  CALLERS_AUDIENCE_ISTIO);
    if (!review) /* it is no text */
        loop_defer_soon(kube_client_loop(c), &k->refusal);
    else
        k->call = kube_call(c, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", NULL, review,
                            on_review, k);
    return k;
}

void callers_cancel(struct callers_check *k)
{
    if (!k)
        return;
    loop_call_cancel(&k->refusal);
    if (k->call)
        kube_call_cancel(k->call);
    free(k);
}
