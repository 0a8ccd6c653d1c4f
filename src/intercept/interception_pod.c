#include "intercept/interception_pod.h"

#include <errno.h>

#include "intercept/interception_apply.h"
#include "intercept/interception_flags.h"

enum { WORDS_MAX = 64 };

static const json_t *find(const json_t *pod)
{
    const json_t *list = json_at(pod, "spec.initContainers"), *c;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       c) if (streq(json_key_str(c, "name"), INTERCEPTION_CHECK)) return c;
    return NULL;
}

bool interception_is_asked_for(const json_t *pod)
{
    return find(pod) != NULL;
}

/* words[0] is the command's name, as in argv. */
static int read_words(const json_t *args, char *words[WORDS_MAX], int *ret_n, struct err *reterr)
{
    const json_t *word;
    size_t i;
    *ret_n = 0;
    if (!streq(json_string_value(json_array_get(args, 0)), "interception"))
        return err_set(reterr, -EINVAL, NULL, "the first is not interception");
    json_array_foreach((json_t *)(uintptr_t)args, i, word)
    {
        if (!json_is_string(word))
            return err_set(reterr, -EINVAL, NULL, "one of them is no string");
        if (*ret_n == WORDS_MAX)
            return err_set(reterr, -E2BIG, NULL, "there are more than %d", WORDS_MAX);
        words[(*ret_n)++] = (char *)(uintptr_t)json_string_value(word);
    }
    return 0;
}

static int read_flags(const json_t *args, struct interception *ret, bool *ret_ipv6,
                      struct err *reterr)
{
    char *words[WORDS_MAX];
    struct interception_flags f;
    struct arg table[INTERCEPTION_FLAGS];
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    int n;
    interception_flags_init(&f, table);
    int r = read_words(args, words, &n, reterr);
    if (r == 0)
        r = args_parse(table, n, words, false, &rest, NULL, reterr);
    if (r == 0 && rest.n)
        r = err_set(reterr, -EINVAL, NULL, "'%s' is not expected", rest.v[0]);
    if (r == 0)
        r = interception_of_flags(&f, ret, reterr);
    if (r == 0 && f.dns) {
        ret->dns.all = true;
        ret->dns_port = INTERCEPTION_DNS_PORT;
    }
    *ret_ipv6 = f.ipv6;
    return r;
}

int interception_of_pod(const json_t *pod, struct interception *ret, bool *ret_ipv6,
                        struct err *reterr)
{
    struct err err = {0};
    *ret = (struct interception){0};
    int r = read_flags(json_object_get(find(pod), "args"), ret, ret_ipv6, &err);
    return r < 0 ? err_set(reterr, r, "spec.initContainers", "args of " INTERCEPTION_CHECK ": %s",
                           err_text(&err))
                 : 0;
}

int interception_apply_pod(const json_t *pod, struct err *reterr)
{
    struct interception i;
    bool ipv6;
    int r = interception_of_pod(pod, &i, &ipv6, reterr);
    if (r == 0)
        r = interception_apply(&i, ipv6, reterr);
    interception_done(&i);
    return r;
}
