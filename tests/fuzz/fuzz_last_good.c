/* fuzz-layer: proxy
 * A last good configuration: as it is, and as the body of one whose header fits. What is read can
 * be written, and is the same when it is read again. */
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "proxy/last_good_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(char *to, uint64_t v)
{
    for (size_t i = 0; i < 8; i++)
        to[i] = (char)(v >> 8 * i);
}

static void again(const struct last_good_file *f, struct arena *a)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct last_good_file g;
    if (last_good_encode(f, &b, NULL) < 0 || last_good_decode(buf_str(&b), a, &g, NULL) < 0)
        return; /* without memory */
    for (int type = 0; type < XDS_RESOURCES; type++) {
        if (g.types[type].n != f->types[type].n)
            abort();
        for (size_t i = 0; i < g.types[type].n; i++)
            if (!str_eq(g.types[type].items[i].name, f->types[type].items[i].name) ||
                !str_eq(g.types[type].items[i].version, f->types[type].items[i].version) ||
                !str_eq(g.types[type].items[i].bytes, f->types[type].items[i].bytes))
                abort();
    }
}

static void read_it(struct str bytes)
{
    AUTO(arena) struct arena *a = arena_new(64 << 20);
    struct last_good_file f;
    if (last_good_decode(bytes, a, &f, NULL) == 0)
        again(&f, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_DONE(buf) struct buf b = {0};
    char head[LAST_GOOD_HEADER_BYTES] = "FAIRLEAD\1";
    read_it(str_of(data, size));
    put(head + 16, size);
    put(head + 24, hash_bytes_seed(data, size, hash_bytes_seed(head, 24, 0)));
    buf_add(&b, head, sizeof(head));
    buf_add(&b, data, size);
    if (!b.failed)
        read_it(buf_str(&b));
    return 0;
}
