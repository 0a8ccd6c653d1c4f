/* The text is a row of parts: a letter that says what it is, the name, NUL. Names come from JSON
 * strings, which hold no NUL; so no name can look like two parts. Pure; nothing here fails: a hint
 * without a name counts as one that names nobody. */
#include "kube/topology.h"

enum topology_part {
    PART_NODE = 'n',
    PART_ZONE = 'z',
    PART_NODE_HINT = 'N',
    PART_ZONE_HINT = 'Z',
};

static void part_add(struct buf *b, enum topology_part part, const char *name)
{
    buf_add_char(b, (char)part);
    buf_add(b, name, strlen(name) + 1);
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void hints_add(struct buf *b, enum topology_part part, const json_t *list)
{
    const char *names[TOPOLOGY_HINTS_MAX];
    size_t i, n = 0;
    json_t *item;
    json_array_foreach((json_t *)(uintptr_t)list, i, item)
    {
        const char *name = json_key_str(item, "name");
        if (n < TOPOLOGY_HINTS_MAX)
            names[n++] = name ? name : "";
    }
    if (n)
        qsort(names, n, sizeof(names[0]), name_cmp);
    for (i = 0; i < n; i++)
        if (i == 0 || !streq(names[i], names[i - 1]))
            part_add(b, part, names[i]);
}

void topology_read(const json_t *endpoint, struct buf *ret)
{
    const char *node = json_key_str(endpoint, "nodeName"), *zone = json_key_str(endpoint, "zone");
    buf_clear(ret);
    if (!str_empty(node))
        part_add(ret, PART_NODE, node);
    if (!str_empty(zone))
        part_add(ret, PART_ZONE, zone);
    hints_add(ret, PART_NODE_HINT, json_at(endpoint, "hints.forNodes"));
    hints_add(ret, PART_ZONE_HINT, json_at(endpoint, "hints.forZones"));
}

/* for (…; part_next(&rest, &part, &name);) */
static bool part_next(struct str *rest, enum topology_part *ret_part, const char **ret_name)
{
    if (rest->n == 0)
        return false;
    *ret_part = (enum topology_part)rest->p[0];
    *ret_name = rest->p + 1;
    *rest = str_sub(*rest, strlen(rest->p) + 1, rest->n);
    return true;
}

unsigned topology_ask(struct str topology, const struct place *p)
{
    unsigned answer = TOPOLOGY_NO_NODE;
    enum topology_part part;
    const char *name;
    for (struct str rest = topology; part_next(&rest, &part, &name);)
        switch (part) {
        case PART_NODE:
            answer &= ~(unsigned)TOPOLOGY_NO_NODE;
            answer |= p->node && streq(name, p->node) ? TOPOLOGY_HERE : 0;
            break;
        case PART_NODE_HINT:
            answer |= TOPOLOGY_NODE_HINTS;
            answer |= p->node && streq(name, p->node) ? TOPOLOGY_NODE_HINT_HERE : 0;
            break;
        case PART_ZONE_HINT:
            answer |= TOPOLOGY_ZONE_HINTS;
            answer |= p->zone && streq(name, p->zone) ? TOPOLOGY_ZONE_HINT_HERE : 0;
            break;
        case PART_ZONE:
            break;
        }
    return answer;
}

static const char *part_find(struct str topology, enum topology_part wanted)
{
    enum topology_part part;
    const char *name;
    for (struct str rest = topology; part_next(&rest, &part, &name);)
        if (part == wanted)
            return name;
    return NULL;
}

const char *topology_node(struct str topology)
{
    return part_find(topology, PART_NODE);
}

const char *topology_zone(struct str topology)
{
    return part_find(topology, PART_ZONE);
}
