/* Field names to numbers: a table of 1,024 places, filled before main, in which every name has its
 * first choice or one soon after. A look-up reads at most 16 bytes of a name to choose the place,
 * and those between to be sure, whatever the letters' case. Constant after start; any thread. */
#include "codec/http_names.h"

#include "base/assert.h"

enum { PLACES = 1024 };

static const struct str texts[_HTTP_NAME_MAX] = {
#define HTTP_NAME(id, text) [HTTP_NAME_##id] = {text, sizeof(text) - 1},
#include "codec/http_names.def"
#undef HTTP_NAME
};

static struct place {
    uint64_t head, tail; /* see ends_of() */
    uint16_t n;
    uint16_t id; /* HTTP_NAME_OTHER: free */
} places[PLACES];

/* A letter's case is one bit; no two bytes of names differ in it alone but letters. */
#define LOWER 0x2020202020202020u

static uint64_t load8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t load4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Up to 16 bytes of a name that has at least one: all of it, or its ends. */
static void ends_of(struct str s, uint64_t *head, uint64_t *tail)
{
    if (s.n >= 8) {
        *head = load8(s.p);
        *tail = load8(s.p + s.n - 8);
    } else if (s.n >= 4) {
        *head = load4(s.p);
        *tail = load4(s.p + s.n - 4);
    } else {
        *head = (uint8_t)s.p[0];
        *tail = (uint64_t)(uint8_t)s.p[s.n / 2] << 8 | (uint8_t)s.p[s.n - 1];
    }
    *head |= LOWER;
    *tail |= LOWER;
}

static unsigned place_of(uint64_t head, uint64_t tail, size_t n)
{
    uint64_t h = (head ^ n) * 0x9e3779b97f4a7c15u;
    h ^= (tail ^ (h >> 29)) * 0xbf58476d1ce4e5b9u;
    return (unsigned)(h >> 54);
}

/* Of names of equal length and ends: what lies between. */
static bool same_inside(const char *a, const char *lower, size_t n)
{
    for (size_t i = 8; i + 8 < n; i += 8)
        if ((load8(a + i) | LOWER) != (load8(lower + i) | LOWER))
            return false;
    return true;
}

__attribute__((constructor)) static void fill_places(void)
{
    for (uint16_t id = 1; id < _HTTP_NAME_MAX; id++) {
        uint64_t head, tail;
        ends_of(texts[id], &head, &tail);
        unsigned at = place_of(head, tail, texts[id].n);
        while (places[at].id)
            at = (at + 1) % PLACES;
        places[at] = (struct place){head, tail, (uint16_t)texts[id].n, id};
    }
}

enum http_name http_name_find(struct str name)
{
    uint64_t head, tail;
    ASSERT(name.n > 0);
    ends_of(name, &head, &tail);
    for (unsigned at = place_of(head, tail, name.n); places[at].id; at = (at + 1) % PLACES) {
        const struct place *p = &places[at];
        if (p->head == head && p->tail == tail && p->n == name.n &&
            same_inside(name.p, texts[p->id].p, name.n))
            return (enum http_name)p->id;
    }
    return HTTP_NAME_OTHER;
}

struct str http_name_text(enum http_name id)
{
    ASSERT((unsigned)id < _HTTP_NAME_MAX);
    return texts[id];
}
