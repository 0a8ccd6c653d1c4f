#pragma once
/* What clients, by their addresses, have asked for of late, and ask for now: limits for each of
 * them. Tables have names: whoever limits the same under the same name counts in the same table,
 * whichever worker and whichever configuration; it goes with the last who does. Shared by all
 * workers behind a mutex of its own, so that N admits N. */

#include "base/addr.h"

struct client_table;

enum {
    CLIENT_RATES_MAX = 2,
    CLIENT_TABLE_MAX =
        16384, /* addresses; then the one that has been quiet for longest is forgotten */
};

struct client_limits {
    uint32_t concurrent; /* requests at a time; 0: any number */
    struct client_rate {
        uint32_t burst;   /* how many may come at once; at least 1 */
        int64_t token_ns; /* in which one more may come; at least 1 */
    } rates[CLIENT_RATES_MAX];
    uint32_t n_rates;
};

struct client_table *client_table_get(struct str name, const struct client_limits *l);
void client_table_unref(struct client_table *t);
/* True: it may, and is counted: against each rate, and until client_table_leave(). False: it is
 * above one of the limits, and counts for none; *ret_busy (NULL is allowed): the one of requests at
 * a time. now_ns: monotonic. */
bool client_table_enter(struct client_table *t, const struct ip *ip, int64_t now_ns,
                        bool *ret_busy);
void client_table_leave(struct client_table *t, const struct ip *ip);
size_t client_table_n(struct client_table *t);
