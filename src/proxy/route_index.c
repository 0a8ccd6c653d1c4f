/* A compressed trie over what the paths of a host's routes begin with; walking a path down it meets
 * every route that could match, each node's in order; of the nodes' heads the lowest number is
 * tried next, so that the first route of the list wins, as it must. Routes without a plain
 * beginning (without case, CONNECT, a regular expression that begins with anything) hang at the
 * root. */
#include "proxy/route_index.h"

#include <errno.h>

struct trie_node {
    struct str edge;            /* from its parent to it */
    struct trie_node *children; /* linked by next; each edge begins with another byte */
    struct trie_node *next;
    uint32_t *routes; /* their numbers, ascending */
    size_t n_routes, cap_routes;
};

enum { LIST_MAX = 2 }; /* routes of a host that go without */

struct route_index {
    struct trie_node root;
};

static struct trie_node *child_of(const struct trie_node *n, char first)
{
    for (struct trie_node *c = n->children; c; c = c->next)
        if (c->edge.p[0] == first)
            return c;
    return NULL;
}

/* Cuts a node's edge behind n bytes: it keeps its place, what it was goes below. */
static bool split(struct trie_node *node, size_t n, struct arena *a)
{
    struct trie_node *below = arena_alloc(a, sizeof(*below));
    if (!below)
        return false;
    *below = *node;
    below->edge = str_sub(node->edge, n, node->edge.n);
    below->next = NULL;
    *node = (struct trie_node){
        .edge = str_sub(node->edge, 0, n), .children = below, .next = node->next};
    return true;
}

static struct trie_node *node_at(struct trie_node *node, struct str rest, struct arena *a)
{
    while (rest.n) {
        struct trie_node *child = child_of(node, rest.p[0]);
        if (!child) {
            child = arena_alloc(a, sizeof(*child));
            if (!child)
                return NULL;
            child->edge = rest;
            child->next = node->children;
            node->children = child;
            return child;
        }
        size_t n = 1;
        while (n < rest.n && n < child->edge.n && rest.p[n] == child->edge.p[n])
            n++;
        if (n < child->edge.n && !split(child, n, a))
            return NULL;
        rest = str_sub(rest, n, rest.n);
        node = child;
    }
    return node;
}

static bool node_add(struct trie_node *n, uint32_t route, struct arena *a)
{
    if (n->n_routes == n->cap_routes) {
        size_t cap = n->cap_routes ? n->cap_routes * 2 : 2;
        uint32_t *more = arena_alloc(a, cap * sizeof(*more));
        if (!more)
            return false;
        if (n->n_routes)
            memcpy(more, n->routes, n->n_routes * sizeof(*more));
        n->routes = more;
        n->cap_routes = cap;
    }
    n->routes[n->n_routes++] = route;
    return true;
}

static struct str begins_with(const struct route_match *m)
{
    if (m->ignore_case || m->path_kind == ROUTE_PATH_CONNECT)
        return STR("");
    return m->path_kind == ROUTE_PATH_REGEX ? regex_literal_prefix(m->regex) : m->path;
}

int route_index_build(struct route_host *h, struct arena *a)
{
    if (h->n_routes <= LIST_MAX)
        return 0;
    h->index = arena_alloc(a, sizeof(*h->index));
    if (!h->index)
        return -ENOMEM;
    for (size_t i = 0; i < h->n_routes; i++) {
        struct trie_node *n = node_at(&h->index->root, begins_with(&h->routes[i].match), a);
        if (!n || !node_add(n, (uint32_t)i, a))
            return -ENOMEM;
    }
    return 0;
}

enum { NODES_ON_THE_WAY = 64 };

struct walk {
    const struct trie_node *nodes[NODES_ON_THE_WAY];
    size_t at[NODES_ON_THE_WAY];
    size_t n;
};

/* The nodes with routes that a path meets. Deeper than NODES_ON_THE_WAY of them: not followed, and
 * then false. */
static bool walk_down(const struct trie_node *node, struct str path, struct walk *w)
{
    w->n = 0;
    for (;;) {
        if (node->n_routes) {
            if (w->n == NODES_ON_THE_WAY)
                return false;
            w->nodes[w->n] = node;
            w->at[w->n++] = 0;
        }
        if (!path.n)
            return true;
        const struct trie_node *child = child_of(node, path.p[0]);
        if (!child || !str_starts(path, child->edge))
            return true;
        path = str_sub(path, child->edge.n, path.n);
        node = child;
    }
}

/* The lowest number that waits; SIZE_MAX: none. */
static size_t walk_next(struct walk *w)
{
    size_t best = SIZE_MAX, from = 0;
    for (size_t i = 0; i < w->n; i++)
        if (w->at[i] < w->nodes[i]->n_routes && w->nodes[i]->routes[w->at[i]] < best) {
            best = w->nodes[i]->routes[w->at[i]];
            from = i;
        }
    if (best != SIZE_MAX)
        w->at[from]++;
    return best;
}

static const struct route *find_in_list(const struct route_host *h, const struct route_query *q)
{
    for (size_t i = 0; i < h->n_routes; i++)
        if (route_matches(&h->routes[i].match, q))
            return &h->routes[i];
    return NULL;
}

const struct route *route_host_find(const struct route_host *h, const struct route_query *q)
{
    struct walk w;
    size_t i;
    if (h->n_routes <= LIST_MAX || !walk_down(&h->index->root, q->path, &w))
        return find_in_list(h, q);
    while ((i = walk_next(&w)) != SIZE_MAX)
        if (route_matches(&h->routes[i].match, q))
            return &h->routes[i];
    return NULL;
}
