/* IPAddressPools and Services: whatever stands there, what is given is of a pool.
 * fuzz-layer: model */
#include <stdlib.h>

#include "model/address_allocator.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The table is made of small things that end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

static void on_verdict(const struct address_verdict *v, void *user)
{
    const struct address_pool *p;
    uint64_t in_use[2];
    size_t found = 0;
    for (size_t at = 0; address_allocator_next_pool(user, &at, &p, in_use);)
        for (size_t i = 0; i < v->n_ips; i++)
            found += v->pool && streq(p->name, v->pool) && address_pool_has(p, &v->ips[i]);
    if (found < v->n_ips || (v->reason && !v->message))
        abort();
}

/* A list of objects: those with spec.addresses are pools, others Services or namespaces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *list = NULL;
    json_t *j;
    size_t i;
    if (json_parse(str_of(data, size), 0, NULL, &list, NULL) < 0)
        return 0;
    struct address_allocator *a = address_allocator_new(NULL);
    for (int twice = 0; twice < 2; twice++) {
        json_array_foreach(list, i, j)
        {
            if (json_at(j, "spec.addresses"))
                address_allocator_put_pool(a, j);
            else if (json_at(j, "spec"))
                address_allocator_put_service(a, j);
            else
                address_allocator_put_namespace(a, j);
        }
        address_allocator_work(a, on_verdict, a);
        address_allocator_forget(a);
    }
    address_allocator_count(a);
    address_allocator_free(a);
    return 0;
}
