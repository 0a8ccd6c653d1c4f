/* fuzz-layer: codec
 * What listeners look at first: ClientHellos, heads of the PROXY protocol, request lines: a prefix
 * never says other than "more" or the same; what was read lies within the room. */
#include <errno.h>
#include <stdlib.h>

#include "codec/http_inspect.h"
#include "codec/proxy_protocol.h"
#include "codec/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct str s, const char *room)
{
    if (s.n && (s.p < room || s.p + s.n > room + TLS_HELLO_BYTES_MAX))
        abort();
}

static void check_hello(struct str all)
{
    static char room[TLS_HELLO_BYTES_MAX];
    struct tls_hello h = {0}, part;
    int r = tls_hello_read(all, room, &h);
    if (r == 1) {
        check_inside(h.server_name, room);
        check_inside(h.protocols, room);
        struct str list = h.protocols, name;
        while ((name = tls_hello_next_protocol(&list)).p)
            if (!name.n)
                abort();
    }
    for (size_t n = 0; n < all.n; n += 1 + all.n / 64) {
        int p = tls_hello_read(str_sub(all, 0, n), room, &part);
        if (p != 0 && p != r)
            abort();
    }
}

static void check_proxy(struct str all)
{
    struct proxy_protocol whole, part;
    int r = proxy_protocol_read(all, &whole);
    if (r == 1 && (!whole.bytes || whole.bytes > MIN(all.n, (size_t)PROXY_PROTOCOL_BYTES_MAX)))
        abort();
    for (size_t n = 0; n < all.n; n += 1 + all.n / 64) {
        int p = proxy_protocol_read(str_sub(all, 0, n), &part);
        if (p != 0 && p != r)
            abort();
    }
}

static void check_http(struct str all)
{
    struct str whole, part;
    int r = http_inspect(all, &whole);
    for (size_t n = 0; n < all.n; n += 1 + all.n / 64) {
        int p = http_inspect(str_sub(all, 0, n), &part);
        if (p != 0 && p != r)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_http(str_of(data, size));
    check_hello(str_of(data, size));
    check_proxy(str_of(data, size));
    return 0;
}
