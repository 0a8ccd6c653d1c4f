/* fuzz-layer: codec
 * Normal forms of paths: no dot segment is left, one slash begins, the query is untouched, and
 * nothing grows by more than three times. The first byte chooses the rules. */
#include <stdlib.h>

#include "codec/url_path.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct url_path_rules *r, struct str path, struct str got)
{
    const char *mark = memchr(path.p, '?', path.n);
    struct str query = mark ? str_sub(path, (size_t)(mark - path.p), path.n) : STR("");
    if (got.n > path.n * 3 || got.n < query.n ||
        !str_eq(str_sub(got, got.n - query.n, got.n), query))
        abort();
    struct str left = str_sub(got, 0, got.n - query.n);
    if (!left.n || *left.p != '/' || (r->normalize && left.n > 1 && left.p[1] == '/'))
        abort();
    for (size_t i = 0; i < left.n; i++) {
        size_t end = i + 1;
        if (left.p[i] != '/')
            continue;
        while (end < left.n && left.p[end] != '/')
            end++;
        struct str segment = str_sub(left, i + 1, end);
        if (r->normalize && (str_is(segment, ".") || str_is(segment, "..")))
            abort();
        if (r->merge_slashes && !segment.n && end < left.n)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) struct arena *a = arena_new(1 << 20);
    struct str got;
    if (size < 2 || data[1] != '/')
        return 0;
    const struct url_path_rules r = {data[0] & 1, data[0] & 2};
    struct str path = str_of(data + 1, size - 1);
    if (url_path_apply(&r, path, a, &got) == 0 && (r.normalize || r.merge_slashes))
        check(&r, path, got);
    return 0;
}
