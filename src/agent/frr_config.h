#pragma once
/* A part of the configuration of a daemon of FRR, as statements: what is ours, how it is found in
 * what a daemon shows, and the commands that make one of another. Ours is what has a name that
 * begins with "fairlead-": BGP views with all that is in them, route maps, prefix lists, profiles
 * of BFD. Nothing else is ever touched. Pure. */

#include "base/addr.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/vec.h"

#define FRR_OWN "fairlead-"

enum { FRR_STATEMENTS_MAX = 1000 * 1000 };

/* A line, and the blocks it stands in; "": in none, or the block itself. */
struct frr_statement {
    char *outer, *inner, *line;
    char *key;   /* of all three */
    bool secret; /* it holds a password */
};

struct frr_config {
    VEC(struct frr_statement) v;
    struct map known;       /* keys of statements, whose they are */
    VEC(struct ip) foreign; /* peers of somebody else's, sorted by nothing */
    bool failed;            /* there was more than fits */
};

/* Adds a statement, once. */
void frr_config_add(struct frr_config *c, const char *outer, const char *inner, const char *fmt,
                    ...) __attribute__((format(printf, 4, 5)));
void frr_config_done(struct frr_config *c);
bool frr_config_has(const struct frr_config *c, const struct frr_statement *s);
bool frr_config_equal(const struct frr_config *a, const struct frr_config *b);
bool frr_config_is_foreign(const struct frr_config *c, const struct ip *peer);
/* What is ours in the answer to "show running-config". */
void frr_config_parse(struct str text, struct frr_config *ret);
/* As text, for people and tests; passwords are not in it. */
void frr_config_format(const struct frr_config *c, struct buf *out);

enum frr_command_kind {
    FRR_ENTER, /* a block: if it is refused, what follows up to its end is left out */
    FRR_LEAVE,
    FRR_DO,
};
struct frr_command {
    enum frr_command_kind kind;
    char *text;
    bool secret;
};
struct frr_commands {
    struct frr_command *v;
    size_t n, cap;
};
/* In an order in which a route that stays is never withdrawn, and one that is new is known to the
 * filters before it is there. */
void frr_config_diff(const struct frr_config *from, const struct frr_config *to,
                     struct frr_commands *ret);
void frr_commands_done(struct frr_commands *c);
