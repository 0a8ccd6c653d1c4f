/* fuzz-layer: agent
 * Objects of all kinds: whatever stands in them, each statement for bgpd is one line of printable
 * text, below something of ours. */
#include <stdlib.h>

#include "agent/bgp_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The picture is made of small things that end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

static enum bgp_kind kind_of(const json_t *j)
{
    if (json_at(j, "spec.addresses"))
        return BGP_POOL;
    if (json_at(j, "spec.myASN"))
        return BGP_PEER;
    if (json_is_object(json_array_get(json_at(j, "spec.communities"), 0)))
        return BGP_COMMUNITY;
    if (json_at(j, "spec.receiveInterval"))
        return BGP_BFD_PROFILE;
    if (json_at(j, "data"))
        return BGP_SECRET;
    return json_at(j, "spec") ? BGP_ADVERTISEMENT : BGP_NODE;
}

static void check(const struct frr_config *c)
{
    VEC_FOREACH (s, &c->v) {
        if (!strstr(s->outer, FRR_OWN) && !strstr(s->inner, FRR_OWN) && !strstr(s->line, FRR_OWN))
            abort();
        for (const char *p = s->line; *p; p++)
            if (*p < ' ' || *p > '~')
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct ip ips[] = {{AF_INET, {192, 0, 2, 1}}, {AF_INET6, {0x20, 1, 0xd, 0xb8}}};
    AUTO_JSON json_t *list = NULL;
    struct bgp_picture p;
    json_t *j;
    size_t i;
    if (json_parse(str_of(data, size), 0, NULL, &list, NULL) < 0)
        return 0;
    struct bgp_rules *r = bgp_rules_new("n1");
    json_array_foreach(list, i, j)
    {
        const char *name = json_at_str(j, "metadata.name");
        if (name)
            bgp_rules_put(r, kind_of(j), str_from(name), j);
    }
    bgp_rules_draw(r, ips, ARRAY_LEN(ips), NULL, &p);
    check(&p.bgpd);
    check(&p.bfdd);
    bgp_picture_done(&p);
    bgp_rules_free(r);
    return 0;
}
