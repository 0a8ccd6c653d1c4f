/* What an authorization server answers: it is not heeded, or every field may stand in a message.
 * fuzz-layer: proxy */
#include <stdlib.h>

#include "proxy/authz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct authz_change *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!http_is_token(v[i].field.name) || !http_is_value(v[i].field.value))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    struct authz_answer by;
    if (authz_answer_decode(str_of(data, size), a, &by) < 0)
        return 0;
    check(by.fields, by.n_fields);
    check(by.answer, by.n_answer);
    for (size_t i = 0; i < by.n_removed; i++)
        if (!http_is_token(by.removed[i]))
            abort();
    if (!by.allows && (by.status < 200 || by.status > 599))
        abort();
    return 0;
}
