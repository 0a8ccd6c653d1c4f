/* Endpoints: made by the main thread, freed by whoever drops the last reference. The block of
 * workers' lines is made by the worker that first has a request for it. */
#include "proxy/endpoint.h"

#include <errno.h>
#include <stddef.h>
#include <sys/un.h>

#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"

static unsigned n_workers = 1;

void endpoint_set_workers(unsigned n)
{
    ASSERT(n >= 1 && n <= WORKERS_MAX);
    n_workers = n;
}

unsigned endpoint_workers(void)
{
    return n_workers;
}

static struct endpoint *new (const char *text)
{
    size_t n = strlen(text);
    struct endpoint *e = xcalloc(1, sizeof(*e) + n + 1);
    e->refs = 1;
    memcpy(e->text, text, n + 1);
    e->id = hash_xxh64(text, n, 0);
    return e;
}

struct endpoint *endpoint_new(const struct ip *ip, uint16_t port)
{
    char ip_text[IP_TEXT_BYTES], text[ENDPOINT_TEXT_BYTES];
    snprintf(text, sizeof(text), ip->family == AF_INET6 ? "[%s]:%u" : "%s:%u",
             ip_format(ip, ip_text), port);
    struct endpoint *e = new (text);
    e->address_bytes = ip_to_sockaddr(ip, port, &e->address);
    return e;
}

int endpoint_new_unix(struct str path, struct endpoint **ret)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (!path.n || path.n >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    AUTO_CHARS char *text = str_dup(path);
    struct endpoint *e = new (text);
    memcpy(sa.sun_path, path.p, path.n);
    if (path.p[0] == '@')
        sa.sun_path[0] = 0;
    e->address_bytes =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + (path.p[0] != '@'));
    memcpy(&e->address, &sa, e->address_bytes);
    *ret = e;
    return 0;
}

struct endpoint *endpoint_ref(struct endpoint *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void endpoint_unref(struct endpoint *e)
{
    if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(e->outlier);
    free(e->labels);
    free(atomic_load(&e->loads));
    free(e);
}

static struct endpoint_load *loads_make(struct endpoint *e)
{
    size_t bytes = sizeof(struct endpoint_load) * n_workers;
    struct endpoint_load *mine = aligned_alloc(CACHE_LINE_BYTES, bytes), *theirs = NULL;
    ASSERT(mine); /* a line for each worker: small */
    memset(mine, 0, bytes);
    if (atomic_compare_exchange_strong(&e->loads, &theirs, mine))
        return mine;
    free(mine);
    return theirs;
}

struct endpoint_load *endpoint_load(struct endpoint *e, unsigned worker)
{
    struct endpoint_load *l = atomic_load_explicit(&e->loads, memory_order_acquire);
    DASSERT(worker < n_workers);
    return (l ? l : loads_make(e)) + worker;
}

unsigned endpoint_active(const struct endpoint *e)
{
    const struct endpoint_load *l = atomic_load_explicit(&e->loads, memory_order_acquire);
    unsigned n = 0;
    for (unsigned i = 0; l && i < n_workers; i++)
        n += atomic_load_explicit(&l[i].active, memory_order_relaxed);
    return n;
}
