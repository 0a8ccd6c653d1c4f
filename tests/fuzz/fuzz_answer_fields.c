/* fuzz-layer: proxy
 * Set-Cookie, Location and Refresh of endpoints in the client's terms: no attribute comes or goes,
 * the cookie's name and value stay. */
#include "base/assert.h"
#include "proxy/answer_rewrite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 1 << 20, INPUT_MAX = 8192 };

static size_t semicolons(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == ';';
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct answer_pair domain = {STR("old.test"), STR("new.example")},
                                    path = {STR("/app"), STR("/")},
                                    url = {STR("http://old.test/"), STR("https://new.example/")};
    AUTO(arena) struct arena *a = arena_new(ARENA_MAX);
    struct str in = str_of((const char *)data, MIN(size, (size_t)INPUT_MAX));
    struct http_field f = {.name = "set-cookie", .name_n = 10, .value = in.p};
    f.value_n = (uint32_t)in.n;
    answer_rewrite_cookie(&domain, &path, &f, a);
    struct str out = http_field_value(&f);
    const char *end = in.n ? memchr(in.p, ';', in.n) : NULL;
    size_t head = end ? (size_t)(end - in.p) : in.n;
    ASSERT(semicolons(out) == semicolons(in));
    ASSERT(out.n >= head && (!head || memcmp(out.p, in.p, head) == 0));
    f.value = in.p;
    f.value_n = (uint32_t)in.n;
    answer_rewrite_refresh(&url, &f, a);
    answer_rewrite_location(&url, &f, a);
    answer_make_relative(&f);
    return 0;
}
